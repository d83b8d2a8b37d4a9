"""The datasets that torchvision knows: arrays in bulk, photos as their files. The only home of torchvision.datasets."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http.client import HTTPException
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoaug.data._naming import distinct
from autoaug.data._source import Reader, Source
from autoaug.data._splits import DataError, Split
from autoaug.data._standard import STANDARDS, Standard
from autoaug.photos import ImageFiles


def channels_last(data: Any) -> Tensor:
    """Return N x H x W x C bytes as N x C x H x W."""
    return torch.as_tensor(data).permute(0, 3, 1, 2).contiguous()


def channels_first(data: Any) -> Tensor:
    """Return N x C x H x W bytes as they are."""
    return torch.as_tensor(data).contiguous()


def grey(data: Any) -> Tensor:
    """Return N x H x W bytes as N x 1 x H x W."""
    return torch.as_tensor(data).unsqueeze(1)


Reading = Callable[[Any, Path], Split]
"""Reads the images and classes that an object of torchvision holds, below a folder."""


def arrays(pixels: Callable[[Any], Tensor], targets: str = "targets") -> Reading:
    """Return a reading of images that an object holds as one array `data`; `pixels` says how they lie there."""
    return lambda held, root: Split(pixels(held.data), torch.as_tensor(getattr(held, targets)).long())


def files(pairs: Callable[[Any], Iterable[tuple[str | Path, int]]]) -> Reading:
    """Return a reading of the files of an object, of which `pairs` gives each with its class. None is opened."""

    def read_files(held: Any, root: Path) -> Split:
        listed = list(pairs(held))
        if not listed:
            raise DataError(f"no images of {type(held).__name__} in {str(root)!r}: remove its folder, and load it anew")
        paths, targets = zip(*listed, strict=True)
        names = tuple(os.path.relpath(path, root) for path in paths)
        return Split(ImageFiles(tuple(map(Path, paths))), torch.tensor([int(target) for target in targets]), names)

    return read_files


def two_lists(paths: str, targets: str) -> Callable[[Any], Iterable[tuple[str | Path, int]]]:
    """Return what pairs the files of an object with its classes, which it holds under these names."""
    return lambda held: zip(getattr(held, paths), getattr(held, targets), strict=True)


LISTED = two_lists("_image_files", "_labels")
"""Where most objects of files have them."""


class TorchvisionDataset(NamedTuple):
    """One dataset of torchvision and how its objects hold what we read."""

    kind: str
    """The class in torchvision.datasets."""
    split: Reading
    standard: Standard
    """As is usual in the papers."""
    parts: Mapping[str, Mapping[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
    """By part of a Source, what its object is asked for."""
    classes: tuple[str, ...] = ()
    """Empty: the object's own `classes`."""
    download: Mapping[str, Any] = {"download": True}
    """What asks for a download; empty where torchvision cannot."""
    folder: str = ""
    """Below the folder of all data, where torchvision would put files there that do not say whose they are."""


TWO = {"train": {"split": "train"}, "test": {"split": "test"}}
THREE = {"train": {"split": "train"}, "val": {"split": "val"}, "test": {"split": "test"}}
VAL_AS_TEST = {"train": {"split": "train"}, "test": {"split": "val"}}
"""Where the classes of the test images are not public, papers report on the validation images."""

PHOTOS = STANDARDS["resized-crop+flip"]

ROWS: dict[str, TorchvisionDataset] = {
    "cifar10": TorchvisionDataset("CIFAR10", arrays(channels_last), Standard()),
    "cifar100": TorchvisionDataset("CIFAR100", arrays(channels_last), Standard()),
    "svhn": TorchvisionDataset(
        "SVHN", arrays(channels_first, "labels"), Standard(flip=False), TWO, classes=tuple("0123456789")
    ),
    "mnist": TorchvisionDataset("MNIST", arrays(grey), Standard(flip=False)),
    "fashion-mnist": TorchvisionDataset("FashionMNIST", arrays(grey), Standard()),
    "stl10": TorchvisionDataset("STL10", arrays(channels_first, "labels"), Standard(), TWO),
    "flowers102": TorchvisionDataset("Flowers102", files(LISTED), PHOTOS, parts=THREE),
    "oxford-pets": TorchvisionDataset(
        "OxfordIIITPet",
        files(two_lists("_images", "_labels")),
        PHOTOS,
        parts={"train": {"split": "trainval"}, "test": {"split": "test"}},
    ),
    "fgvc-aircraft": TorchvisionDataset("FGVCAircraft", files(LISTED), PHOTOS, parts=THREE),
    "stanford-cars": TorchvisionDataset("StanfordCars", files(attrgetter("_samples")), PHOTOS, parts=TWO, download={}),
    "imagenette": TorchvisionDataset("Imagenette", files(attrgetter("_samples")), PHOTOS, parts=VAL_AS_TEST),
    "eurosat": TorchvisionDataset("EuroSAT", files(attrgetter("samples")), Standard(), parts={"train": {}}),
    "food101": TorchvisionDataset("Food101", files(LISTED), PHOTOS, parts=TWO),
    "imagenet": TorchvisionDataset(
        "ImageNet", files(attrgetter("samples")), PHOTOS, parts=VAL_AS_TEST, download={}, folder="imagenet"
    ),
}


def read(name: str, root: Path) -> Source:
    """Return the row `name`, downloaded under `root` unless it is there, with the splits that its makers gave it."""
    row, folder = ROWS[name], root / ROWS[name].folder
    held = {part: _open(name, folder, choice) for part, choice in row.parts.items()}
    parts: dict[str, Any] = {part: row.split(each, root) for part, each in held.items()}
    return Source(**parts, classes=row.classes or class_names(held["train"].classes), standard=row.standard)


def class_names(held: Iterable[str | tuple[str, ...]]) -> tuple[str, ...]:
    """Return the name of each class, of several the first; where two share it, all names of each."""
    named = [(each,) if isinstance(each, str) else tuple(each) for each in held]
    return distinct([names[0] for names in named], [", ".join(names) for names in named])


def _open(name: str, folder: Path, choice: Mapping[str, Any]) -> Any:
    """Return an object of torchvision.datasets; raise DataError where it cannot be downloaded, or is not there."""
    from torchvision import datasets  # here, because it takes seconds and the digits do not need it

    row = ROWS[name]
    place = f"its files there as torchvision.datasets.{row.kind} keeps them"
    try:
        return getattr(datasets, row.kind)(folder, **row.download, **choice)
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        if row.download:
            message = f"cannot download dataset {name!r} to {str(folder)!r}: connect to the network, or place {place}"
        else:
            message = f"no dataset {name!r} in {str(folder)!r}, and it cannot be downloaded: place {place}"
        raise DataError(message) from error


TORCHVISION: dict[str, Reader] = {name: partial(read, name) for name in ROWS}
