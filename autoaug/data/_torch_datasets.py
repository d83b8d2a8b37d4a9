"""Map-style datasets, such as torch's and Hugging Face's: small images become tensors, larger ones are opened later."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy
import torch
from torch import Tensor

from autoaug.data._items import Columns, Items, MapStyle, as_image, item_name
from autoaug.data._source import PARTS, Source, kind_of
from autoaug.data._splits import DataError, Split
from autoaug.lookup import suggest
from autoaug.photos import as_rgb, eight_bits, may_be_transparent

SMALL = 96
"""Pixels of a side: a dataset of larger images, or of images of several sizes, is decoded when it is used."""

IMAGE_KEYS = ("image", "img", "pixel_values")
LABEL_KEYS = ("label", "labels", "fine_label", "target", "class")
"""What the image and the class of an item are called, where they have names. The first that is there counts."""


@runtime_checkable
class ClassNames(Protocol):
    """The type of a column of classes with names, as Hugging Face has it."""

    names: Sequence[str]


class Opened(NamedTuple):
    """One dataset, looked at."""

    dataset: Any
    part: str
    image: int | str
    """The key of the image in an item."""
    label: int | str
    pixels: Tensor | None
    """All images; None where they are large, or of several sizes."""
    labels: list[Any]


def from_datasets(
    train: Any,
    val: Any = None,
    test: Any = None,
    classes: Sequence[str] | None = None,
    *,
    image: str | None = None,
    label: str | None = None,
    version: str | None = None,
) -> Source:
    """Return a Source of map-style datasets: torch's, Hugging Face's, or what has a length and items as these have.

    An item is a pair (image, class), or a dict; there `image` and `label` are the names of the two, which are found
    where they are usual (IMAGE_KEYS, LABEL_KEYS). Images are as `as_image` takes them, and classes are integers, or
    texts, which are then the names of the classes, in alphabetical order. Leave random transforms out: augmentation
    happens later, on the device.

    Tensors of one shape, and small images of one size, are read once and kept. Of others each item is read once for its
    class, unless the classes are a column, and its image is opened when it is needed. They are kept on a disk between
    trainings only with a `version`: a text of yours that is another one whenever an image is.

    `classes` None: the names that the dataset has, or else numbers. The standard augmentation is that of
    `usual_standard`; `dataclasses.replace(source, standard=Standard(...))` or `Task.standard` says otherwise.

    Raises:
        DataError: a dataset is none, or has an item that is no image with a class; the message names it.
    """
    datasets = {name: given for name, given in zip(PARTS, (train, val, test), strict=True) if given is not None}
    opened = [open_dataset(dataset, name, image, label) for name, dataset in datasets.items()]
    names = class_names(opened[0]) if classes is None else tuple(map(str, classes))
    shapes = {None if each.pixels is None else each.pixels.shape[1:] for each in opened}
    in_tensors = len(shapes) == 1 and None not in shapes
    parts: dict[str, Any] = {
        each.part: Split(each.pixels if in_tensors else later(each, version), numbered(each, names)) for each in opened
    }
    return Source(**parts, classes=names)


def open_dataset(dataset: Any, part: str, image: str | None, label: str | None) -> Opened:
    """Return a dataset with all its classes and, where they are small and of one size, all its images."""
    if not isinstance(dataset, MapStyle):
        raise DataError(f"the {part} dataset, {kind_of(dataset)}, has no length: give a map-style Dataset")
    if len(dataset) == 0:
        raise DataError(f"the {part} dataset is empty: give at least one image of every class")
    first = dataset[0]
    keys: tuple[Any, Any] = (0, 1)
    if isinstance(first, Mapping):
        keys = key_of("image", image, IMAGE_KEYS, first, part), key_of("label", label, LABEL_KEYS, first, part)
    stack, labels = read_items(dataset, part, *keys)
    return Opened(dataset, part, *keys, None if stack is None else torch.stack(stack), labels)


def key_of(what: str, given: str | None, usual: Sequence[str], item: Mapping[str, Any], part: str) -> str:
    """Return the name of the image, or of the class, in the items of a dataset."""
    found = [name for name in ([given] if given else usual) if name in item]
    if not found:
        hint = f"{suggest(given, item)}" if given else f"say which of {', '.join(map(str, item))} it is"
        raise DataError(
            f"the items of the {part} dataset have no {given or what!r}: {hint} (from_datasets(..., {what}=...))"
        )
    return found[0]


def read_items(dataset: Any, part: str, image: Any, label: Any) -> tuple[list[Tensor] | None, list[Any]]:
    """Return the images of all items, or None where they are large or of several sizes, and all classes."""
    images: list[Tensor] | None = []
    labels = []
    for index in range(len(dataset)):
        where = item_name(index, part)
        pixels, value = item_of(dataset[index], image, label, where)
        labels.append(value)
        images = None if images is None else appended(images, in_memory(pixels, where))
        if images is None and isinstance(dataset, Columns):
            return None, list(dataset[label])  # for its class no image need be decoded
    return images, labels


def appended(images: list[Tensor], image: Tensor | None) -> list[Tensor] | None:
    """Add an image to others; return None where it is large or of another size than they."""
    if image is None or (images and image.shape != images[0].shape):
        return None
    images.append(image)
    return images


def item_of(item: Any, image: Any, label: Any, where: str) -> tuple[Any, Any]:
    """Return what an item holds as its image, and its class."""
    if isinstance(item, Mapping):
        return item[image], item[label]
    try:
        pixels, value = item
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} is not a pair (image, integer class): give one") from error
    return pixels, value


def in_memory(image: Any, where: str) -> Tensor | None:
    """Return a tensor as it is, a small image as a C x H x W tensor of bytes, and None for a large one."""
    if isinstance(image, Tensor):
        return image
    try:
        opened = as_image(image)
    except DataError as error:
        raise DataError(f"{where} is {error}") from error
    if max(opened.size) > SMALL:
        return None
    scaled, deep = eight_bits(opened)
    grey = deep or (opened.mode in ("1", "L") and not may_be_transparent(opened))
    array = numpy.array(scaled.convert("L") if grey else as_rgb(opened)[0])
    return torch.from_numpy(array).reshape(*array.shape[:2], -1).permute(2, 0, 1)


def later(opened: Opened, version: str | None) -> Items:
    """Return the images of a dataset, which are opened when they are needed."""
    return Items(opened.dataset, opened.image, opened.part, tuple(range(len(opened.dataset))), version)


def class_names(train: Opened) -> tuple[str, ...]:
    """Return the names of the classes: those that the dataset has, the texts that stand for them, or none."""
    if isinstance(train.dataset, Columns):
        feature = train.dataset.features.get(str(train.label))
        if isinstance(feature, ClassNames):
            return tuple(map(str, feature.names))
    if all(isinstance(label, str) for label in train.labels):
        return tuple(sorted(set(train.labels)))
    # torchvision's datasets name their classes, others do not
    return tuple(map(str, getattr(train.dataset, "classes", ())))


def numbered(opened: Opened, classes: tuple[str, ...]) -> Tensor:
    """Return the classes of all items as numbers: N, int64."""
    number_of = {name: number for number, name in enumerate(classes)}
    return torch.tensor(
        [number(label, number_of, item_name(index, opened.part)) for index, label in enumerate(opened.labels)]
    )


def number(label: Any, number_of: Mapping[str, int], where: str) -> int:
    """Return the number of a class, which is an integer or the name of one."""
    if isinstance(label, str):
        if label not in number_of:
            raise DataError(f"{where} has the class {label!r}: {suggest(label, number_of)}")
        return number_of[label]
    try:
        return operator.index(label)
    except TypeError as error:
        raise DataError(f"{where} is not a pair (image, integer class): give one") from error
