"""Torch's map-style Datasets, read once into tensors."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from autoaug.data._modes import eight_bits
from autoaug.data._source import Source, kind_of
from autoaug.data._splits import DataError, Split


def from_datasets(train: Any, val: Any = None, test: Any = None, classes: Sequence[str] | None = None) -> Source:
    """Return a Source of map-style torch Datasets of (PIL image or C x H x W tensor, integer class).

    Every item is read once, so leave random transforms out: augmentation happens later, on the device.
    `classes` None: the dataset's own `classes`, or else numbers. The standard augmentation is
    that of `usual_standard`; `dataclasses.replace(source, standard=Standard(...))` or `Task.standard` says otherwise.
    """
    datasets = {"train": train, "val": val, "test": test}
    parts: dict[str, Any] = {name: _stacked(dataset, name) for name, dataset in datasets.items() if dataset is not None}
    names = getattr(train, "classes", ()) if classes is None else classes
    return Source(**parts, classes=tuple(str(name) for name in names))


def _stacked(dataset: Any, part: str) -> Split:
    """Return all items of a dataset as a split."""
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise DataError(f"the {part} dataset, {kind_of(dataset)}, has no length: give a map-style Dataset")
    if len(dataset) == 0:
        raise DataError(f"the {part} dataset is empty: give at least one image of every class")
    items = [_item(dataset[index], f"item {index} of the {part} dataset") for index in range(len(dataset))]
    images, labels = zip(*items, strict=True)
    for index, image in enumerate(images):
        if image.shape != images[0].shape:
            shapes = f"{tuple(image.shape)}, item 0 has {tuple(images[0].shape)}"
            raise DataError(f"item {index} of the {part} dataset has shape {shapes}: resize all to one shape")
    return Split(torch.stack(images), torch.tensor(labels))


def _item(item: Any, where: str) -> tuple[Tensor, int]:
    """Return an item as a C x H x W tensor and its class."""
    try:
        image, label = item
        number = operator.index(label)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} is not a pair (image, integer class): give one") from error
    return _pixels(image, where), number


def _pixels(image: Any, where: str) -> Tensor:
    """Return a PIL image as a C x H x W tensor, and a tensor as it is."""
    if isinstance(image, Tensor):
        return image
    if not isinstance(image, Image.Image):
        raise DataError(f"{where} is {kind_of(image)}: give a PIL image or a C x H x W tensor")
    image, scaled = eight_bits(image)
    grey = scaled or image.mode in ("1", "L")
    array = numpy.array(image.convert("L" if grey else "RGB"))
    return torch.from_numpy(array).reshape(*array.shape[:2], -1).permute(2, 0, 1)
