"""Masks of blocks: what one costs, and one that costs little.

B batch, b blocks on a side, n levels
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autoaug.devices import to_device

NEIGHBOURHOOD = 4
"""Pixels on a side over which images are averaged before neighbouring blocks are compared."""

COOLING = tuple(2.0 ** (-k / 2) for k in range(16))
"""Temperatures of the mean field, as multiples of the mean saliency of a block."""

SWEEPS = 8
"""Of the descent, each of which gives every block its best level among its neighbours'."""


class Energy(NamedTuple):
    """Hold what masks of a grid cost: of each block alone, and of the squared difference of neighbours."""

    alone: Tensor
    """[B, b, b, n]: the cost of each level."""
    down: Tensor
    """[B, b - 1, b]: the factor of (m - m')² for a block and the one below it."""
    right: Tensor
    """[B, b, b - 1]: for a block and the one to its right."""

    def of(self, chosen: Tensor, levels: Tensor) -> Tensor:
        """Return the costs of masks, [B].

        Args:
            chosen: which level each block has, [B, b, b], int64.
            levels: [n].
        """
        mask, alone = levels[chosen], self.alone.gather(-1, chosen[..., None])[..., 0]
        below, beside = mask.diff(dim=1).square() * self.down, mask.diff(dim=2).square() * self.right
        return alone.sum(dim=(1, 2)) + below.sum(dim=(1, 2)) + beside.sum(dim=(1, 2))

    def among(self, mask: Tensor, levels: Tensor) -> Tensor:
        """Return what each level would cost each block, up to a constant, where the others are as in a mask.

        (l - m')² summed over neighbours with factors w is l² Σ w - 2 l Σ w m' and a constant.

        Args:
            mask: [B, b, b], or the mean of one.
            levels: [n].
        """
        drawn = F.pad(self.down * mask[:, 1:], (0, 0, 0, 1)) + F.pad(self.down * mask[:, :-1], (0, 0, 1, 0))
        drawn = drawn + F.pad(self.right * mask[:, :, 1:], (0, 1)) + F.pad(self.right * mask[:, :, :-1], (1, 0))
        weight = F.pad(self.down, (0, 0, 0, 1)) + F.pad(self.down, (0, 0, 1, 0))
        weight = weight + F.pad(self.right, (0, 1)) + F.pad(self.right, (1, 0))
        return self.alone + levels.square() * weight[..., None] - 2 * levels * drawn[..., None]


def energy_of(
    lost: Tensor, wanted: Tensor, prior: Tensor, alike: float, down: Tensor, right: Tensor, levels: tuple[float, ...]
) -> Energy:
    """Return the energy of masks m, the share of the first image in each block.

    A block costs m times what is lost of the second image, (1 - m) times what is lost of the first, and the prior of
    its level; neighbours cost `alike` (m - m')², and what their seam costs. That is known for m and m' of 0 and 1, and
    between them Σ over neighbours is a form in m, m' and (m - m')² that has these values, up to a constant.

    Args:
        lost: of the second image, [B, b, b].
        wanted: of the first image, [B, b, b].
        prior: of each level, [B, n].
        alike: the factor of (m - m')².
        down: costs of seams, [B, 2, 2, b - 1, b]: by whether the upper block is of the first image, then the lower one.
        right: [B, 2, 2, b, b - 1]: by the left block, then the right one.
        levels: n of them in [0, 1].
    """
    both = torch.stack([wanted, lost])  # what levels 0 and 1 cost
    halves = [
        (F.pad(down.mean(2), (0, 0, 0, 1)), F.pad(down.mean(1), (0, 0, 1, 0))),
        (F.pad(right.mean(2), (0, 1)), F.pad(right.mean(1), (1, 0))),
    ]
    for first, second in halves:
        both = both + (first + second).transpose(0, 1)
    shares = to_device(torch.tensor(levels), lost.device, lost.dtype)
    alone = shares * both[1][..., None] + (1 - shares) * both[0][..., None] + prior[:, None, None, :]
    crossing = [alike + (each[:, 1, 0] + each[:, 0, 1] - each[:, 1, 1] - each[:, 0, 0]) / 2 for each in (down, right)]
    return Energy(alone, *crossing)


def seams_of(first: Tensor, second: Tensor, blocks: int) -> tuple[Tensor, Tensor]:
    """Return how different neighbouring blocks are at their common side, for each choice of the two images.

    Args:
        first: [B, C, H, W].
        second: of the same shape.
        blocks: b.

    Returns:
        [B, 2, 2, b - 1, b] and [B, 2, 2, b, b - 1]: mean absolute differences, see `energy_of`.
    """
    side = max(1, min(first.shape[2:]) // blocks // NEIGHBOURHOOD)
    pooled = [F.adaptive_avg_pool2d(each, blocks * side) for each in (second, first)]

    def down(upper: Tensor, lower: Tensor) -> Tensor:
        steps = (upper[:, :, side - 1 : -1 : side] - lower[:, :, side::side]).abs().mean(1, keepdim=True)
        return F.avg_pool2d(steps, (1, side))[:, 0]

    def right(left: Tensor, beside: Tensor) -> Tensor:
        return down(left.transpose(2, 3), beside.transpose(2, 3)).transpose(1, 2)

    vertical, horizontal = (
        torch.stack([torch.stack([seam(one, two) for two in pooled], dim=1) for one in pooled], dim=1)
        for seam in (down, right)
    )
    return vertical, horizontal


def lowest_mask(energy: Energy, levels: tuple[float, ...]) -> Tensor:
    """Return masks [B, b, b] of low energy: the best of what several starts descend to.

    Starts are a mean field that is cooled, each level everywhere, and the best level of each block alone. The blocks
    of a chessboard's colours take turns, so that none moves beside another that does.
    """
    count, values = len(energy.alone), to_device(torch.tensor(levels), energy.alone.device, energy.alone.dtype)
    shape = energy.alone.shape[:3]
    starts = [mean_field(energy, values).argmin(-1), energy.alone.argmin(-1)]
    starts += [torch.full(shape, k, dtype=torch.int64, device=values.device) for k in range(len(levels))]
    chosen, repeated = torch.cat(starts), Energy(*(torch.cat([part] * len(starts)) for part in energy))
    for _ in range(SWEEPS):
        for colour in colours(shape[1], values.device):
            best = repeated.among(values[chosen], values).argmin(-1)
            chosen = torch.where(colour, best, chosen)
    costs = repeated.of(chosen, values).view(len(starts), count)
    best_start = costs.argmin(0)
    return values[chosen.view(len(starts), *shape)[best_start, torch.arange(count, device=values.device)]]


def mean_field(energy: Energy, levels: Tensor) -> Tensor:
    """Return what each level costs each block where the others have their mean levels, at the end of a cooling."""
    mask = (energy.alone.neg().div(1 / energy.alone[0, ..., 0].numel()).softmax(-1) * levels).sum(-1)
    for factor in COOLING:
        temperature = factor / energy.alone[0, ..., 0].numel()
        for colour in colours(mask.shape[1], mask.device):
            mean = (energy.among(mask, levels).neg().div(temperature).softmax(-1) * levels).sum(-1)
            mask = torch.where(colour, mean, mask)
    return energy.among(mask, levels)


def colours(blocks: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the black and the white squares of a board, bool [b, b]."""
    places = torch.arange(blocks, device=device)
    black = (places[:, None] + places).remainder(2) == 0
    return black, ~black
