"""Datasets that are made of another one, as proxies for it: fewer images, smaller images.

They nest: `resized(subset("cifar10", train=2000, val=1000), 16)`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autoaug.data._holding import interpolated
from autoaug.data._load import DATASETS, TEST_FRACTION, data_name, read, with_test
from autoaug.data._source import Reader, Source
from autoaug.data._splits import DataError, Split, draw, shares, to_learn
from autoaug.data._taught import Corrupted, LongTailed, Reduced
from autoaug.photos import Encoded


@dataclass(frozen=True)
class Subset:
    """Read a part of another dataset; see `subset`."""

    data: str | Path | Reader
    train: int
    val: int
    seed: int = 0

    def __call__(self, root: Path) -> Source:
        """Read the whole dataset and draw from it."""
        source = with_test(read(self.data, root), TEST_FRACTION, data_name(self.data))
        rng = torch.Generator().manual_seed(self.seed)
        where = f"of a subset of {data_name(self.data)}"
        if bool((to_learn(source.train) < 0).any()):
            raise DataError(f"train={self.train} {where}, which leaves images out itself: take the subset first")
        train, rest = _drawn(source.train, self.train, rng, f"train={self.train} {where}")
        val, _ = _drawn(rest if source.val is None else source.val, self.val, rng, f"val={self.val} {where}")
        return replace(source, train=train, val=val)


def subset(data: str | Path | Reader, train: int, val: int, seed: int = 0) -> Subset:
    """Make a smaller dataset as a proxy for a large one: `Task(data=subset("cifar10", train=2000, val=5000))`.

    Draws `train` training images and, from its validation images or else from the remaining training images, `val`
    validation images; every class keeps its share. The test images are those of the whole dataset; where it has
    none, they are cut first, as `load_data` does by default.
    """
    return Subset(data, train, val, seed)


def _drawn(split: Split, total: int, rng: torch.Generator, where: str) -> tuple[Split, Split]:
    """Return `total` images, class by class in proportion, and the rest."""
    if not 0 < total <= len(split):
        raise DataError(f"{where}: give 1 to {len(split)}, the images that are there")
    counts = torch.bincount(split.targets)
    per_class = shares(counts, total)
    if bool(((per_class == 0) & (counts > 0)).any()):
        raise DataError(f"{where} leaves a class without any image: raise it")
    return draw(split, per_class, rng)


@dataclass(frozen=True)
class Resized:
    """Read another dataset with smaller images; see `resized`."""

    data: str | Path | Reader
    size: int

    def __call__(self, root: Path) -> Source:
        """Read the whole dataset and shrink its images."""
        source = read(self.data, root)
        if source.kind == "features":
            raise DataError(f"resized {data_name(self.data)} are rows of features: they have no size in pixels")
        if isinstance(source.train.images, Encoded):
            if self.size < 1:
                raise DataError(f"size={self.size} of resized {data_name(self.data)}: give at least 1 pixel")
            return replace(source, side=min(self.size, source.side or self.size))
        height, width = source.train.images.shape[2:]
        if not 0 < self.size <= min(height, width):
            raise DataError(
                f"size={self.size} of resized {data_name(self.data)}: give 1 to {min(height, width)}, for its images "
                f"are {height} x {width}"
            )
        shrunk: dict[str, Any] = {
            name: replace(split, images=interpolated(split.images, self.size, "area"))
            for name, split in source.parts().items()
        }
        return replace(source, **shrunk, side=self.size)


def resized(data: str | Path | Reader, size: int) -> Resized:
    """Make a dataset with images of `size` x `size` pixels, at most those it has, as a proxy for a large one.

    Each pixel is the mean over the area of the original that it covers; where that is not whole, over all pixels that
    the area touches. Bytes stay bytes, rounded. Images that are not square change their proportions.
    """
    return Resized(data, size)


Derived = Subset | Resized | Reduced | LongTailed | Corrupted
"""A dataset that is made of another one, its field `data`."""


def is_named(data: str | Path | Reader | None) -> bool:
    """Whether the data are a dataset of the table, or made of one, and not of the user's own."""
    if isinstance(data, Derived):
        return is_named(data.data)
    return isinstance(data, str) and data in DATASETS


def anchored(data: str | Path | Reader) -> str | Reader:
    """Return the same data with absolute paths, for a process that runs in another folder."""
    if isinstance(data, Derived):
        return replace(data, data=anchored(data.data))
    if isinstance(data, Path) or (isinstance(data, str) and data not in DATASETS):
        return str(Path(data).expanduser().absolute())
    return data
