"""What a dataset gives: its splits, the names of its classes and its standard augmentation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from autoaug.data._listing import PassedOver
from autoaug.data._splits import DataError, Split
from autoaug.data._standard import STANDARDS, Standard

PARTS = ("train", "val", "test")


def usual_standard(images: Tensor) -> tuple[Standard, str]:
    """The standard augmentation of images [N, C, H, W] that bring none of their own, and why it is that.

    Colour images are cropped and mirrored, as is usual for photos. Grey ones are only cropped: they are digits,
    letters, scans and spectrograms as often as not, of which a mirror image is another thing, and a small shift is not.
    """
    if is_grey(images):
        return STANDARDS["crop"], "grey images of your own, which are not mirrored unless asked"
    return STANDARDS["crop+flip"], "colour images of your own"


def is_grey(images: Tensor) -> bool:
    """Whether images [N, C, H, W] have one channel, or three that are equal, as a grey file has that is read as RGB."""
    parts = images.split(256)  # of colour images the first part tells
    return images.shape[1] == 1 or all(bool((part == part[:, :1]).all()) for part in parts)


@dataclass(frozen=True)
class Reading:
    """What was found in files, in plain facts."""

    files: int
    smallest: tuple[int, int]
    """Height and width of the smallest image, as it lies in its file."""
    largest: tuple[int, int]
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done to some of them: "2 of more than 8 bits per pixel, scaled to 8"."""


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
    standard: Standard | None = None
    """The augmentation that is always on; None: `usual_standard` of its images."""
    reading: Reading | None = None
    """What was found in the files that it was read from, where it was a folder of images."""

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
