"""Where the resized crops of a minibatch lie.

B images, each H pixels high and W wide
"""

import math

import torch
from torch import Generator, Tensor

TRIES = 10
"""Boxes that are drawn for each image; of those that do not fit it, the next one is taken."""


def draw_boxes(
    heights_and_widths: Tensor, scale: tuple[float, float], ratio: tuple[float, float], rng: Generator
) -> Tensor:
    """Return a random box within each image: [B, 4], int64, on the CPU, each (top, left, height, width) in pixels.

    The distribution is that of torchvision's `RandomResizedCrop.get_params` (Szegedy et al. 2015). The area is uniform,
    the logarithm of width / height too, and so is the place. Both are drawn anew, up to ten times, until the box fits;
    otherwise it is the largest in the middle of the image whose ratio is within `ratio`. All images are drawn for at
    once, and the state of the generator afterwards does not depend on what was drawn.

    Args:
        heights_and_widths: [B, 2], int64, on the CPU, in pixels.
        scale: the least and the largest area, as shares of the image's, in (0, 1].
        ratio: the least and the largest width / height.
        rng: on the CPU.
    """
    sizes = heights_and_widths.double()
    area_draws, ratio_draws = torch.rand(2, len(sizes), TRIES, generator=rng, dtype=torch.float64)
    areas = sizes.prod(1, keepdim=True) * within(*scale, area_draws)
    ratios = within(math.log(ratio[0]), math.log(ratio[1]), ratio_draws).exp()
    tried = torch.stack([(areas / ratios).sqrt(), (areas * ratios).sqrt()], dim=2).round()
    fits = ((tried > 0) & (tried <= sizes[:, None])).all(2)
    first = tried[torch.arange(len(sizes)), fits.int().argmax(1)]
    box = torch.where(fits.any(1, keepdim=True), first, largest(sizes, ratio))
    places = torch.rand(len(sizes), 2, generator=rng, dtype=torch.float64)
    room = sizes - box
    drawn = (places * (room + 1)).floor().minimum(room)
    corner = torch.where(fits.any(1, keepdim=True), drawn, (room / 2).floor())
    return torch.cat([corner, box], dim=1).long()


def within(low: float, high: float, draws: Tensor) -> Tensor:
    """Return numbers that are uniform in an interval, from draws that are uniform in [0, 1)."""
    return low + (high - low) * draws


def largest(sizes: Tensor, ratio: tuple[float, float]) -> Tensor:
    """Return height and width of the largest box in each image whose width / height is within `ratio`: [B, 2]."""
    height, width = sizes.unbind(1)
    low = (width / ratio[0]).round().clamp(min=1).minimum(height)
    high = (height * ratio[1]).round().clamp(min=1).minimum(width)
    return torch.stack([low, high], dim=1)
