"""Images of every mode that Pillow knows, as eight bits of red, green and blue."""

import numpy
from PIL import Image, ImageOps

from autoaug.data._errors import DataError


def as_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image upright, as its camera held it, with 8 bits of red, green and blue; and whether it had more bits.

    Raises:
        DataError: its values cannot be brought to 8 bits.
    """
    pixels, deep = eight_bits(ImageOps.exif_transpose(image))
    return pixels.convert("RGB"), deep


def eight_bits(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image with 8 bits per channel, and whether it was scaled: 65535 of 16 bits, or 1.0, becomes 255."""
    if not image.mode.startswith(("I", "F")):
        return image, False
    pixels = numpy.asarray(image).astype(numpy.float64)
    most = 1.0 if image.mode == "F" else 65535.0
    if not (pixels.min() >= 0 and pixels.max() <= most):
        raise DataError(f"values from {pixels.min():g} to {pixels.max():g}, where 0 to {most:g} could be scaled")
    return Image.fromarray((pixels * (255 / most)).round().astype(numpy.uint8)), True
