"""Masks: which part of a mixed image comes from its own sample, and how much of it (1 all, 0 none).

A mask is drawn as `mask(lam, height, width, rng)`: λ [B] in [0, 1] -> M [B, 1, H, W] in [0, 1] on the device
and with the dtype of λ. In theory E[M | λ] = λ at every pixel (Park, Yun, Chun 2022). That holds exactly for
`mixup_mask` only; the others clip their figure at the border or round it to pixels, and each says what holds instead.
The caller weighs labels with the mean of the mask that was drawn, never with λ.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from autoaug.devices import to_device

Mask = Callable[[Tensor, int, int, Generator], Tensor]

SMALLEST_SHARE = 1e-12
"""Of the image, below which a box has no pixel, and the root of its share no gradient."""


def mixup_mask(lam: Tensor, height: int, width: int, rng: Generator) -> Tensor:
    """Return M = λ everywhere, [B, 1, H, W] without a copy. Nothing is drawn."""
    return lam[:, None, None, None].expand(-1, 1, height, width)


def cutmix_mask(lam: Tensor, height: int, width: int, rng: Generator) -> Tensor:
    """Return 0 within a box and 1 outside (Yun et al. 2019). No gradient reaches λ.

    The mean of M is at least λ, because the border clips the box and its sides are rounded down. On average it
    is 1 - (s - s²/4)² with s = √(1 - λ), up to the rounding: .66 at λ = .5, .44 at λ = 0.
    """
    return (~box(1 - lam, height, width, rng)).to(lam.dtype)


def hmix_mask(lam: Tensor, height: int, width: int, rng: Generator, ratio: float | Tensor = 0.5) -> Tensor:
    """Return 0 within a box of the share `ratio` (1 - λ) and one constant outside, so that the mean of M is λ exactly.

    HMix of Park, Yun, Chun 2022. At ratio 0 it is mixup, at ratio 1 it is CutMix where the border does not clip the
    box. Pixels near the centre of the image lie in the box more often, so E[M | λ] is λ on average over pixels, not at
    each. A ratio that is a tensor draws the same, and gets a gradient through the edges of the box: see `interval`.
    """
    moved = isinstance(ratio, Tensor)
    share = (1 - (lam if moved else lam.detach())) * ratio
    outside = 1 - box(share, height, width, rng, edges=moved).to(lam.dtype)
    share = outside.mean(dim=(1, 2, 3)).clamp_min(1 / (height * width))
    return outside * (lam / share).clamp_max(1)[:, None, None, None]


def gmix_mask(lam: Tensor, height: int, width: int, rng: Generator) -> Tensor:
    """Return a Gaussian bump of the smaller sample around a uniform pixel, on the larger one (GMix).

    k = exp(-π (Δy²/H² + Δx²/W²) / l) with l = min(λ, 1 - λ); M = k where λ < 1/2, else 1 - k. The integral of k
    over the plane is l H W, over the image less: the mean of k is about .08, .18, .26 and .30 at l = .1, .25, .4
    and .5. M is 0 or 1 everywhere where λ is.
    """
    smaller = torch.minimum(lam, 1 - lam)
    rows, columns = (
        torch.exp(-math.pi * offsets(size, lam, rng).square() / smaller[:, None].clamp_min(1e-6))
        for size in (height, width)
    )
    kernel = (rows[:, :, None] * columns[:, None, :] * (smaller > 0)[:, None, None])[:, None]
    return torch.where((lam < 0.5)[:, None, None, None], kernel, 1 - kernel)


def mixup_or_cutmix_mask(lam: Tensor, height: int, width: int, rng: Generator, switch: float = 0.5) -> Tensor:
    """Return `cutmix_mask` with the probability `switch`, otherwise `mixup_mask`, by one gate for each λ."""
    gate = torch.rand(len(lam), generator=rng, device=rng.device) < switch
    gate = to_device(gate, lam.device)[:, None, None, None]
    return torch.where(gate, cutmix_mask(lam, height, width, rng), mixup_mask(lam, height, width, rng))


def box(share: Tensor, height: int, width: int, rng: Generator, edges: bool = False) -> Tensor:
    """Return True within boxes [B, 1, H, W] shaped as the image, of `share` [B] of its area before the border clips.

    Args:
        edges: return 1 and 0 of the dtype of `share`, with the gradient of `interval`.
    """
    side = share.clamp_min(SMALLEST_SHARE).sqrt() if edges else share.sqrt()
    rows, columns = (interval(side, size, rng, edges) for size in (height, width))
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def interval(share: Tensor, size: int, rng: Generator, edges: bool = False) -> Tensor:
    """Return True within intervals of floor(share * size) pixels around uniform centres, bool [B, size].

    Args:
        edges: return 1 and 0 of the dtype of `share`, with the gradient of an interval whose last pixel, at the one end
            or the other, fills in proportion to its length: half of what differs between one pixel more and one less.
    """
    length, offset = (share * size)[:, None], pixels_from_centre(share, size, rng)
    whole = length.floor()
    inside = within(offset, whole)
    if not edges:
        return inside
    more, less = (within(offset, whole + way).to(share.dtype) for way in (1, -1))
    return inside.to(share.dtype) + (length - length.detach()) * (more - less) / 2


def within(offset: Tensor, length: Tensor) -> Tensor:
    """Return which pixels lie in an interval of so many pixels around offset 0, bool [B, size]."""
    before_centre = (length / 2).floor()
    return (offset >= -before_centre) & (offset < length - before_centre)


def offsets(size: int, like: Tensor, rng: Generator) -> Tensor:
    """Return the signed distance of each pixel to a uniform pixel, as a fraction of the size, [B, size]."""
    return pixels_from_centre(like, size, rng) / size


def pixels_from_centre(like: Tensor, size: int, rng: Generator) -> Tensor:
    """Return the signed distance of each pixel to a uniform pixel, [B, size], with the dtype and device of `like`."""
    centre = torch.randint(size, (len(like), 1), generator=rng, device=rng.device)
    return (torch.arange(size, device=like.device) - to_device(centre, like.device)).to(like.dtype)
