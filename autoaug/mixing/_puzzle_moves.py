"""Blocks of an image moved to where a mask keeps them.

B batch, C channels, H height, W width, n blocks that are moved
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_ON_A_SIDE = 16
"""Blocks that are moved, at most: what moving costs is compared for each pair of places."""

ROUNDS = 32
"""In which blocks ask for their next best place, at most."""


def transported(images: Tensor, saliency: Tensor, keeps: Tensor, cost: float, size: int) -> Tensor:
    """Return images whose blocks lie in other places, so that what is salient lies where the mask keeps it.

    A permutation of places: nothing is lost, and nothing is twice there.

    Args:
        images: [B, C, H, W].
        saliency: [B, H, W], at least 0.
        keeps: where anything of the image is seen, bool [B, b, b].
        cost: of moving a block from one end of the image to the other along one axis, in shares of all saliency.
        size: pixels on a side of what is moved, where the blocks of the mask are larger and can be divided so.
    """
    side = keeps.shape[1] * parts_of(keeps.shape[1], images.shape[2], images.shape[3], size)
    weights = F.adaptive_avg_pool2d(saliency, side).flatten(1)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-12)
    plan = places(weights, spread(keeps, side, side).flatten(1), cost, side)
    count, channels, height, width = images.shape
    blocks = images.reshape(count, channels, side, height // side, side, width // side)
    blocks = blocks.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # [B, n, C, h, w]
    moved = blocks[torch.arange(count, device=images.device)[:, None], plan]
    return moved.unflatten(1, (side, side)).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def parts_of(blocks: int, height: int, width: int, size: int) -> int:
    """Return into how many parts on a side a block is divided, of `blocks` on a side of an image of so many pixels.

    They are as many as leave `size` pixels to each.
    """
    high, wide = height // blocks, width // blocks
    possible = range(2, MOST_ON_A_SIDE // blocks + 1)
    return max((k for k in possible if high % k == wide % k == 0 and min(high, wide) >= k * size), default=1)


def places(saliency: Tensor, keeps: Tensor, cost: float, side: int) -> Tensor:
    """Return which block comes to each place, [B, n], int64: a permutation in each row.

    Every block asks for the place where its cost is lowest: that of the way, less its saliency where the mask keeps
    it. A place takes whom it costs least, and who was refused asks for the next best (the paper's algorithm 1). Blocks
    that have no place after `ROUNDS` rounds get those that are left, in order. Where all that costs more than if
    nothing moved, nothing moves.

    Args:
        saliency: of each block, [B, n].
        keeps: whether a place is seen, bool [B, n].
        cost: of a way across the image.
        side: n is its square.
    """
    count, device = side * side, saliency.device
    costs = cost * ways(side, device, saliency.dtype) - saliency[:, :, None] * keeps[:, None, :]
    refused = torch.zeros_like(costs, dtype=torch.bool)
    who = torch.arange(count, device=device).expand(len(saliency), -1)
    nobody = torch.full_like(who, count)
    for _ in range(min(count, ROUNDS)):
        lowest, asked = costs.masked_fill(refused, torch.inf).min(2)
        best = torch.full_like(lowest, torch.inf).scatter_reduce(1, asked, lowest, "amin")
        leading = torch.where(lowest == best.gather(1, asked), who, count)
        taken = nobody.scatter_reduce(1, asked, leading, "amin")
        placed = taken.gather(1, asked) == who
        refused = refused.scatter(2, asked[..., None], refused.gather(2, asked[..., None]) | ~placed[..., None])
    free = (taken < count).int().argsort(dim=1, stable=True)  # places that are left come first, in order
    homeless = placed.int().argsort(dim=1, stable=True)
    left = (taken == count).sum(1, keepdim=True)
    plan = taken.scatter(1, free, torch.where(who < left, homeless, taken.gather(1, free)))
    moving = costs.gather(1, plan[:, None, :]).sum(dim=(1, 2))
    return torch.where((moving < costs.diagonal(dim1=1, dim2=2).sum(1))[:, None], plan, who)


def ways(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return squared distances of all places to each other, [n, n]; 1 is that of one end of a row to the other."""
    row = torch.arange(side, device=device, dtype=dtype) / max(1, side - 1)
    at = torch.cartesian_prod(row, row)
    return (at[:, None] - at).square().sum(-1)


def spread(mask: Tensor, height: int, width: int) -> Tensor:
    """Return a mask [B, b, b] of so many pixels, [B, H, W]."""
    return mask.repeat_interleave(height // mask.shape[1], 1).repeat_interleave(width // mask.shape[2], 2)
