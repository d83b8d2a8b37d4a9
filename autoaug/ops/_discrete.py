"""Operations on the 256 levels of 8-bit images: steps in the forward pass, straight-through gradients.

`images` [B, C, H, W] in [0, 1], amounts [B]. A value is read as the nearest level k / 255. On images made of such
values the result equals torchvision v2 on 8-bit images (and Pillow, except for `auto_contrast`) on every pixel.

A step function has no useful derivative, so each row says what takes its place. Where the loss is to move the
strength, that is the chord of the operation itself (`_contract.chord`), not a constant: a strength that would
change nothing gets no gradient. Reverse mode only: forward-mode derivatives of these rows are zero.
"""

import torch
from torch import Tensor

from autoaug.ops._contract import check_images, chord, with_local_grads, working

_TIE = 1e-6  # a pixel on the threshold counts as above it, whatever the last bit of the strength


def solarize(images: Tensor, fraction: Tensor) -> Tensor:
    """Invert the brightest fraction of the range: pixels of at least 1 - fraction. 0 inverts nothing, 1 everything.

    (At threshold 255 torchvision and Pillow invert white; here strength 0 is the identity.)
    Gradient of the image: exact, -1 where inverted and 1 elsewhere. Gradient of the fraction: straight-through,
    the chord over fraction ± 1/8, to which the pixels within 1/8 of the threshold contribute.
    """
    x, a = working(images, fraction)
    with torch.no_grad():
        value = _inverted(x, a).sub_(x).abs_()
    return with_local_grads(value, (x, a), (_mirror, _solarize_chord)).to(images.dtype)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Set the lowest bits of the 8-bit level to zero, `bits` of them, rounded to a whole number from 0 to 8.

    Gradient of the image: straight-through, 1. Gradient of the bits: straight-through, the chord over bits ± 1.
    """
    x, a = working(images, bits)
    return with_local_grads(_posterized(x, a), (x, a), (1, chord(_posterized, 1))).to(images.dtype)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch each channel so that its darkest level becomes 0 and its brightest 255, cutting fractions off.

    A channel of a single level stays as it is. The arithmetic is torchvision's (Pillow's rounding differs by one
    level at a few places). Gradient of the image: straight-through, 1.
    """
    check_images(images)
    return with_local_grads(_stretched(images), [images], [1])


def equalize(images: Tensor) -> Tensor:
    """Flatten each channel's histogram by Pillow's rule. Gradient of the image: straight-through, 1."""
    check_images(images)
    return with_local_grads(_equalized(images), [images], [1])


def _inverted(x: Tensor, fraction: Tensor) -> Tensor:
    """Return 1 where a pixel is inverted and 0 elsewhere, as numbers: several times faster than booleans."""
    threshold = torch.where(fraction > 0, 1 - _TIE - fraction, 2)  # without it, strength 0 would invert white
    return torch.ge(x, threshold, out=torch.empty_like(x))


def _mirror(x: Tensor, fraction: Tensor) -> Tensor:
    """Return the derivative of each pixel in itself: -1 where it is inverted, 1 elsewhere."""
    return 1 - 2 * _inverted(x, fraction)


def _solarize_chord(x: Tensor, fraction: Tensor) -> Tensor:
    """Return `chord` over ± 1/8 in one comparison.

    A pixel that is farther from the threshold is the same at both ends.
    """
    return (x - (1 - _TIE - fraction)).abs_().lt_(1 / 8).mul_(4 - 8 * x)


@torch.no_grad()
def _posterized(x: Tensor, bits: Tensor) -> Tensor:
    """Return level // 2^bits * 2^bits; the untouched image where no bit is removed, even between two levels.

    Less than 0 bits are none, and more than 8 leave black like 8.
    """
    step = torch.exp2(bits.round())
    changed = (step > 1).to(x.dtype)
    return _levels(x).mul_(1 / step).floor_().mul_(step * changed).div_(255).addcmul_(x, 1 - changed)


@torch.no_grad()
def _stretched(images: Tensor) -> Tensor:
    """Return each channel stretched over all 256 levels."""
    levels = _levels(images.float())
    low, high = levels.amin((2, 3), keepdim=True), levels.amax((2, 3), keepdim=True)
    width = (high - low) * (1 / 255)
    flat = width == 0
    stretched = levels.sub_(low.masked_fill_(flat, 0)).div_(width.masked_fill_(flat, 1)).floor_()
    return stretched.to(images.dtype).div_(255)


@torch.no_grad()
def _equalized(images: Tensor) -> Tensor:
    """Return each level looked up in the table of its channel; all tables [B, C, 256] lie one after the other."""
    levels = _levels(images.float())
    batch, channels, height, width = levels.shape
    brightest = levels.amax((2, 3)).long().unsqueeze(2)
    first = torch.arange(0, batch * channels * 256, 256, dtype=torch.int32, device=images.device)
    entry = levels.int().add_(first.view(batch, channels, 1, 1)).flatten()
    histogram = _counted(entry, batch * channels * 256).view(batch, channels, 256)
    table = _equalizing_table(histogram, brightest, height * width).to(images.dtype).div_(255)
    return table.flatten().index_select(0, entry).view_as(images)


def _counted(entry: Tensor, entries: int) -> Tensor:
    """Return how often each entry of all tables occurs, whole numbers [entries].

    A GPU would have to stop for bincount.
    """
    if entry.device.type == "cpu":
        return entry.bincount(minlength=entries)
    return entry.new_zeros(entries).scatter_add_(0, entry.long(), torch.ones_like(entry))


def _equalizing_table(histogram: Tensor, brightest: Tensor, pixels: int) -> Tensor:
    """Return the new level of each old one, [B, C, 256], from the histogram [B, C, 256].

    `brightest` [B, C, 1] is the brightest level that occurs.

    Pillow's rule: a step is 1/255 of the pixels below the brightest level; a level becomes the number of steps
    that the pixels darker than it fill, rounded. Without a whole step the channel stays as it is. The quotients of
    whole numbers below 2^23 are on the right side of the next whole number in float32 too.
    """
    count = histogram.to(torch.float32 if pixels < 2**23 else torch.float64)
    step = ((pixels - count.gather(2, brightest)) / 255).floor_()
    darker = count.cumsum(2).sub_(count)
    table = darker.add_((step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    return torch.where(step > 0, table, torch.arange(256, device=table.device, dtype=table.dtype))


def _levels(x: Tensor) -> Tensor:
    """Return the 8-bit levels of values in [0, 1], as floats."""
    return (x * 255).round_()
