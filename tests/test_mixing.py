"""Mixes: the laws of a mix for every row of the table, masks against exact sums, λ against its distribution."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta, binomtest, kstest, norm, t
from torch import Generator, Tensor

from autoaug.mixing import MIXES, PairMix, TrainingMix, build
from autoaug.mixing._beta import draw_beta
from autoaug.mixing._masks import Mask, cutmix_mask, gmix_mask, hmix_mask, mixup_mask, mixup_or_cutmix_mask
from autoaug.mixing._pairs import blend
from autoaug.testing import MixTestCase

MASKS = [mixup_mask, cutmix_mask, hmix_mask, gmix_mask, mixup_or_cutmix_mask]
BATCHWISE = {name: row for name, row in MIXES.items() if not isinstance(row(), TrainingMix)}
"""Rows that need a batch and no more; see test_mix_layers.py for those that need the training."""


def lambdas(value: float, count: int) -> Tensor:
    return torch.full((count,), value)


class TestEveryRow(MixTestCase):
    @pytest.fixture(params=BATCHWISE.values(), ids=BATCHWISE)
    def mix(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def changes(self, mix: Any) -> bool:
        return mix is not MIXES["none"]

    def has_gradient(self, mix: Any) -> bool:
        return mix in (MIXES["mixup"], MIXES["hmix"], MIXES["gmix"])


# Arithmetic by hand


def test_mixup_by_hand() -> None:
    """λ = 1/4: .25 * 8 + .75 * 4 = 5."""
    images, pair = torch.tensor([8.0, 4.0]), torch.tensor([1, 0])
    assert blend(images, pair, torch.tensor([0.25, 0.25])).tolist() == [5.0, 7.0]


def test_a_box_by_hand(rng: Generator) -> None:
    """λ = 3/4 cuts a box of half of the height and half of the width; all its positions occur, clipped ones too."""
    masks = cutmix_mask(lambdas(0.75, 500), 4, 6, rng)[:, 0]
    sizes = {((~m.bool()).any(1).sum().item(), (~m.bool()).any(0).sum().item()) for m in masks}
    assert sizes == {(rows, columns) for rows in (1, 2) for columns in (2, 3)}
    assert all((m == 0).sum() == (m == 0).any(1).sum() * (m == 0).any(0).sum() for m in masks)
    assert len({tuple(m.flatten().tolist()) for m in masks}) == 4 * 6


# Masks


@pytest.mark.parametrize("mask", MASKS)
def test_masks_are_within_zero_and_one_and_extreme_lambdas_take_one_sample(mask: Mask, rng: Generator) -> None:
    masks = mask(torch.rand(500, generator=rng), 9, 14, rng)
    assert masks.shape == (500, 1, 9, 14)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert torch.equal(mask(lambdas(1.0, 50), 9, 14, rng), torch.ones(50, 1, 9, 14))
    if mask not in (cutmix_mask, mixup_or_cutmix_mask):  # the border clips the box of λ = 0
        assert torch.equal(mask(lambdas(0.0, 50), 9, 14, rng), torch.zeros(50, 1, 9, 14))


@pytest.mark.parametrize("mask", [mixup_mask, hmix_mask])
@pytest.mark.parametrize("lam", [0.05, 0.3, 0.5, 0.75, 0.9])
def test_mixup_and_hmix_realise_lambda_in_every_mask(mask: Mask, lam: float, rng: Generator) -> None:
    means = mask(lambdas(lam, 300), 15, 32, rng).mean(dim=(1, 2, 3))
    torch.testing.assert_close(means, lambdas(lam, 300), rtol=0, atol=1e-6)


def mean_inside(lam: float, size: int) -> float:
    """The mean number of pixels of an interval of ⌊size √(1 - λ)⌋ pixels within the image, counted one by one."""
    length = math.floor(size * math.sqrt(1 - lam) + 1e-6)
    starts = [centre - length // 2 for centre in range(size)]
    return sum(0 <= pixel < size for start in starts for pixel in range(start, start + length)) / size


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("size", [(32, 32), (15, 40)])
def test_cutmix_keeps_at_least_lambda_and_on_average_what_the_border_leaves(
    lam: float, size: tuple[int, int], rng: Generator
) -> None:
    height, width = size
    means = cutmix_mask(lambdas(lam, 4000), height, width, rng).mean(dim=(1, 2, 3))
    assert means.min() >= lam - 1e-6
    exact = 1 - mean_inside(lam, height) * mean_inside(lam, width) / (height * width)
    assert abs(means.mean() - exact) < 4 * means.std() / math.sqrt(len(means))
    side = math.sqrt(1 - lam)
    assert exact == pytest.approx(1 - (side - side**2 / 4) ** 2, abs=0.06)


def mean_bump(smaller: float, size: int) -> float:
    """The mean of exp(-π Δ² / (l size²)) over pixels and centres, summed one by one."""
    pixels = np.arange(size)
    return float(np.exp(-math.pi * (pixels[:, None] - pixels) ** 2 / (smaller * size**2)).mean())


@pytest.mark.parametrize("lam", [0.05, 0.25, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("size", [(32, 32), (16, 48)])
def test_gmix_keeps_what_the_border_leaves_of_the_bump(lam: float, size: tuple[int, int], rng: Generator) -> None:
    smaller = min(lam, 1 - lam)
    kernel = mean_bump(smaller, size[0]) * mean_bump(smaller, size[1])
    means = gmix_mask(lambdas(lam, 4000), *size, rng).mean(dim=(1, 2, 3))
    assert abs(means.mean() - (kernel if lam < 0.5 else 1 - kernel)) < 4 * means.std() / math.sqrt(len(means))
    assert kernel < smaller


@pytest.mark.parametrize(("smaller", "mean"), [(0.05, 0.043), (0.1, 0.081), (0.25, 0.178), (0.4, 0.254), (0.5, 0.301)])
def test_gmix_on_square_images_is_the_reference(smaller: float, mean: float) -> None:
    """Means of the reference kernel over random centres on 32x32 pixels; other shapes get the same, stretched."""
    assert mean_bump(smaller, 32) ** 2 == pytest.approx(mean, abs=2e-3)
    assert mean_bump(smaller, 32) * mean_bump(smaller, 64) == pytest.approx(mean, abs=4e-3)


def test_gmix_peaks_at_one_pixel_and_falls_off_as_a_gaussian(rng: Generator) -> None:
    """Along a row through the peak, ln k(Δx) = -π Δx² / (l W²)."""
    for mask in gmix_mask(lambdas(0.3, 20), 24, 32, rng)[:, 0]:
        row, column = divmod(int(mask.argmax()), 32)
        assert mask[row, column] == 1
        expected = torch.exp(-math.pi * (torch.arange(32) - column) ** 2 / (0.3 * 32**2))
        torch.testing.assert_close(mask[row], expected)
        expected = torch.exp(-math.pi * (torch.arange(24) - row) ** 2 / (0.3 * 24**2))
        torch.testing.assert_close(mask[:, column], expected)


def test_only_mixup_has_the_mean_lambda_at_every_pixel(rng: Generator) -> None:
    """The border clips, so a corner is cut less often than the centre; the docstrings claim no more."""
    assert torch.equal(mixup_mask(lambdas(0.5, 9), 8, 8, rng), torch.full((9, 1, 8, 8), 0.5))
    for mask in (cutmix_mask, hmix_mask):
        mean = mask(lambdas(0.5, 4000), 16, 16, rng).mean(dim=(0, 1))
        assert mean[0, 0] > mean[8, 8] + 0.1


def test_hmix_without_a_hole_is_mixup(rng: Generator) -> None:
    lam = torch.rand(50, generator=rng)
    torch.testing.assert_close(hmix_mask(lam, 12, 20, rng, ratio=0.0), mixup_mask(lam, 12, 20, rng), rtol=0, atol=0)


def test_hmix_with_nothing_but_a_hole_is_cutmix_where_the_border_does_not_clip(rng: Generator) -> None:
    seeds = [torch.Generator().manual_seed(5) for _ in range(2)]
    holes, cuts = (
        hmix_mask(lambdas(0.75, 300), 32, 64, seeds[0], ratio=1.0),
        cutmix_mask(lambdas(0.75, 300), 32, 64, seeds[1]),
    )
    whole = (cuts == 0).sum(dim=(1, 2, 3)) == 16 * 32
    assert 0 < whole.sum() < 300
    assert torch.equal(holes[whole], cuts[whole])
    assert torch.equal(holes == 0, cuts == 0)


def test_hmix_has_the_box_of_its_share_and_one_level_outside(rng: Generator) -> None:
    """λ = .5, r = .5: the box has half of each side; with a whole box the rest is at .5 / .75."""
    masks = hmix_mask(lambdas(0.5, 300), 16, 32, rng, ratio=0.5)
    whole = (masks == 0).sum(dim=(1, 2, 3)) == 8 * 16
    assert whole.any()
    torch.testing.assert_close(masks[whole].amax(dim=(1, 2, 3)), lambdas(2 / 3, int(whole.sum())))
    assert all(len(mask.unique()) == 2 for mask in masks)


@pytest.mark.parametrize("switch", [0.0, 0.2, 0.5, 1.0])
def test_the_switch_is_the_share_of_boxes(switch: float, rng: Generator) -> None:
    masks = mixup_or_cutmix_mask(lambdas(0.5, 2000), 8, 8, rng, switch=switch)
    boxes = int((masks == 0).flatten(1).any(1).sum())
    assert binomtest(boxes, 2000, switch).pvalue > 1e-4


# λ


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.4, 1.0, 8.0])
def test_lambda_follows_the_beta_distribution(alpha: float, rng: Generator) -> None:
    """Below 1/2, where floating point is dense, by Kolmogorov and Smirnov; the two halves by a coin."""
    lam = draw_beta(alpha, 20_000, rng).numpy()
    below = lam[lam < 0.5]
    assert kstest(below, lambda x: 2 * beta.cdf(x, alpha, alpha)).pvalue > 1e-4
    assert binomtest(len(below), len(lam), 0.5).pvalue > 1e-4
    folded = np.minimum(lam, 1 - lam)
    assert kstest(folded[lam >= 0.5][folded[lam >= 0.5] > 1e-9], kept_above(alpha, 1e-9)).pvalue > 1e-4


def kept_above(alpha: float, least: float) -> object:
    """The distribution function of min(λ, 1 - λ) given that it exceeds `least`."""
    cut_off = beta.cdf(least, alpha, alpha)
    return lambda x: (beta.cdf(x, alpha, alpha) - cut_off) / (0.5 - cut_off)


@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 0.05, 0.4, 1.0, 32.0])
def test_the_variance_of_lambda_is_that_of_the_beta_distribution(alpha: float, rng: Generator) -> None:
    """E[λ] = 1/2 and Var[λ] = 1 / (4 (2α + 1)); tiny α gives zeros and ones, no NaN and no halves."""
    lam = draw_beta(alpha, 50_000, rng)
    assert lam.isfinite().all()
    for sample, exact in ((lam, 0.5), ((lam - 0.5).square(), 1 / (4 * (2 * alpha + 1)))):
        score = (sample.mean() - exact) / (sample.std() / math.sqrt(len(lam)) + 1e-9)
        assert 2 * norm.sf(abs(float(score))) > 1e-4


@pytest.mark.parametrize("alpha", [0.1, 0.4, 2.0])
def test_the_gradient_of_a_moment_is_the_closed_form(alpha: float, rng: Generator) -> None:
    """d E[λ (1 - λ)] / dα = 1 / (2 (2α + 1)²)."""
    slopes = []
    for _ in range(40):
        parameter = torch.tensor(alpha, requires_grad=True)
        lam = draw_beta(parameter, 2000, rng)
        slopes.append(torch.autograd.grad((lam * (1 - lam)).mean(), parameter)[0].item())
    score = (np.mean(slopes) - 1 / (2 * (2 * alpha + 1) ** 2)) / (np.std(slopes, ddof=1) / math.sqrt(40))
    assert 2 * t.sf(abs(score), 39) > 1e-4


# Errors


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("gmix", {"alpha": -1.0}, r"mix.alpha is -1.0: use a finite number of at least 0"),
        ("mixup", {"probability": 1.5}, r"mix.probability is 1.5: use a number from 0 to 1"),
        ("cutmix", {"probability": math.nan}, r"mix.probability is nan"),
        ("cutmix", {"per": "pair"}, r"mix.per is 'pair': use 'sample' or 'batch'"),
        ("hmix", {"ratio": 2.0}, r"mix.ratio is 2.0: use a number from 0 to 1"),
        ("mixup-or-cutmix", {"switch": -0.1}, r"mix.switch is -0.1"),
        ("mixup-or-cutmx", {}, r"unknown mix 'mixup-or-cutmx': did you mean 'mixup-or-cutmix'"),
        ("", {}, r"unknown mix '': known are cutmix, gmix"),
        ("cutmix", {"ratio": 0.5}, r"mix.ratio is 0.5, and 'cutmix' takes alpha, probability, per"),
        ("none", {"alpha": 0.5}, r"mix.alpha is 0.5, and 'none' takes no parameter"),
    ],
)
def test_errors_name_the_value_and_the_fix(name: str, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **parameters)


def test_build_passes_the_parameters_on() -> None:
    assert build("mixup", alpha=0.4, probability=0.5, per="batch") == PairMix(mixup_mask, 0.4, 0.5, "batch", "alpha")


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64), r"soft targets \[B, K\], got torch.int64 \[4\]"),
        (torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, dtype=torch.int64), r"use one_hot\(labels, classes\).float"),
        (torch.zeros(4, 3, 8, 8), torch.zeros(3, 10), r"torch.float32 \[3, 10\] for 4 images"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, 10), r"floating images .* got torch.uint8"),
        (torch.zeros(4, 8, 8), torch.zeros(4, 10), r"images \[B, C, H, W\], got torch.float32 \[4, 8, 8\]"),
    ],
)
def test_hard_labels_and_bytes_are_refused(images: Tensor, targets: Tensor, message: str, rng: Generator) -> None:
    with pytest.raises(ValueError, match=message):
        MIXES["mixup"]()(images, targets, rng)
