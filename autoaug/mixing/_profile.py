"""Which products of input gradients a mask regularises, by the distance of their pixels (Park, Yun, Chun 2022)."""

import torch
from torch import Generator, Tensor

from autoaug.mixing._pairs import PairMix

CHUNK = 256
"""Masks that are transformed at a time."""


def distance_profile(mix: PairMix, size: int, draws: int, rng: Generator, *, by_label: bool = False) -> Tensor:
    """Return E[(1 - M_j)(1 - M_k)] by the distance of the pixels j and k, float64 [distances], on the CPU.

    It is the weight of the products of partial derivatives ∂_j f ∂_k f, and of ∂²_jk f, in the loss of a mix (the terms
    R₂ and R₃ of the theorem). Entry d is the mean over all pairs of pixels whose Euclidean distance, rounded, is d. For
    mixup it is (α + 1) / (2 (2α + 1)) at every distance; by label α / (2 (2α + 1)).

    Args:
        mix: any pair mix, with a mask of one's own too: `PairMix(mask)`.
        size: height and width of the images, in pixels.
        draws: how many masks the mean is taken over.
        rng: all randomness.
        by_label: weigh each mask by its mean, the share of a sample's own label, which makes λ ~ Beta(α, α) the
            theorem's Beta(α + 1, α).

    >>> import torch
    >>> from autoaug.mixing import cutmix, distance_profile, mixup
    >>> rng = torch.Generator().manual_seed(0)
    >>> near, *_, far = distance_profile(mixup(), 8, 100, rng).tolist()
    >>> round(near, 6) == round(far, 6)
    True
    >>> near, *_, far = distance_profile(cutmix(), 8, 100, rng).tolist()
    >>> near > 0.2, far < 0.01
    (True, True)
    """
    power, weights = torch.zeros(2 * size, size + 1, dtype=torch.float64), 0.0
    for begin in range(0, draws, CHUNK):
        masks = mix.draw(torch.zeros(min(CHUNK, draws - begin), 1, size, size, dtype=torch.float64), rng)[0]
        masks = masks.detach().expand(min(CHUNK, draws - begin), 1, size, size)[:, 0]
        weight = masks.mean((1, 2)) if by_label else torch.ones(len(masks), dtype=torch.float64)
        power += (weight[:, None, None] * spectrum(1 - masks)).sum(0)
        weights += float(weight.sum())
    together = sums_by_distance(power / weights, size)
    return together / sums_by_distance(spectrum(torch.ones(size, size, dtype=torch.float64)), size)


def spectrum(values: Tensor) -> Tensor:
    """Return the power spectrum of images [..., N, N] that are padded with zeros, so that no side meets the other."""
    size = values.shape[-1]
    return torch.fft.rfft2(values, s=(2 * size, 2 * size)).abs().square()


def sums_by_distance(power: Tensor, size: int) -> Tensor:
    """Return the sum over all pairs of pixels of the product of their values, by the rounded distance of the pair."""
    products = torch.fft.irfft2(power, s=(2 * size, 2 * size))
    offset = torch.fft.fftfreq(2 * size, 1 / (2 * size), dtype=torch.float64)
    distance = torch.hypot(offset[:, None], offset).round().long()
    reached = (offset[:, None].abs() < size) & (offset.abs() < size)
    sums = torch.zeros(int(distance[reached].max()) + 1, dtype=torch.float64)
    return sums.index_add_(0, distance[reached], products[reached])
