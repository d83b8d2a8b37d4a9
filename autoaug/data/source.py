"""What a dataset gives: its splits, the names of its classes and its standard augmentation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from autoaug.data.splits import DataError, Split

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Standard:
    """The augmentation that is always on for a dataset, as is usual in the papers: a padded crop and a flip."""

    pad: float = 0.125
    """Zeros around the image before the crop, as a fraction of its size: 4 pixels of 32."""
    flip: bool = True
    """Mirror left and right, half of the time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """A dataset as it comes. What it does not split itself is cut from `train` by `load_data`."""

    train: Split
    val: Split | None = None
    """None: cut from `train`."""
    test: Split | None = None
    """None: cut from `train`."""
    classes: tuple[str, ...] = ()
    """The K names. Empty: "0" to "K-1"."""
    standard: Standard = Standard()

    def parts(self) -> dict[str, Split]:
        """The splits that are there, by name."""
        return {name: split for name in PARTS if (split := getattr(self, name)) is not None}


Reader = Callable[[Path], Source | tuple[Any, ...]]
"""Reads a dataset that lives, or is to be downloaded, under the given folder."""


def as_source(given: Any, place: str) -> Source:
    """What a user's function returned, as a Source.

    A Source stays as it is. A tuple is (train,), (train, val) or (train, val, test), each a Split, a pair
    (images, targets) or None (val and test only); two tensors alone are the images and targets of `train`.
    """
    if isinstance(given, Source):
        return given
    if not isinstance(given, tuple) or not 1 <= len(given) <= 3:
        raise DataError(f"{place} returned {kind_of(given)}: return a Source or a tuple (train, val, test)")
    parts = (given,) if isinstance(given[0], Tensor) else given
    return Source(**{name: _as_split(part, name, place) for name, part in zip(PARTS, parts, strict=False)})


def _as_split(given: Any, part: str, place: str) -> Any:
    if isinstance(given, Split) or (given is None and part != "train"):
        return given
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(each, Tensor) for each in given):
        return Split(*given)
    raise DataError(f"{place} returned {kind_of(given)} for {part}: return a Split or two tensors (images, targets)")


def kind_of(value: Any) -> str:
    """What a wrong value is, for an error."""
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"
