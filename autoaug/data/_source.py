"""What a dataset gives: its splits, the names of its classes and its standard augmentation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from autoaug.data._listing import PassedOver
from autoaug.data._splits import Split
from autoaug.data._standard import STANDARDS, Standard
from autoaug.photos import Frame, Photos

PARTS = ("train", "val", "test")

Kind = Literal["images", "spectrograms", "features"]
"""What lies in the tensors [N, C, H, W] of a dataset: rows of a table are [N, 1, 1, D]."""


PHOTO = 128
"""Pixels of the shorter side from which images count as photos. The limit lies between two kinds. Datasets that were
made small, such as CIFAR (32), Tiny ImageNet (64) and STL-10 (96), are padded and cropped in the papers. Photos that
are only brought to the size of a network, 224 as a rule, are cut to random boxes."""


def usual_standard(images: Tensor | Photos) -> tuple[Standard, str]:
    """Return the standard augmentation of images [N, C, H, W] that bring none of their own, and the reason.

    Photos get a resized crop: files of many pixels, whatever a network sees of them, and tensors of `PHOTO` pixels and
    more. Smaller images get a padded one. Colour images are mirrored, as is usual. Grey ones are not: they are digits,
    letters, scans and spectrograms as often as not, of which a mirror image is another thing, and another place or size
    is not.
    """
    photos = min(images.shape[2:]) >= PHOTO or (isinstance(images, Photos) and images.margin)
    crop, kind = ("resized-crop", "photos") if photos else ("crop", "images")
    if is_grey(images):
        return STANDARDS[crop], f"grey {kind} of your own, which are not mirrored unless asked"
    return STANDARDS[f"{crop}+flip"], f"colour {kind} of your own"


def is_grey(images: Tensor | Photos) -> bool:
    """Whether images [N, C, H, W] have one channel, or three that are equal, as a grey file has that is read as RGB."""
    if isinstance(images, Photos):
        return bool(images.known["grey"].all())
    parts = images.split(256)  # of colour images the first part tells
    return images.shape[1] == 1 or all(bool((part == part[:, :1]).all()) for part in parts)


@dataclass(frozen=True)
class Reading:
    """Facts of what was read from files."""

    files: int = 0
    """How many images were read. It is known, as the two sizes are, once they were decoded."""
    smallest: tuple[int, int] = (0, 0)
    """Height and width of the smallest image, upright, as its file has it."""
    largest: tuple[int, int] = (0, 0)
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done to some of them: "2 of more than 8 bits per pixel, scaled to 8"."""
    left_out: tuple[str, ...] = ()
    """Those that could not be read and were left out, each with the reason in brackets."""


class Rule(Protocol):
    """Map raw values into [0, 1] by what the images that are trained on are like."""

    @property
    def mean(self) -> float:
        """Return the value that networks are to see as 0."""

    @property
    def std(self) -> float:
        """Return the difference that networks are to see as 1."""

    def fitted(self, images: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the map for these training images [N, C, H, W], which gives float32 in [0, 1]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """A dataset as it is read. A split that is missing is cut from `train` by `load_data`."""

    train: Split
    val: Split | None = None
    """None: cut from `train`."""
    test: Split | None = None
    """None: cut from `train`."""
    classes: tuple[str, ...] = ()
    """The K names. Empty: "0" to "K-1"."""
    standard: Standard | None = None
    """The augmentation that is always on; None: `usual_standard` of its images.

    A dataset with a name says what its papers do: `Standard()`, `Standard(flip=False)` where a mirror image is another
    thing, `Standard(scale=(0.08, 1))` for photos."""
    reading: Reading | None = None
    """What was found in the files that it was read from, where it was a folder of images."""
    side: int | None = None
    """Height and width that its images are to have; None: what fits them, or what a task asks for."""
    frame: Frame | None = None
    """What is kept of each image and what a network sees of it, where they were decoded here."""
    holding: str = ""
    """How the images are held, in words."""
    kind: Kind = "images"
    rule: Rule | None = None
    """Of raw values: what they become once it is known which of them are trained on."""

    def parts(self) -> dict[str, Split]:
        """Return the splits that are there, by name."""
        return {name: split for name in PARTS if (split := getattr(self, name)) is not None}


Reader = Callable[[Path], Source | tuple[Any, ...]]
"""Reads a dataset that lives, or is to be downloaded, under the given folder."""


def kind_of(value: Any) -> str:
    """Return the kind of a wrong value, for an error."""
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"
