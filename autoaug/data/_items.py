"""Images that are the items of somebody's dataset, and are opened one by one."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import numpy
import torch
from PIL import Image
from torch import Tensor

from autoaug.data._source import kind_of
from autoaug.photos import DataError

ONE_AT_A_TIME = Lock()
"""Images are opened in threads, and a dataset that somebody made for torch's loaders has never met two at once."""


@runtime_checkable
class MapStyle(Protocol):
    """What torch calls a map-style dataset. An item is a pair (image, class), or a dict."""

    def __len__(self) -> int:
        """Return N, the number of items."""

    def __getitem__(self, index: Any, /) -> Any:
        """Return an item."""


@runtime_checkable
class Columns(MapStyle, Protocol):
    """A map-style dataset whose items are dicts, as those of Hugging Face: a column alone comes by its name."""

    column_names: Sequence[str]
    features: Mapping[str, Any]
    """By column, its type."""


@dataclass(frozen=True, eq=False)
class Items:
    """Images of a map-style dataset. See `Encoded`, which they are."""

    dataset: Any
    key: int | str
    """Of the image in an item: 0 of a pair, or a name."""
    part: str
    """What an error calls the dataset: "train"."""
    rows: tuple[int, ...]
    """Which items these are."""
    stated: str | None = None
    """The version that the user states, None where nothing can say whether an item has changed."""

    def __len__(self) -> int:
        """Return N, the number of images."""
        return len(self.rows)

    def open(self, index: int) -> Image.Image:
        """Return the image of an item; the caller may close it."""
        with ONE_AT_A_TIME:
            return as_image(self.dataset[self.rows[index]][self.key])

    def name(self, index: int) -> str:
        """Return what an error calls an image."""
        return item_name(self.rows[index], self.part)

    def version(self) -> str | None:
        """Return a digest of what the user states and of which items these are; None where nothing is stated."""
        if self.stated is None:
            return None
        return hashlib.sha256(f"{self.stated}\0{self.part}\0{self.key}\0{self.rows}".encode()).hexdigest()

    def taken(self, indices: Sequence[int]) -> "Items":
        """Return the images at these indices."""
        return replace(self, rows=tuple(self.rows[index] for index in indices))


def item_name(row: int, part: str) -> str:
    """Return what an error calls an item: "item 3 of the train dataset"."""
    return f"item {row} of the {part} dataset"


def as_image(value: Any) -> Image.Image:
    """Return what an item holds as an image of Pillow, which may be closed.

    A value is an image, a file's path or bytes, a dict with one of these under "path" or "bytes" (as Hugging Face has
    images that it does not decode), H x W or H x W x C bytes of NumPy, or a C x H x W tensor of bytes, or of floats in
    [0, 1], which become bytes.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, Image.Image):
        return value.copy()  # the dataset may hold it, and give it again
    if isinstance(value, Mapping) and (value.get("bytes") or value.get("path")):
        return as_image(value.get("bytes") or value["path"])
    if isinstance(value, bytes):
        return Image.open(BytesIO(value))
    if isinstance(value, str | Path):
        return Image.open(value)
    if isinstance(value, Tensor) and value.ndim == 3 and value.shape[0] in (1, 3):
        return image_of(value)
    if isinstance(value, numpy.ndarray) and value.dtype == numpy.uint8 and value.ndim in (2, 3):
        return Image.fromarray(value)
    raise DataError(f"{kind_of(value)}: give a PIL image or a C x H x W tensor")


def image_of(pixels: Tensor) -> Image.Image:
    """Return a C x H x W tensor as an image: bytes as they are, floats in [0, 1] rounded."""
    if pixels.is_floating_point():
        least, most = float(pixels.min()), float(pixels.max())
        if not (least >= 0 and most <= 1):
            raise DataError(f"a tensor from {least:g} to {most:g}: give uint8, or floats in [0, 1]")
        pixels = (pixels * 255).round().byte()
    if pixels.dtype != torch.uint8:
        raise DataError(f"a tensor of {pixels.dtype}: give uint8, or floats in [0, 1]")
    array = pixels.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array if len(pixels) == 3 else array[:, :, 0])
