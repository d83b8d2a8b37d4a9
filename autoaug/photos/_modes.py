"""Images of every mode that Pillow knows, as eight bits of red, green and blue."""

from enum import IntFlag

import numpy
from PIL import Image, ImageCms, ImageOps

from autoaug.photos._errors import DataError


class Changes(IntFlag):
    """What was done to an image: it may be other than the user thinks."""

    DEEP = 1
    TRANSPARENT = 2
    FRAMES = 4


SAID = {
    Changes.DEEP: "of more than 8 bits per pixel, scaled to 8",
    Changes.TRANSPARENT: "with transparent parts, laid on white",
    Changes.FRAMES: "of several frames or pages, of which the first was taken",
}
"""What is said of the images that a change was made to, after their number."""

LAYERED = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
"""Modes that say of each pixel how opaque it is. In others one colour may be transparent."""


def as_rgb(image: Image.Image) -> tuple[Image.Image, Changes]:
    """Return an image upright, as its camera held it, with 8 bits of red, green and blue; and what was done to it.

    Raises:
        DataError: its values cannot be brought to 8 bits.
        ValueError: Pillow knows no way from its mode to colours.
    """
    # before the image is turned: what comes of that is an image of one frame
    frames = has_frames(image)
    pixels, deep = eight_bits(ImageOps.exif_transpose(image))
    colours, transparent = on_white(pixels)
    done = {Changes.DEEP: deep, Changes.TRANSPARENT: transparent, Changes.FRAMES: frames}
    return colours, Changes(sum(change for change, is_so in done.items() if is_so))


def has_frames(image: Image.Image) -> bool:
    """Whether a file has further frames or pages. The second image of an MPO file, beside a photo, is none."""
    # Pillow's classes of files without frames do not have the attribute, as its documentation says
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def eight_bits(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image with 8 bits per channel, and whether it was scaled: 65535 of 16 bits, or 1.0, becomes 255."""
    if not image.mode.startswith(("I", "F")):
        return image, False
    pixels = numpy.asarray(image).astype(numpy.float64)
    most = 1.0 if image.mode == "F" else 65535.0
    if not (pixels.min() >= 0 and pixels.max() <= most):
        raise DataError(f"values from {pixels.min():g} to {pixels.max():g}, where 0 to {most:g} could be scaled")
    return Image.fromarray((pixels * (255 / most)).round().astype(numpy.uint8)), True


def may_be_transparent(image: Image.Image) -> bool:
    """Whether an image says how opaque its pixels are, or which colour is transparent."""
    return image.mode in LAYERED or "transparency" in image.info


def on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image of 8 bits per channel in red, green and blue, and whether a part of it was transparent.

    What is transparent lies on white, as on a page: the colours below it, which nobody sees, are whatever a program
    left there.
    """
    if image.mode == "LAB":
        standard, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, lab, standard, outputMode="RGB")
        assert converted is not None  # it is so only where the image is changed in place
        return converted, False
    if not may_be_transparent(image):
        return image.convert("RGB"), False
    # of grey with a premultiplied opacity Pillow knows the way to grey alone
    layers = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    opacity, _ = layers.getchannel("A").getextrema()
    if opacity == 255:
        return layers.convert("RGB"), False
    white = Image.new("RGBA", layers.size, "white")
    return Image.alpha_composite(white, layers).convert("RGB"), True
