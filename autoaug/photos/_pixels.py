"""One image as it is kept: decoded, upright, resized once. Without torch, for the processes that decode.

H height, W width, of what is kept
"""

import hashlib
from typing import Any, NamedTuple

import numpy
from PIL import Image, UnidentifiedImageError

from autoaug.photos._encoded import Encoded
from autoaug.photos._modes import SAID, as_rgb

MARGIN = 0.875
"""A network sees this share of the shorter side of a photo when it is evaluated: 224 of 256 pixels, as is usual."""

LONGEST = 4
"""Of a photo that is longer than so many times its shorter side the middle is kept."""

LOOK = numpy.dtype(
    [
        ("readable", "?"),
        ("height", "i4"),  # upright, as the file has it
        ("width", "i4"),
        ("rows", "i4"),  # of what is kept
        ("columns", "i4"),
        ("grey", "?"),  # red, green and blue are equal in all pixels
        ("digest", "u8"),  # of the pixels that are kept
        ("sum", "i8", 3),  # of the bytes of each channel, in the centre that an evaluation sees
        ("squares", "i8", 3),  # of these bytes, summed
    ]
)
"""What is known of an image once it was decoded."""

SIDEWAYS = (5, 6, 7, 8)
"""Orientations of EXIF in which height and width are exchanged."""


class Frame(NamedTuple):
    """What of an image is kept, and what a network sees of it."""

    side: int
    """Height and width of what a network sees, in pixels."""
    shorter: int
    """The shorter side of what is kept. Where it is no more than `side`, the centre alone is kept, a square."""

    @property
    def square(self) -> bool:
        """Whether only the centre is kept."""
        return self.shorter <= self.side

    def kept(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what is kept of an image of this size."""
        if self.square:
            return self.side, self.side
        shorter = min(height, width)
        return tuple(min(round(side * self.shorter / shorter), LONGEST * self.shorter) for side in (height, width))  # type: ignore[return-value]


def photo_frame(side: int) -> Frame:
    """Return the frame of photos that a network sees at `side` pixels: the shorter side is resized to side / 0.875."""
    return Frame(side, round(side / MARGIN))


class Taken(NamedTuple):
    """One decoded image."""

    pixels: numpy.ndarray
    """[H, W, 3], bytes."""
    look: Any
    """A row of `LOOK`."""
    changes: tuple[str, ...]
    """What was done to it beside, in words."""


class Unreadable(NamedTuple):
    """An image that cannot be read, and why."""

    number: int
    """Its index among all images of the dataset."""
    name: str
    reason: str


def take(encoded: Encoded, index: int, frame: Frame) -> Taken | Unreadable:
    """Return an image as it is kept, or why it cannot be read."""
    try:
        with encoded.open(index) as image:
            return taken(image, frame)
    except Exception as error:  # Pillow's decoders, and those of somebody's dataset, raise many kinds
        return Unreadable(index, encoded.name(index), reason_of(error))


def taken(image: Image.Image, frame: Frame) -> Taken:
    """Return an open image as it is kept, and what is known of it."""
    size = upright_size(image)
    pixels, changes = kept_pixels(image, frame)
    return Taken(pixels, look_of(pixels, size, frame), changes)


def kept_pixels(image: Image.Image, frame: Frame) -> tuple[numpy.ndarray, tuple[str, ...]]:
    """Return what is kept of an open image, [H, W, 3] bytes, and what was done to it beside."""
    height, width = upright_size(image)
    ratio = frame.shorter / min(image.size)
    if ratio < 1:  # a JPEG can be decoded at a half, a quarter or an eighth of its size, in as much less time
        image.draft(None, (round(image.width * ratio), round(image.height * ratio)))
    upright, changes = as_rgb(image)
    rows, columns = frame.kept(height, width)
    box = centre_box(upright.height, upright.width, rows, columns)
    pixels = numpy.array(upright.resize((columns, rows), Image.Resampling.BILINEAR, box=box))
    return pixels, tuple(SAID[change] for change in changes)


def look_of(pixels: numpy.ndarray, size: tuple[int, int], frame: Frame) -> Any:
    """Return what is known of an image from the pixels [H, W, 3] that are kept of it."""
    rows, columns = pixels.shape[:2]
    top, left = (rows - frame.side) // 2, (columns - frame.side) // 2
    centre = Image.fromarray(numpy.ascontiguousarray(pixels[top : top + frame.side, left : left + frame.side]))
    counts = numpy.array(centre.histogram(), dtype=numpy.int64).reshape(3, 256)  # faster than sums over the pixels
    alike = bool((counts == counts[0]).all())
    grey = alike and bool((pixels == pixels[:, :, :1]).all())
    digest = int.from_bytes(hashlib.blake2b(pixels.data, digest_size=8).digest(), "little")
    sums, squares = counts @ LEVELS, counts @ LEVELS**2
    return numpy.array((True, *size, rows, columns, grey, digest, sums, squares), dtype=LOOK)


LEVELS = numpy.arange(256)
"""Values of a byte."""


def centre_box(height: int, width: int, rows: int, columns: int) -> tuple[float, float, float, float]:
    """Return the largest box in the middle with the proportions of `rows` x `columns`: left, top, right, bottom."""
    scale = min(height / rows, width / columns)
    high, wide = rows * scale, columns * scale
    if abs(high - height) < 1:  # a pixel's share that rounding has left stays in
        high = float(height)
    if abs(wide - width) < 1:
        wide = float(width)
    return (width - wide) / 2, (height - high) / 2, (width + wide) / 2, (height + high) / 2


def size_of(encoded: Encoded, index: int) -> tuple[int, int]:
    """Return height and width of an image as its camera held it, from its header; (0, 0) where it has none."""
    try:
        with encoded.open(index) as image:
            return upright_size(image)
    except Exception:  # what is wrong is said when it is decoded
        return 0, 0


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width of an open image as its camera held it."""
    # a PNG may say how it was held after its pixels, and would be decoded for the question
    knows = image.format != "PNG" or "exif" in image.info
    sideways = knows and image.getexif().get(0x0112) in SIDEWAYS
    return (image.width, image.height) if sideways else (image.height, image.width)


def reason_of(error: Exception) -> str:
    """Return why an image could not be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "no image inside"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
