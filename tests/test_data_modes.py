"""Files of every mode that Pillow knows: each comes out right, or is refused by name."""

from collections.abc import Callable
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image, ImageCms

from autoaug.data import DataError, load_data
from autoaug.photos._modes import SAID, Changes, as_rgb

NONE = Changes(0)
RED, HIDDEN = (200, 30, 40), (90, 250, 10)


def through(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    """The image as it is read from a file of this kind."""
    file = BytesIO()
    image.save(file, kind, **options)
    return Image.open(BytesIO(file.getvalue()))


def one(image: Image.Image) -> tuple[tuple[int, ...], Changes]:
    """The first pixel, and what was done to the image."""
    colours, changes = as_rgb(image)
    assert colours.mode == "RGB"
    return tuple(numpy.asarray(colours)[0, 0].tolist()), changes


def plain(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (6, 4), colour)


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (plain("1", 1), "png", (255, 255, 255)),
        (plain("L", 7), "png", (7, 7, 7)),
        (plain("P", 0), "gif", (0, 0, 0)),
        (plain("RGB", RED).quantize(4), "png", RED),
        (plain("RGBA", (*RED, 255)), "png", RED),
        (plain("LA", (9, 255)), "png", (9, 9, 9)),
        (plain("HSV", (0, 255, 128)), "", (128, 0, 0)),
        (plain("RGBX", (*RED, 0)), "", RED),
        (plain("YCbCr", (128, 128, 128)), "", (128, 128, 128)),
        (plain("CMYK", (0, 255, 255, 0)), "tiff", (255, 0, 0)),
        (plain("CMYK", (255, 0, 0, 127)), "tiff", (0, 128, 128)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_colours_are_kept(image: Image.Image, kind: str, expected: tuple[int, ...]) -> None:
    assert one(through(image, kind) if kind else image) == (expected, NONE)


def test_a_photo_for_the_press_is_no_negative() -> None:
    """Adobe's programs write the four inks of a JPEG upside down, and so does Pillow."""
    (red, green, blue), changes = one(through(plain("CMYK", (0, 255, 255, 0)), "jpeg", quality=100))
    assert (red > 250, green < 5, blue < 5, changes) == (True, True, True, NONE)


def test_colours_as_the_eye_sees_them() -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(plain("RGB", RED), *profiles, outputMode="LAB")
    found, changes = one(through(lab, "tiff"))
    assert numpy.abs(numpy.subtract(found, RED)).max() <= 3, "L, a and b have 8 bits each"
    assert changes == NONE


@pytest.mark.parametrize(("opacity", "expected"), [(0, (255, 255, 255)), (255, RED), (102, (233, 165, 169))])
def test_what_is_transparent_lies_on_white(opacity: int, expected: tuple[int, ...]) -> None:
    """0.4 of (200, 30, 40) and 0.6 of 255 are (233, 165, 169)."""
    assert one(through(plain("RGBA", (*RED, opacity)), "png")) == (
        expected,
        Changes.TRANSPARENT if opacity < 255 else NONE,
    )


@pytest.mark.parametrize(
    "image",
    [
        through(plain("P", 0), "png", transparency=0),
        through(plain("L", 40), "png", transparency=40),
        through(plain("RGB", HIDDEN), "png", transparency=HIDDEN),
        through(plain("1", 0), "png", transparency=0),
        through(plain("RGBA", (*HIDDEN, 0)), "webp", lossless=True),
        plain("LA", (0, 0)),
        plain("LA", (0, 0)).convert("La"),
        plain("RGBA", (*HIDDEN, 0)).convert("RGBa"),
        plain("PA", (0, 0)),
    ],
    ids=lambda image: image.mode,
)
def test_a_colour_that_nobody_sees_is_not_shown(image: Image.Image) -> None:
    assert one(image) == ((255, 255, 255), Changes.TRANSPARENT)


@pytest.mark.parametrize("kind", [">u2", "<u2", "i4"])
@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257 * 99, 99), (65535, 255)])
def test_sixteen_bits_become_eight(kind: str, value: int, expected: int) -> None:
    image = Image.fromarray(numpy.full((4, 6), value, dtype=kind))
    assert one(through(image, "tiff")) == ((expected,) * 3, Changes.DEEP)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.2, 51), (1.0, 255)])
def test_floats_from_0_to_1(value: float, expected: int) -> None:
    image = Image.fromarray(numpy.full((4, 6), value, dtype=numpy.float32))
    assert one(through(image, "tiff")) == ((expected,) * 3, Changes.DEEP)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_floats_of_no_known_range_are_refused(value: float) -> None:
    with pytest.raises(DataError, match=f"^values from {value:g} to {value:g}, where 0 to 1 could be scaled"):
        as_rgb(Image.fromarray(numpy.full((4, 6), value, dtype=numpy.float32)))


@pytest.mark.parametrize("kind", ["gif", "webp", "tiff", "png"])
def test_the_first_of_several_frames_is_taken_and_said(kind: str) -> None:
    lossless = {"lossless": True} if kind == "webp" else {}
    second = plain("RGB", (0, 0, 255))
    file = through(plain("RGB", (255, 0, 0)), kind, save_all=True, append_images=[second], **lossless)
    assert one(file) == ((255, 0, 0), Changes.FRAMES)
    assert one(through(plain("RGB", (255, 0, 0)), kind, **lossless)) == ((255, 0, 0), NONE)


def test_the_picture_beside_a_photo_is_no_frame() -> None:
    assert one(through(plain("RGB", RED), "mpo", save_all=True, append_images=[plain("RGB", RED)]))[1] == NONE


TURNS: dict[int, Callable[[numpy.ndarray], numpy.ndarray]] = {
    1: lambda array: array,
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.transpose(1, 0, 2),
    6: lambda array: numpy.rot90(array, -1),
    7: lambda array: numpy.rot90(array, 2).transpose(1, 0, 2),
    8: lambda array: numpy.rot90(array, 1),
}
"""What each value of EXIF's tag 274 asks of what is stored, by the standard's table."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_an_image_stands_upright_whichever_way_it_is_stored(orientation: int, kind: str) -> None:
    stored = numpy.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=numpy.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = through(Image.fromarray(stored), kind, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    assert numpy.array_equal(numpy.asarray(as_rgb(file)[0]), TURNS[orientation](stored))


def test_a_folder_says_what_was_done_to_how_many(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        plain("RGB", RED).save(tmp_path / name / "0.png")
        plain("RGBA", (*RED, 0)).save(tmp_path / name / "1.png")
    plain("RGB", RED).save(tmp_path / "dog" / "2.gif", save_all=True, append_images=[plain("RGB", HIDDEN)])
    for name, number in product(("cat", "dog"), range(3, 9)):
        plain("RGB", RED).save(tmp_path / name / f"{number}.png")
    reading = load_data(tmp_path, size=4, val_fraction=0.3).reading
    assert reading is not None
    assert reading.notes == (f"1 {SAID[Changes.FRAMES]}", f"2 {SAID[Changes.TRANSPARENT]}")
