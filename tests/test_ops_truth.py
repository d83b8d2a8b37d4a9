"""Operations against answers known otherwise: torchvision v2, Pillow, the standard library, and by hand."""

import colorsys
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision

from autoaug.ops import (
    affine,
    auto_contrast,
    brightness,
    color,
    contrast,
    equalize,
    grey,
    hflip,
    hue,
    invert,
    posterize,
    rotate,
    saturation,
    sharpness,
    shear_x,
    shear_y,
    solarize,
    translate_x,
    translate_y,
    vflip,
)
from autoaug.testing import eight_bit, photographs

Function = Callable[..., Tensor]
SIZES = [(32, 32), (24, 41), (17, 16)]
BLENDS = [-0.99, -0.75, -0.25, 0.0, 0.125, 0.5, 0.875, 1.0]


def every(images: Tensor, amount: float) -> Tensor:
    """The same amount for every image."""
    return torch.full([len(images)], amount, dtype=images.dtype)


def examples(height: int = 32, width: int = 32, channels: int = 3) -> Tensor:
    """8-bit images: photographs, noise with every level, two levels, few levels, dark, black, one grey, white."""
    rng = torch.Generator().manual_seed(1)
    shape = (2, channels, height, width)
    noise = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
    flat = torch.tensor([0, 137, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, *shape[1:])
    photos = eight_bit(photographs(4, channels, height, width))
    return torch.cat([photos, noise, noise // 128 * 90 + 40, noise // 32 * 32, noise // 100, flat])


def unit(images: Tensor) -> Tensor:
    """8-bit images as ours take them."""
    return images.float() / 255


def assert_every_pixel_equal(ours: Tensor, theirs: Tensor) -> None:
    """Ours are levels to rounding, and the same ones."""
    torch.testing.assert_close(ours, unit(theirs), atol=1e-6, rtol=0)


def with_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return torch.stack([torch.from_numpy(np.array(change(picture))).permute(2, 0, 1) for picture in pictures])


# ---- geometric ----

GEOMETRIC = {
    "shear_x": (shear_x, 0.99, lambda a, h, w: {"shear": [math.degrees(math.atan(a)), 0.0]}),
    "shear_y": (shear_y, 0.99, lambda a, h, w: {"shear": [0.0, math.degrees(math.atan(a))]}),
    "translate_x": (translate_x, 1.0, lambda a, h, w: {"translate": [a * w, 0.0]}),
    "translate_y": (translate_y, 1.0, lambda a, h, w: {"translate": [0.0, a * h]}),
    "rotate": (rotate, 135.0, lambda a, h, w: {"angle": -a}),  # its affine turns clockwise, its rotate does not
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("part", [-1, -0.4, -0.05, 0.013, 0.3, 0.7])
@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometric_operations_equal_torchvision_on_every_pixel(name: str, part: float, size: tuple[int, int]) -> None:
    function, most, arguments = GEOMETRIC[name]
    given = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]} | arguments(part * most, *size)
    images = examples(*size)
    ours = function(unit(images), every(unit(images), part * most))
    smooth = InterpolationMode.BILINEAR
    torch.testing.assert_close(ours, torchvision.affine(unit(images), **given, interpolation=smooth), atol=1e-4, rtol=0)
    off = 255 * ours - torchvision.affine(images, **given, interpolation=smooth)
    assert off.abs().max() < 0.505  # it rounds to the nearest level


@pytest.mark.parametrize("degrees", [-130, -30, 7.3, 90, 121])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_rotation_equals_torchvision_and_its_direction(degrees: float, size: tuple[int, int]) -> None:
    images = unit(examples(*size))
    theirs = torchvision.rotate(images, degrees, interpolation=InterpolationMode.BILINEAR)
    torch.testing.assert_close(rotate(images, every(images, degrees)), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("degrees", [-30, -11, 20])
def test_rotation_equals_pillow_inside(degrees: float) -> None:
    images = examples(48, 64)
    theirs = with_pillow(images, lambda picture: picture.rotate(degrees, Image.Resampling.BILINEAR))
    off = 255 * rotate(unit(images), every(unit(images), degrees)) - theirs
    assert off[..., 14:-14, 14:-14].abs().max() <= 1.001  # it cuts the fraction of a level off


def test_quarter_turns_are_exact() -> None:
    square, wide = photographs().double(), photographs(height=9, width=14).double()
    for degrees, turns in ((90, 1), (180, 2), (-90, 3)):
        torch.testing.assert_close(rotate(square, every(square, degrees)), square.rot90(turns, (2, 3)))
    torch.testing.assert_close(rotate(wide, every(wide, 180)), wide.flip(2, 3))


def test_rotation_keeps_angles_on_images_that_are_not_square() -> None:
    """A bar at 30 degrees in a wide image stands upright after a turn by 60."""
    y, x = torch.meshgrid(torch.arange(-20.0, 21), torch.arange(-45.0, 46), indexing="ij")
    angle = math.radians(30)
    bar = (1 - (x * math.sin(angle) + y * math.cos(angle)).abs() / 6).clamp(min=0)[None, None]
    upright = (1 - x.abs() / 6).clamp(min=0)
    turned = rotate(bar, torch.tensor([60.0]))[0, 0]
    assert (turned - upright)[3:-3].abs().max() < 0.1
    assert (bar[0, 0] - upright)[3:-3].abs().max() > 0.9


@pytest.mark.parametrize("pixels", [-3, 1, 6])
def test_translation_by_whole_pixels_moves_the_pixels(pixels: int) -> None:
    images = photographs(height=12, width=15).double()
    moved = pad(images, (pixels, -pixels, 0, 0))
    torch.testing.assert_close(translate_x(images, every(images, pixels / 15)), moved)
    moved = pad(images, (0, 0, pixels, -pixels))
    torch.testing.assert_close(translate_y(images, every(images, pixels / 12)), moved)


def test_affine_takes_six_parameters_in_the_coordinates_of_affine_grid() -> None:
    rng = torch.Generator().manual_seed(0)
    images = photographs(height=19, width=30)
    matrix = torch.eye(2, 3) + 0.3 * torch.randn(6, 2, 3, generator=rng)
    grid = torch.nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    theirs = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(affine(images, matrix), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("flip", "theirs"), [(hflip, torchvision.hflip), (vflip, torchvision.vflip)])
def test_flips(flip: Function, theirs: Function) -> None:
    assert torch.equal(flip(photographs(height=5)), theirs(photographs(height=5)))


# ---- photometric, against float images ----


@pytest.mark.parametrize("amount", BLENDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(brightness, torchvision.adjust_brightness), (sharpness, torchvision.adjust_sharpness)],
)
def test_blends_equal_torchvision_on_float_images(
    ours: Function, theirs: Function, channels: int, amount: float
) -> None:
    images = unit(examples(24, 41, channels))
    torch.testing.assert_close(ours(images, every(images, amount)), theirs(images, 1 + amount), atol=2e-6, rtol=0)


@pytest.mark.parametrize("amount", BLENDS)
def test_contrast_of_one_channel_equals_torchvision(amount: float) -> None:
    images = unit(examples(24, 41, 1))
    theirs = torchvision.adjust_contrast(images, 1 + amount)
    torch.testing.assert_close(contrast(images, every(images, amount)), theirs, atol=2e-6, rtol=0)


@pytest.mark.parametrize("amount", [-0.5, -0.25, 0.125, 0.25])
@pytest.mark.parametrize("ours", [color, contrast])
def test_grey_blends_equal_torchvision_but_for_its_weight_of_red(ours: Function, amount: float) -> None:
    """0.299 against 0.2989 of red moves the pivot, and so the result by -amount times as much where nothing is cut."""
    images = 0.35 + 0.3 * unit(examples(24, 41)).double()
    theirs = {color: torchvision.adjust_saturation, contrast: torchvision.adjust_contrast}[ours](images, 1 + amount)
    red = images[:, :1] if ours is color else images[:, :1].mean((2, 3), keepdim=True)
    off = ours(images, every(images, amount)) - theirs
    torch.testing.assert_close(off, (-amount * 1e-4 * red).expand_as(off), atol=1e-12, rtol=0)


@pytest.mark.parametrize("turn", [-0.5, -0.3, -1 / 6, 0.05, 0.25, 0.5])
def test_hue_equals_torchvision_on_float_images(turn: float) -> None:
    images = unit(examples())
    theirs = torchvision.adjust_hue(images, turn)
    torch.testing.assert_close(hue(images, every(images, turn)), theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("amount", [-0.3, 0.4])
def test_hue_and_saturation_are_those_of_the_standard_library(amount: float) -> None:
    images = photographs(1, height=12, width=12).double()
    turned, stronger = (op(images, every(images, amount))[0].flatten(1).T.tolist() for op in (hue, saturation))
    for pixel, new_hue, new_saturation in zip(images[0].flatten(1).T.tolist(), turned, stronger, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        assert new_hue == pytest.approx(colorsys.hsv_to_rgb((h + amount) % 1, s, v), abs=1e-9)
        assert new_saturation == pytest.approx(colorsys.hsv_to_rgb(h, min(1, s * (1 + amount)), v), abs=1e-9)


# ---- photometric, against 8-bit images: what rounding the pivot and cutting the fraction off explain, no more ----


@pytest.mark.parametrize("amount", BLENDS)
def test_brightness_cut_to_levels_equals_torchvision_on_every_pixel(amount: float) -> None:
    images = examples()
    ours = 255 * brightness(unit(images), every(unit(images), amount))
    assert torch.equal((ours + 1e-3).to(torch.uint8), torchvision.adjust_brightness(images, 1 + amount))


@pytest.mark.parametrize("amount", BLENDS)
@pytest.mark.parametrize(
    ("ours", "theirs", "rounding"),
    [
        (color, ImageEnhance.Color, 0.5),  # the grey of each pixel, rounded
        (contrast, ImageEnhance.Contrast, 1.0),  # the mean of rounded greys, rounded
        (brightness, ImageEnhance.Brightness, 0.0),
        (sharpness, ImageEnhance.Sharpness, 0.5),  # the blurred pixel, rounded
    ],
)
def test_blends_equal_pillow_on_every_pixel(ours: Function, theirs: Function, rounding: float, amount: float) -> None:
    images = examples()
    off = 255 * ours(unit(images), every(unit(images), amount)) - with_pillow(
        images, lambda picture: theirs(picture).enhance(1 + amount)
    )
    pivot = rounding * abs(amount) + 1e-3
    assert off.min() >= -pivot
    assert off.max() < 1 + pivot


@pytest.mark.parametrize("amount", BLENDS)
@pytest.mark.parametrize(
    ("ours", "theirs", "rounding"),
    [
        (color, torchvision.adjust_saturation, 1.03),  # the grey is cut to a level, and red weighs less
        (contrast, torchvision.adjust_contrast, 1.03),
        (sharpness, torchvision.adjust_sharpness, 0.5),
    ],
)
def test_blends_equal_torchvision_on_8_bit_images(
    ours: Function, theirs: Function, rounding: float, amount: float
) -> None:
    images = examples()
    off = 255 * ours(unit(images), every(unit(images), amount)) - theirs(images, 1 + amount)
    pivot = rounding * abs(amount) + 1e-3
    assert off.min() >= -pivot
    assert off.max() < 1 + pivot


def test_grey_is_pillows() -> None:
    images = examples()
    theirs = with_pillow(images, lambda picture: picture.convert("L").convert("RGB"))
    assert (255 * grey(unit(images)) - theirs).abs().max() < 0.505  # its weights are rounded to 16 bits


# ---- operations on levels: equal on every pixel ----


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(equalize, torchvision.equalize), (auto_contrast, torchvision.autocontrast), (invert, torchvision.invert)],
)
def test_operations_without_strength_equal_torchvision(
    ours: Function, theirs: Function, channels: int, size: tuple[int, int]
) -> None:
    images = examples(*size, channels)
    assert_every_pixel_equal(ours(unit(images)), theirs(images))
    torch.testing.assert_close(ours(images.double() / 255), theirs(images).double() / 255, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("ours", "theirs"), [(equalize, ImageOps.equalize), (invert, ImageOps.invert)])
def test_operations_without_strength_equal_pillow(ours: Function, theirs: Function) -> None:
    assert_every_pixel_equal(ours(unit(examples())), with_pillow(examples(), theirs))


def test_auto_contrast_is_within_a_level_of_pillow() -> None:
    off = 255 * auto_contrast(unit(examples())) - with_pillow(examples(), ImageOps.autocontrast)
    assert off.abs().max() < 1.001
    assert (off.abs() > 0.5).float().mean() < 0.05


def test_auto_contrast_equals_torchvision_for_every_darkest_and_brightest_level() -> None:
    low, high = torch.tril_indices(256, 256, -1).flip(0).unsqueeze(2)
    ramps = torch.arange(256).clamp(low, high).to(torch.uint8).view(-1, 1, 1, 256)
    assert_every_pixel_equal(auto_contrast(unit(ramps)), torchvision.autocontrast(ramps))


@pytest.mark.parametrize("bits", range(9))
def test_posterize_equals_torchvision_and_pillow(bits: int) -> None:
    images = examples()
    ours = posterize(unit(images), every(unit(images), float(bits)))
    assert_every_pixel_equal(ours, torchvision.posterize(images, 8 - bits))
    if bits < 8:  # Pillow keeps at least one
        assert_every_pixel_equal(ours, with_pillow(images, lambda picture: ImageOps.posterize(picture, 8 - bits)))


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_leaves_as_many_levels_as_the_bits_kept(bits: int) -> None:
    noise = torch.rand(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    assert len(posterize(noise, torch.tensor([float(bits)])).unique()) == 2 ** (8 - bits)


def test_posterize_rounds_its_bits() -> None:
    noise = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    for given, used in ((0.4, 0.0), (0.6, 1.0), (3.3, 3.0), (-1.0, 0.0), (11.0, 8.0)):
        assert torch.equal(posterize(noise, torch.tensor([given])), posterize(noise, torch.tensor([used])))


def test_solarize_equals_torchvision_at_every_threshold_and_level() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    thresholds = [k / 255 for k in range(255)] + torch.linspace(0, 0.999, 777, dtype=torch.double).tolist()
    for threshold in thresholds:
        fraction = torch.tensor([1 - threshold])
        theirs = torchvision.solarize(levels, 255 * threshold)
        assert_every_pixel_equal(solarize(unit(levels), fraction), theirs)


def test_a_pixel_on_the_threshold_is_inverted_whatever_the_last_bit_of_the_strength() -> None:
    levels = torch.arange(255).view(255, 1, 1, 1) / 255
    fraction = (1 - levels).view(-1)
    for rounded in (fraction, torch.nextafter(fraction, torch.zeros(255))):
        torch.testing.assert_close(solarize(levels, rounded), 1 - levels)


def test_values_between_levels_are_read_as_the_nearest() -> None:
    between = torch.tensor([100.4, 100.6, 101.4, 101.6]).view(1, 1, 1, 4) / 255
    one_bit = 255 * posterize(between, torch.tensor([1.0]))
    torch.testing.assert_close(one_bit, torch.tensor([100.0, 100.0, 100.0, 102.0]).view(1, 1, 1, 4))


def test_solarize_equals_pillow() -> None:
    for threshold in (1, 60, 128, 200, 254):
        fraction = every(unit(examples()), 1 - threshold / 255)
        theirs = with_pillow(examples(), lambda picture: ImageOps.solarize(picture, threshold))  # noqa: B023
        assert_every_pixel_equal(solarize(unit(examples()), fraction), theirs)


def test_solarize_inverts_all_at_one_and_not_even_white_at_zero() -> None:
    images = unit(examples())
    assert torch.equal(solarize(images, every(images, 0)), images)
    torch.testing.assert_close(solarize(images, every(images, 1)), 1 - images)
