"""Operations that follow a random cloud: fog, shadows, and uneven brightness and contrast.

`images` [B, C, H, W] in [0, 1], amounts [B]. The cloud is drawn from the generator given, one for each image and the
same whatever the amount. All gradients are exact, with the cloud held fixed.

It plays the part of kornia's `diamond_square`, which sends tables of its own to a GPU and waits for them.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from autoaug.devices import to_device
from autoaug.ops._contract import working

ROUGHNESS = 0.5
"""How much each octave of a cloud counts beside the next coarser one; ImageNet-C's fog has 1/1.4 to 1/3."""


def fog(images: Tensor, thickness: Tensor, rng: Generator) -> Tensor:
    """Add a cloud times this thickness, and divide by 1 + thickness: (x + a c) / (1 + a).

    It is the formula of ImageNet-C (Hendrycks and Dietterich 2019) for an image whose brightest value is 1.
    """
    x, a = working(images, thickness)
    return ((x + a * _cloud(x, rng)) / (1 + a)).to(images.dtype)


def plasma_brightness(images: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    """Make parts brighter and parts darker, by up to this amount: x + a (2 c - 1), cut to [0, 1].

    The formula is that of kornia's `RandomPlasmaBrightness`.
    """
    x, a = working(images, amount)
    return (x + a * (2 * _cloud(x, rng) - 1)).clamp(0, 1).to(images.dtype)


def plasma_contrast(images: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    """Multiply the distance from grey by 1 + a (4 c - 1), from 1 - a to 1 + 3 a, cut to [0, 1].

    At amount 1 the formula is that of kornia's `RandomPlasmaContrast`.
    """
    x, a = working(images, amount)
    return (0.5 + (x - 0.5) * (1 + a * (4 * _cloud(x, rng) - 1))).clamp(0, 1).to(images.dtype)


def plasma_shadow(images: Tensor, darkness: Tensor, rng: Generator) -> Tensor:
    """Subtract this amount where the cloud lies below a random height, cut to [0, 1].

    The formula is that of kornia's `RandomPlasmaShadow`.
    """
    x, a = working(images, darkness)
    height = torch.rand(len(x), 1, 1, 1, generator=rng, device=rng.device, dtype=torch.float32)
    shaded = (_cloud(x, rng) < to_device(height, x.device, x.dtype)).to(x.dtype)
    return (x - a * shaded).clamp(0, 1).to(images.dtype)


def _cloud(images: Tensor, rng: Generator) -> Tensor:
    """Return clouds [B, 1, H, W] that go from 0 to 1: octaves of noise, each half as coarse and `ROUGHNESS` as strong.

    An octave is a grid of uniform numbers with 2, 3, 5, 9 ... of them along each side, interpolated bilinearly.
    """
    batch, _, height, width = images.shape
    octaves = max(1, math.ceil(math.log2(max(height, width))))
    sides = [2**octave + 1 for octave in range(octaves)]
    draws = torch.rand(batch, sum(side * side for side in sides), generator=rng, device=rng.device, dtype=torch.float32)
    cloud = images.new_zeros(batch, 1, height, width, dtype=torch.float32)
    for octave, noise in enumerate(to_device(draws, images.device).split([side * side for side in sides], dim=1)):
        grid = noise.view(batch, 1, sides[octave], sides[octave])
        if batch:  # an empty batch cannot be interpolated
            grid = interpolate(grid, (height, width), mode="bilinear", align_corners=True)
            cloud = cloud + ROUGHNESS**octave * grid
    low, high = cloud.amin((2, 3), keepdim=True), cloud.amax((2, 3), keepdim=True)
    return ((cloud - low) / torch.where(high > low, high - low, 1)).to(images.dtype)
