"""Image files as bytes of one size."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from autoaug.data._modes import Changes, as_rgb
from autoaug.data._splits import DataError
from autoaug.text import enumerated


class Picture(NamedTuple):
    """One decoded image."""

    pixels: numpy.ndarray
    """size x size x 3 bytes, upright as its camera held it."""
    shape: tuple[int, int]
    """Height and width of the file's image."""
    changes: Changes


class Unreadable(NamedTuple):
    """An image that cannot be read, and why."""

    file: Path
    reason: str


class Decoded(NamedTuple):
    """Images of one split, and those of them that could not be read."""

    images: Tensor
    """N x 3 x size x size bytes; undefined where an image could not be read."""
    shapes: list[tuple[int, int]]
    changes: Counter[Changes]
    """How many images each change was made to."""
    bad: list[Unreadable]


def decode_all(files: Sequence[Path], size: int) -> Decoded:
    """Decode files in threads; what cannot be read is gathered, so that all of it can be named at once."""
    decoded = Decoded(torch.empty(len(files), 3, size, size, dtype=torch.uint8), [], Counter(), [])
    with ThreadPoolExecutor() as pool:
        for image, picture in zip(decoded.images, pool.map(partial(try_decode, size=size), files), strict=True):
            if isinstance(picture, Unreadable):
                decoded.bad.append(picture)
                continue
            image.copy_(torch.from_numpy(picture.pixels).permute(2, 0, 1))
            decoded.shapes.append(picture.shape)
            decoded.changes.update(picture.changes)  # each flag of them
    return decoded


def try_decode(file: Path, size: int) -> Picture | Unreadable:
    """Return a decoded image file, or why it cannot be read."""
    try:
        with Image.open(file) as image:
            upright, changes = as_rgb(image)
            pixels = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
            return Picture(numpy.array(pixels), (upright.height, upright.width), changes)
    except Exception as error:  # Pillow's decoders raise many kinds
        return Unreadable(file, reason_of(error, file))


def reason_of(error: Exception, file: Path) -> str:
    """Return why an image could not be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "no image inside" if file.stat().st_size else "empty"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def refuse_unreadable(bad: Sequence[Unreadable], total: int, folder: Path, most: int = 5) -> None:
    """Raise a DataError that names the first of all images that cannot be read, and how many they are."""
    if bad:
        examples = [f"{str(image.file.relative_to(folder))!r} ({image.reason})" for image in bad[:most]]
        named = enumerated(examples, len(bad), most)
        count = f"{len(bad)} of {total} images" if total > 1 else "its image"
        raise DataError(f"data {str(folder)!r}: {count} cannot be read: {named}: replace or remove them")
