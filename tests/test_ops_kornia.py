"""Operations against kornia's, which are differentiable too: the same pixels, and the same gradients.

Only where kornia means the same: its shear is about a corner, so it is given the centre here; its posterize cuts off
fractions of a level where ours rounds; its equalize and min-max normalisation are other functions.
"""

import math
from collections.abc import Callable

import kornia.enhance as enhance
import kornia.geometry.transform as transform
import pytest
import torch
from kornia.color import rgb_to_grayscale
from torch import Generator, Tensor
from torch.autograd import grad

from autoaug.ops import (
    brightness,
    color,
    contrast,
    grey,
    hflip,
    hue,
    invert,
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
from autoaug.testing import photographs

Function = Callable[[Tensor, Tensor], Tensor]

EXACT = 1e-12
"""Tolerance of float64, as a share of one for pixels and of the largest gradient."""
COLOUR_CIRCLE = 1e-6
"""The same where kornia adds 1e-8 to the divisors of hue and saturation."""


def images() -> Tensor:
    """Images [4, 3, 24, 20] in float64 of which no operation below cuts a pixel at 0 or 1, and no two channels tie."""
    shift = torch.tensor([0.0, 0.01, 0.02], dtype=torch.double).view(3, 1, 1)
    return 0.3 + 0.4 * photographs(4, 3, 24, 20).double() + shift


def sheared(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Kornia's shear by angles [B] about the centre of the image."""
    size = images.shape[2:]
    zero, one = torch.zeros_like(x), torch.ones(len(images), 2).to(x)
    centre = torch.tensor([[(size[1] - 1) / 2, (size[0] - 1) / 2]]).to(x).expand(len(images), 2)
    matrix = transform.get_affine_matrix2d(torch.zeros_like(centre), centre, one, zero, sx=x, sy=y)
    return transform.warp_affine(images, matrix[:, :2], tuple(size), align_corners=False)


def moved(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Kornia's translation by shares of the width and the height."""
    pixels = torch.stack([x * images.shape[3], y * images.shape[2]], 1)
    return transform.translate(images, pixels, align_corners=False)


ROWS: dict[str, tuple[Function, Function, float, float]] = {
    # ours, kornia's, the largest amount, the tolerance
    "brightness": (brightness, lambda x, a: enhance.adjust_brightness_accumulative(x, 1 + a), 0.3, EXACT),
    "contrast": (contrast, lambda x, a: enhance.adjust_contrast_with_mean_subtraction(x, 1 + a), 0.3, EXACT),
    "color": (color, lambda x, a: enhance.adjust_saturation_with_gray_subtraction(x, 1 + a), 0.3, EXACT),
    "sharpness": (sharpness, lambda x, a: enhance.sharpness(x, 1 + a), 0.3, EXACT),
    "saturation": (saturation, lambda x, a: enhance.adjust_saturation(x, 1 + a), 0.3, COLOUR_CIRCLE),
    "hue": (hue, lambda x, a: enhance.adjust_hue(x, 2 * math.pi * a), 0.3, COLOUR_CIRCLE),
    "rotate": (rotate, lambda x, a: transform.rotate(x, a, align_corners=False), 30.0, EXACT),
    "shear_x": (shear_x, lambda x, a: sheared(x, torch.atan(a), 0 * a), 0.3, EXACT),
    "shear_y": (shear_y, lambda x, a: sheared(x, 0 * a, torch.atan(a)), 0.3, EXACT),
    "translate_x": (translate_x, lambda x, a: moved(x, a, 0 * a), 0.45, EXACT),
    "translate_y": (translate_y, lambda x, a: moved(x, 0 * a, a), 0.45, EXACT),
}


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """Assert that two results differ by no more than a share of the largest number, or of one."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1.0, theirs.abs().max().item()))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ROWS)
def test_values_and_gradients_are_those_of_kornia(name: str, sign: int) -> None:
    ours, theirs, most, tolerance = ROWS[name]
    pixels = images().requires_grad_()
    # at no amount does a position fall on a pixel's centre, where bilinear interpolation has a kink
    amount = (sign * most * torch.tensor([0.143, 0.39, 0.71, 0.97], dtype=torch.double)).requires_grad_()
    weights = torch.randn(pixels.shape, generator=Generator().manual_seed(0), dtype=torch.double)
    results = [function(pixels, amount) for function in (ours, theirs)]
    close(*results, tolerance)
    grads = [grad((weights * result).sum(), (pixels, amount)) for result in results]
    for one, other in zip(*grads, strict=True):
        assert one.abs().max() > 1e-3
        close(one, other, tolerance)


def test_solarize_has_the_pixels_and_the_image_gradient_of_kornia() -> None:
    pixels, share = images().requires_grad_(), torch.tensor([0.35, 0.45, 0.55, 0.65], dtype=torch.double)
    ours, theirs = solarize(pixels, share), enhance.solarize(pixels, 1 - share)
    assert torch.equal(ours, theirs)
    assert torch.equal(grad(ours.sum(), pixels)[0], grad(theirs.sum(), pixels)[0])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(hflip, transform.hflip), (vflip, transform.vflip), (invert, enhance.invert)],
    ids=["hflip", "vflip", "invert"],
)
def test_operations_without_a_strength_are_those_of_kornia(ours: Function, theirs: Function) -> None:
    assert torch.equal(ours(images()), theirs(images()))


def test_grey_is_the_luma_of_kornia() -> None:
    close(grey(images()), rgb_to_grayscale(images()), EXACT)
