"""Operations on the 256 levels of 8-bit images: steps in the forward pass, straight-through gradients.

`images` [B, C, H, W] in [0, 1], amounts [B]. A value is read as the nearest level k / 255. On images made of such
values the result equals torchvision v2 on 8-bit images (and Pillow, except for `auto_contrast`) on every pixel.

A step function has no useful derivative, so each row says what takes its place. Where the loss is to move the
strength, that is the chord of the operation itself (`contract.along_chord`), not a constant: a strength that would
change nothing gets no gradient. Reverse mode only: forward-mode derivatives of these rows are zero.
"""

import torch
from torch import Tensor

from autoaug.ops.contract import along_chord, check_images, straight_through, with_ends, working

_TIE = 1e-6  # a pixel on the threshold counts as above it, whatever the last bit of the strength


def solarize(images: Tensor, fraction: Tensor) -> Tensor:
    """Invert the brightest fraction of the range: pixels of at least 1 - fraction. 0 inverts nothing, 1 everything.

    (At threshold 255 torchvision and Pillow invert white; here strength 0 is the identity.)
    Gradient of the image: exact, -1 where inverted and 1 elsewhere. Gradient of the fraction: straight-through,
    the chord over fraction ± 1/8, to which the pixels within 1/8 of the threshold contribute.
    """
    x, a = working(images, fraction)
    inverted = _inverted(x, with_ends(a, 1 / 8))
    value = torch.addcmul(inverted[0], x, torch.rsub(inverted[0], 1, alpha=2))
    ends = torch.addcmul(inverted[1:], inverted[1:], x, value=-2)
    return along_chord(value, ends, a, 1 / 8).to(images.dtype)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Set the lowest bits of the 8-bit level to zero, `bits` of them, rounded to a whole number from 0 to 8.

    Gradient of the image: straight-through, 1. Gradient of the bits: straight-through, the chord over bits ± 1.
    """
    x, a = working(images, bits)
    values = _posterized(x, with_ends(a, 1))
    return along_chord(straight_through(values[0], x), values[1:], a, 1).to(images.dtype)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch each channel so that its darkest level becomes 0 and its brightest 255, cutting fractions off.

    A channel of a single level stays as it is. The arithmetic is torchvision's (Pillow's rounding differs by one
    level at a few places). Gradient of the image: straight-through, 1.
    """
    check_images(images)
    return straight_through(_stretched(images), images)


def equalize(images: Tensor) -> Tensor:
    """Flatten each channel's histogram by Pillow's rule. Gradient of the image: straight-through, 1."""
    check_images(images)
    return straight_through(_equalized(images), images)


@torch.no_grad()
def _inverted(x: Tensor, fractions: Tensor) -> Tensor:
    """1 where a pixel is inverted and 0 elsewhere, as numbers: several times faster than booleans."""
    shifts = torch.where(fractions > 0, fractions + _TIE, -1)  # without it, strength 0 would invert white
    return (x + shifts).floor_().clamp_(0, 1)


@torch.no_grad()
def _posterized(x: Tensor, bits: Tensor) -> Tensor:
    """Level // 2^bits * 2^bits; the untouched image where no bit is removed, even between two levels.

    Less than 0 bits are none, and more than 8 leave black like 8.
    """
    step = torch.exp2(bits.round())
    changed = (step > 1).to(x.dtype)
    levels = (_levels(x) / step).floor_().mul_(step * changed)
    return levels.div_(255).addcmul_(x, 1 - changed)


@torch.no_grad()
def _stretched(images: Tensor) -> Tensor:
    levels = _levels(images.float())
    low, high = levels.amin((2, 3), keepdim=True), levels.amax((2, 3), keepdim=True)
    flat = low == high
    width = torch.where(flat, 1.0, (high - low) * (1 / 255))
    stretched = levels.sub_(torch.where(flat, 0.0, low)).div_(width).floor_().clamp_(0, 255)
    return stretched.to(images.dtype).div_(255)


@torch.no_grad()
def _equalized(images: Tensor) -> Tensor:
    levels = _levels(images.float()).long().flatten(2)
    table = _equalizing_table(levels).div_(255).to(images.dtype)
    return table.gather(2, levels).view_as(images)


def _equalizing_table(levels: Tensor) -> Tensor:
    """New level of each old one [B, C, 256], from levels [B, C, HW].

    Pillow's rule: a step is 1/255 of the pixels below the brightest level; a level becomes the number of steps
    that the pixels darker than it fill, rounded. Without a whole step the channel stays as it is. Whole numbers are
    divided as float64, which is exact and several times faster.
    """
    ones = torch.ones_like(levels)
    histogram = ones.new_zeros(*levels.shape[:2], 256).scatter_add_(2, levels, ones).double()
    brightest = histogram.gather(2, levels.amax(2, keepdim=True))
    step = ((levels.shape[2] - brightest) / 255).floor_()
    darker = histogram.cumsum(2) - histogram
    table = darker.add_((step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    return torch.where(step > 0, table, torch.arange(256, device=levels.device, dtype=table.dtype))


def _levels(x: Tensor) -> Tensor:
    return (x * 255).round_()
