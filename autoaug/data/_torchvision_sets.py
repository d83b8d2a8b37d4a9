"""The datasets that torchvision downloads, read in bulk. The only home of torchvision.datasets."""

from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoaug.data._source import Reader, Source, Standard
from autoaug.data._splits import DataError, Split


def channels_last(data: Any) -> Tensor:
    """Return N x H x W x C bytes as N x C x H x W."""
    return torch.as_tensor(data).permute(0, 3, 1, 2).contiguous()


def channels_first(data: Any) -> Tensor:
    """Return N x C x H x W bytes as they are."""
    return torch.as_tensor(data).contiguous()


def grey(data: Any) -> Tensor:
    """Return N x H x W bytes as N x 1 x H x W."""
    return torch.as_tensor(data).unsqueeze(1)


class TorchvisionDataset(NamedTuple):
    """One dataset of torchvision and how its objects hold what we read."""

    kind: str
    """The class in torchvision.datasets."""
    pixels: Callable[[Any], Tensor]
    standard: Standard
    targets: str = "targets"
    train: Mapping[str, Any] = {"train": True}
    test: Mapping[str, Any] = {"train": False}
    classes: tuple[str, ...] = ()
    """Empty: the object's own `classes`."""


ROWS: dict[str, TorchvisionDataset] = {
    "cifar10": TorchvisionDataset("CIFAR10", channels_last, Standard()),
    "cifar100": TorchvisionDataset("CIFAR100", channels_last, Standard()),
    "svhn": TorchvisionDataset(
        "SVHN",
        channels_first,
        Standard(flip=False),
        targets="labels",
        train={"split": "train"},
        test={"split": "test"},
        classes=tuple("0123456789"),
    ),
    "mnist": TorchvisionDataset("MNIST", grey, Standard(flip=False)),
    "fashion-mnist": TorchvisionDataset("FashionMNIST", grey, Standard()),
}


def read(name: str, root: Path) -> Source:
    """Return the row `name`, downloaded under `root` unless it is there. It has no validation split."""
    row = ROWS[name]
    train, test = (_open(name, root, choice) for choice in (row.train, row.test))
    return Source(
        train=Split(row.pixels(train.data), torch.as_tensor(getattr(train, row.targets))),
        test=Split(row.pixels(test.data), torch.as_tensor(getattr(test, row.targets))),
        classes=row.classes or tuple(train.classes),
        standard=row.standard,
    )


def _open(name: str, root: Path, choice: Mapping[str, Any]) -> Any:
    """Return an object of torchvision.datasets; raise DataError where it cannot be downloaded."""
    from torchvision import datasets  # here, because it takes seconds and the digits do not need it

    kind = ROWS[name].kind
    try:
        return getattr(datasets, kind)(root, download=True, **choice)
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        raise DataError(
            f"cannot download dataset {name!r} to {str(root)!r}: connect to the network, or place its files there "
            f"as torchvision.datasets.{kind} keeps them"
        ) from error


TORCHVISION: dict[str, Reader] = {name: partial(read, name) for name in ROWS}
