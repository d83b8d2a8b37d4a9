"""Operations that draw: one draw per image, from the generator given, in float32 whatever the images' dtype.

`images` [B, C, H, W] in [0, 1], amounts [B]. What is drawn depends on the shape of the images alone, never on the
amount: with the generator in the same state, a larger amount is the same event made larger. The generator may live
on another device than the images.
"""

import math
from functools import partial

import torch
from torch import Generator, Tensor

from autoaug.devices import to_device
from autoaug.ops._contract import chord, per_image, unchanged, with_local_grads, working
from autoaug.ops._geometric import translation


def cutout(images: Tensor, side: Tensor, rng: Generator) -> Tensor:
    """Black out a square around a random pixel; its side is a fraction of the shorter side of the image.

    What reaches over the edge is cut off (DeVries and Taylor 2017). A pixel that is covered in part is darkened in
    part, so the gradient is exact in the side and in the image; a side of an even number of pixels is the paper's.
    """
    x, a = working(images, side)
    _, _, height, width = x.shape
    half = a * (min(height, width) / 2)
    across, down = _uniform(images, rng, 2)
    columns = _covered((across * width).floor(), half, width)
    rows = _covered((down * height).floor(), half, height).transpose(2, 3)
    return (x * (1 - rows * columns)).to(images.dtype)


def random_erasing(images: Tensor, side: Tensor, rng: Generator) -> Tensor:
    """Black out a rectangle that lies wholly in the image; `side` is the root of its share of the area.

    Its height over its width is between 0.3 and 1/0.3, log-uniform, as far as the image has room (Zhong et al. 2020).
    A pixel that is covered in part is darkened in part, so the gradient is exact in the side and in the image.
    """
    x, a = working(images, side)
    height, width = x.shape[2:]
    shape, across, down = _uniform(images, rng, 3)
    stretch = (math.log(1 / 0.3) * (shape - 0.5)).exp().to(a.dtype)
    area_side = a * math.sqrt(height * width)
    wide, high = (area_side / stretch).clamp(max=width), (area_side * stretch).clamp(max=height)
    columns = _covered(across * (width - wide) + wide / 2, wide / 2, width)
    rows = _covered(down * (height - high) + high / 2, high / 2, height).transpose(2, 3)
    return (x * (1 - rows * columns)).to(images.dtype)


def salt_and_pepper(images: Tensor, share: Tensor, rng: Generator) -> Tensor:
    """Make this share of the pixels white or black, each as likely, in all channels.

    Gradient of the image: exact. Gradient of the share: straight-through, the chord (`_contract.chord`) over ± 0.05,
    with the same draws.
    """
    x, a = working(images, share)
    draws = torch.rand(len(x), 2, *x.shape[2:], generator=rng, device=rng.device, dtype=torch.float32)
    when, which = to_device(draws, x.device).split(1, dim=1)
    sprinkled = partial(_sprinkled, when=when, salt=(which < 0.5).to(x.dtype))
    return with_local_grads(sprinkled(x, a), (x, a), (0, chord(sprinkled, 0.05))).to(images.dtype)


def channel_shuffle(images: Tensor, share: Tensor, rng: Generator) -> Tensor:
    """Put the channels in a random order, this share of the way: (1 - a) x + a shuffled; exact gradients.

    All six orders are equally likely, so one image in six stays. So does a one-channel image.
    """
    x, a = working(images, share)
    uniform = torch.rand(len(x), 3, generator=rng, device=rng.device, dtype=torch.float32)
    if x.shape[1] == 1:
        return unchanged(x, a).to(images.dtype)
    order = to_device(uniform, x.device).argsort(1)[:, :, None, None].expand_as(x)
    return torch.lerp(x, x.gather(1, order), a).to(images.dtype)


def gaussian_noise(images: Tensor, deviation: Tensor, rng: Generator) -> Tensor:
    """Add independent normal noise of this standard deviation to every value, cut to [0, 1]; exact gradients."""
    x, a = working(images, deviation)
    noise = torch.randn(x.shape, generator=rng, device=rng.device, dtype=torch.float32)
    return torch.addcmul(x, a, to_device(noise, x.device, x.dtype)).clamp_(0, 1).to(images.dtype)


def crop(images: Tensor, padding: Tensor, rng: Generator) -> Tensor:
    """Pad with black by a fraction of the size on each side, then crop to the old size at a random offset.

    The padding is rounded to whole pixels, and the 2 * padding + 1 offsets in each direction are equally likely.
    Gradient of the image: exact. Gradient of the padding: straight-through, the chord (`_contract.chord`)
    over ± 1 pixel of the shorter side, with the same draws.
    """
    amount = per_image(images, padding).view(-1, 1, 1, 1)
    draws = _uniform(images, rng, 2)
    pixel = 1 / min(images.shape[2:])
    cropped = partial(_cropped, draws=draws)
    return with_local_grads(cropped(images, amount), (images, amount), (0, chord(cropped, pixel))).to(images.dtype)


def crop_matrix(padding: Tensor, height: int, width: int, rng: Generator) -> Tensor:
    """Return the matrices [B, 2, 3] of `crop` by amounts [B], as it draws them from the same state of the generator."""
    across, down = (draw.flatten() for draw in _uniform(padding, rng, 2))
    return translation(2 * _offset(across, padding, width) / width, 2 * _offset(down, padding, height) / height)


def _uniform(images: Tensor, rng: Generator, numbers: int) -> tuple[Tensor, ...]:
    """Return numbers in [0, 1) per image, each as [B, 1, 1, 1]."""
    uniform = torch.rand(len(images), numbers, generator=rng, device=rng.device, dtype=torch.float32)
    return to_device(uniform, images.device).view(-1, numbers, 1, 1, 1).unbind(1)


def _sprinkled(images: Tensor, share: Tensor, when: Tensor, salt: Tensor) -> Tensor:
    """Return images with salt, which is 1 or 0, where a uniform draw is below the share; [..., B, C, H, W]."""
    return torch.where(when < share, salt, images)


def _covered(centre: Tensor, half: Tensor, size: int) -> Tensor:
    """Return the part [B, 1, 1, size] of each pixel [i, i + 1] that lies between centre - half and centre + half."""
    left = torch.arange(size, device=half.device, dtype=half.dtype)
    return (torch.minimum(left + 1, centre + half) - torch.maximum(left, centre - half)).clamp(min=0)


def _cropped(images: Tensor, padding: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
    """Return crops of the padded images at offsets that uniform draws choose."""
    height, width = images.shape[2:]
    columns, column_inside = _looked_up(draws[0], padding, width)
    rows, row_inside = _looked_up(draws[1], padding, height)
    index = (rows.transpose(-2, -1) * width + columns).flatten(-2)
    inside = row_inside.transpose(-2, -1) & column_inside
    shape = (*index.shape[:-2], images.shape[1], height * width)
    return images.flatten(2).expand(shape).gather(-1, index.expand(shape)).unflatten(-1, (height, width)) * inside


def _looked_up(draw: Tensor, fraction: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return which old row or column each new one shows, [..., B, 1, 1, size], and whether it lies inside the image."""
    old = torch.arange(size, device=draw.device) + _offset(draw, fraction, size).long()
    return old.clamp(0, size - 1), (old >= 0) & (old < size)


def _offset(draw: Tensor, fraction: Tensor, size: int) -> Tensor:
    """Return by how many pixels a crop begins after the image does, before it where negative."""
    pixels = (fraction.detach().clamp(min=0) * size).round()
    return (draw * (2 * pixels + 1)).floor() - pixels
