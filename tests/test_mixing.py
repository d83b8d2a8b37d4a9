"""Mixes: the laws of a mix for every row of the table, masks against exact sums, λ against its distribution."""

import json
import math
from inspect import signature
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta, binomtest, chisquare, kstest, norm, t
from torch import Generator, Tensor

from autoaug.mixing import (
    MIXES,
    DirichletMixup,
    PairMix,
    TrainingMix,
    Weakenable,
    build,
    described,
    distance_profile,
    mixup,
    takes,
)
from autoaug.mixing._beta import draw_beta, draw_dirichlet
from autoaug.mixing._masks import Mask, cutmix_mask, gmix_mask, hmix_mask, mixup_mask, mixup_or_cutmix_mask
from autoaug.mixing._pairs import blend, within_classes
from autoaug.ops import OPS
from autoaug.testing import MixTestCase

MASKS = [mixup_mask, cutmix_mask, hmix_mask, gmix_mask, mixup_or_cutmix_mask]
BATCHWISE = {name: row for name, row in MIXES.items() if not isinstance(row(), TrainingMix)}
"""Rows that need a batch and no more; see test_mix_layers.py for those that need the training."""


def rng_of(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def lambdas(value: float, count: int) -> Tensor:
    return torch.full((count,), value)


AMOUNTS = {"sigma": (0.01, 0.1, 0.3), "epsilon": (0.01, 0.1, 0.5), "size": (0.1, 0.5, 1.0)}


class TestEveryRow(MixTestCase):
    @pytest.fixture(params=BATCHWISE.values(), ids=BATCHWISE)
    def mix(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def amounts(self, mix: Any) -> tuple[str, float, float, float]:
        name = next((name for name in AMOUNTS if name in signature(mix).parameters), "")
        return (name, *AMOUNTS[name]) if name else super().amounts(mix)

    def changes(self, mix: Any) -> bool:
        return mix is not MIXES["none"]

    def combines(self, mix: Any) -> bool:
        return "alpha" in signature(mix).parameters

    def in_pairs(self, mix: Any) -> bool:
        return mix is not MIXES["dirichlet-mixup"]

    def draws(self, mix: Any) -> bool:
        return mix is not MIXES["label-smoothing"]

    def has_gradient(self, mix: Any) -> bool:
        return mix in (MIXES["mixup"], MIXES["hmix"], MIXES["gmix"], MIXES["dirichlet-mixup"])


@pytest.mark.parametrize("name", BATCHWISE)
def test_every_row_is_written_down_and_built_again(name: str) -> None:
    """Alone and with every parameter at another value than its default."""
    others = {
        "alpha": 0.3,
        "probability": 0.4,
        "per": "batch",
        "partner": "class",
        "labels": "closer",
        "smoothing": 0.1,
    }
    others |= {"ratio": 0.2, "switch": 0.9, "k": 4, "size": 0.3, "sigma": 0.05, "epsilon": 0.05}
    for more in ({}, {parameter: others[parameter] for parameter in takes(name)}):
        mix = build(name, **more)
        told = described(mix)
        assert told == json.loads(json.dumps(told)) == {"kind": name, **told}
        of_neighbours = {"k"} if isinstance(mix, PairMix) else set[str]()  # which those of a batch have none of
        assert told.keys() == {"kind", *takes(name)} - of_neighbours
        assert {name: value for name, value in more.items() if name not in of_neighbours}.items() <= told.items()
        again, images, targets = build(**told), torch.rand(6, 1, 8, 8, generator=rng_of(0)), torch.eye(3).repeat(2, 1)
        for one, two in zip(mix(images, targets, rng_of(3)), again(images, targets, rng_of(3)), strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("name", sorted({*BATCHWISE} - {"none"}))
def test_a_row_at_strength_zero_is_written_down_as_none(name: str) -> None:
    weak = MIXES[name]()
    assert isinstance(weak, Weakenable)
    assert described(weak.weakened(0)) == {"kind": "none"}


@pytest.mark.parametrize(
    "mix", [PairMix(lambda *given: torch.ones(1)), mixup(alpha=torch.tensor(1.0))], ids=["mask", "tensor"]
)
def test_what_is_no_row_is_not_written_down(mix: Any) -> None:
    with pytest.raises(ValueError, match="cannot be written down: use a row of MIXES, with an alpha that is a number"):
        described(mix)


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


@pytest.mark.parametrize("alpha", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_weights_follow_the_dirichlet_distribution(alpha: float, k: int, rng: Generator) -> None:
    """Each is Beta(α, (k - 1) α) by itself; they sum to one, and Cov[w₁, w₂] = -1 / (k² (k α + 1))."""
    weights = draw_dirichlet(alpha, k, 20_000, rng)
    torch.testing.assert_close(weights.sum(0), torch.ones(20_000, dtype=torch.float64))
    for weight in weights:
        assert kstest(weight.numpy(), beta(alpha, (k - 1) * alpha).cdf).pvalue > 1e-4
    products = (weights[0] - 1 / k) * (weights[1] - 1 / k)
    score = (products.mean() + 1 / (k**2 * (k * alpha + 1))) / (products.std() / math.sqrt(20_000))
    assert 2 * norm.sf(abs(float(score))) > 1e-4


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_two_samples_of_dirichlet_mixup_are_mixup(alpha: float, per: Any) -> None:
    """They are the same images for the same draws, so the law is the same too."""
    images, targets = torch.rand(16, 2, 4, 6, generator=rng_of(1)), torch.eye(16)
    two = DirichletMixup(alpha, 0.7, per, k=2)(images, targets, rng_of(0))
    for one, other in zip(mixup(alpha, 0.7, per)(images, targets, rng_of(0)), two, strict=True):
        torch.testing.assert_close(one, other)


def test_three_samples_are_weighed_in_images_as_in_targets(rng: Generator) -> None:
    """Each pixel of a channel of its own tells the weight of a sample; every other sample is as likely a partner."""
    images, targets = torch.eye(5)[:, :, None, None], torch.eye(5)
    drawn = [DirichletMixup(alpha=4.0)(images, targets, rng) for _ in range(400)]
    for mixed, soft in drawn:
        torch.testing.assert_close(mixed[:, :, 0, 0], soft)
    shares = torch.stack([soft for _, soft in drawn])
    assert (shares > 0).sum(2).max() == 3
    met = [int((shares[:, 0, other] > 0).sum()) for other in range(1, 5)]
    assert all(binomtest(count, 400, 1 - (4 / 5) ** 2).pvalue > 1e-4 for count in met)


# Partners and labels


def test_partners_of_the_class_are_a_uniform_permutation_within_it(rng: Generator) -> None:
    """Of classes with 3, 2 and 1 samples: each of the 3! 2! 1! permutations is as likely, and no other is."""
    classes = torch.tensor([2, 0, 1, 0, 2, 2])
    drawn = [tuple(within_classes(torch.randperm(6, generator=rng), classes).tolist()) for _ in range(1200)]
    assert all(torch.equal(classes[list(each)], classes) and sorted(each) == list(range(6)) for each in drawn)
    counts = [drawn.count(each) for each in set(drawn)]
    assert len(counts) == 12
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix", "mixup-or-cutmix"])
def test_within_a_class_images_are_mixed_and_labels_stay(name: str) -> None:
    images, targets = torch.rand(32, 1, 8, 8, generator=rng_of(1)), torch.eye(4).repeat(8, 1)
    mixed, soft = build(name, partner="class")(images, targets, rng_of(0))
    torch.testing.assert_close(soft, targets)
    assert (mixed != images).any((1, 2, 3)).sum() > 20


@pytest.mark.parametrize("name", ["mixup", "cutmix", "gmix"])
def test_inputs_only_are_mixed_as_ever_with_the_label_of_the_larger_share(name: str) -> None:
    images, targets = torch.rand(64, 1, 8, 8, generator=rng_of(1)), torch.eye(64)
    mixed, soft = build(name)(images, targets, rng_of(0))
    inputs, hard = build(name, labels="closer")(images, targets, rng_of(0))
    assert torch.equal(inputs, mixed)
    assert torch.equal(hard, torch.eye(64)[soft.argmax(1)])
    assert not torch.equal(hard, targets)


def test_half_of_each_has_the_samples_own_label() -> None:
    half = PairMix(lambda lam, height, width, rng: torch.full((len(lam), 1, height, width), 0.5), labels="closer")
    assert torch.equal(half(torch.zeros(8, 1, 4, 4), torch.eye(8), rng_of(0))[1], torch.eye(8))


@pytest.mark.parametrize("labels", ["mixed", "closer"])
def test_labels_of_what_is_mixed_are_smoothed_last(labels: Any) -> None:
    """By (1 - ε) y + ε / K; a sample that is not mixed stays as it is."""
    images, targets = torch.rand(64, 1, 4, 4, generator=rng_of(1)), torch.eye(10)[torch.arange(64) % 10]
    whole, some = (mixup(probability=chance, labels=labels, smoothing=0.2) for chance in (1.0, 0.5))
    sharp = mixup(labels=labels)(images, targets, rng_of(0))[1]
    torch.testing.assert_close(whole(images, targets, rng_of(0))[1], 0.8 * sharp + 0.02)
    mixed, soft = some(images, targets, rng_of(0))
    stays = (soft == targets).all(1)
    assert torch.equal(mixed[stays], images[stays])
    assert 10 < stays.sum() < 54
    torch.testing.assert_close(soft[~stays].min(), torch.tensor(0.02))


@pytest.mark.parametrize("more", [{}, {"per": "batch"}, {"labels": "closer", "smoothing": 0.1}], ids=str)
@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix"])
def test_partners_that_are_given_are_mixed_by_the_same_masks_and_rule(name: str, more: dict[str, Any]) -> None:
    images, targets = torch.rand(16, 2, 8, 6, generator=rng_of(1)), torch.eye(16)
    mix = build(name, alpha=0.7, probability=0.8, **more)
    assert isinstance(mix, PairMix)
    rng = rng_of(0)
    mix.draw(images, rng)
    pair = torch.randperm(16, generator=rng)
    given = mix.combine(images, targets, images[pair], targets[pair], rng_of(0))
    for one, other in zip(mix(images, targets, rng_of(0)), given, strict=True):
        assert torch.equal(one, other)


def test_partners_of_another_number_are_refused(rng: Generator) -> None:
    images, targets = torch.zeros(4, 1, 8, 8), torch.eye(4)
    with pytest.raises(
        ValueError, match=r"the partners of images and targets \[4, 1, 8, 8\] .* give one partner for ea"
    ):
        mixup().combine(images, targets, images[:2], targets[:2], rng)
    assert mixup(alpha=0).combine(images, targets, images + 1, targets, rng)[0] is images


# One sample


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("name", "op"), [("cutout", "cutout"), ("gaussian-noise", "gaussian_noise")])
def test_cutout_and_noise_are_the_operations_of_that_name(name: str, op: str, dtype: torch.dtype) -> None:
    """The operations take an amount for each image, in [0, 1] of their most; the rows one for all."""
    images, targets = torch.rand(32, 3, 16, 12, generator=rng_of(1)).to(dtype), torch.eye(32)
    for amount in (0.05, 0.13, 0.2):
        alone = build(name, **{takes(name)[0]: amount})
        raw = OPS[op].function(images, torch.full((32,), amount, dtype=torch.float64), rng_of(0))
        mixed, soft = alone(images, targets, rng_of(0))
        torch.testing.assert_close(mixed, raw, rtol=0, atol=2**-8 if dtype == torch.bfloat16 else 1e-6)
        assert soft is targets


def test_label_smoothing_by_hand(rng: Generator) -> None:
    """K = 10, ε = .1: 1 - 9 ε / 10 for the class and ε / 10 for each other (Zhang et al. 2018, section 3.8)."""
    images, targets = torch.rand(4, 1, 4, 4, generator=rng), torch.eye(10)[:4]
    same, soft = build("label-smoothing", epsilon=0.1)(images, targets, rng)
    assert same is images
    torch.testing.assert_close(soft, torch.where(targets == 1, 0.91, 0.01))


# Profiles


def by_hand(masks: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean over masks [N, S, S] of (1 - M_j)(1 - M_k), by the rounded distance of j and k, one by one."""
    size = masks.shape[-1]
    places = [(row, column) for row in range(size) for column in range(size)]
    sums, counts = torch.zeros(99, dtype=torch.float64), torch.zeros(99)
    for one, other in product(places, places):
        away = round(math.dist(one, other))
        products = (1 - masks[:, one[0], one[1]]) * (1 - masks[:, other[0], other[1]])
        sums[away] += (products * weights).sum() / weights.sum()
        counts[away] += 1
    return (sums / counts)[counts > 0]


@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("name", ["cutmix", "hmix", "gmix"])
def test_a_profile_is_the_mean_over_pairs_of_pixels(name: str, by_label: bool) -> None:
    mix = build(name, alpha=0.8, probability=0.9)
    assert isinstance(mix, PairMix)
    masks = mix.draw(torch.zeros(20, 1, 5, 5, dtype=torch.float64), rng_of(0))[0][:, 0]
    weights = masks.mean((1, 2)) if by_label else torch.ones(20)
    profile = distance_profile(mix, 5, 20, rng_of(0), by_label=by_label)
    torch.testing.assert_close(profile, by_hand(masks, weights))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_the_profile_of_mixup_is_flat_at_its_closed_form(alpha: float, per: Any) -> None:
    """E[(1 - λ)²] = 1/4 + Var[λ] = (α + 1) / (2 (2α + 1)); of Beta(α + 1, α), by label, α / (2 (2α + 1))."""
    draws = 4000 if per == "sample" else 256 * 400
    for by_label, exact in ((False, (alpha + 1) / (2 * (2 * alpha + 1))), (True, alpha / (2 * (2 * alpha + 1)))):
        profile = distance_profile(
            mixup(alpha, per=per), 3 if per == "batch" else 6, draws, rng_of(2), by_label=by_label
        )
        torch.testing.assert_close(profile, profile[:1].expand(len(profile)))
        assert float(profile[0]) == pytest.approx(exact, abs=0.03)


def boxes(size: int) -> tuple[Tensor, Tensor]:
    """Every mask that CutMix can draw of square images at α = 1, and how likely each is.

    The box has ⌊S √(1 - λ)⌋ pixels a side: l with the probability ((l + 1)² - l²) / S², as 1 - λ is uniform.
    """
    masks, chances = [], []
    for length, row, column in product(range(size), range(size), range(size)):
        mask = torch.ones(size, size, dtype=torch.float64)
        top, left = row - length // 2, column - length // 2
        mask[max(top, 0) : max(top + length, 0), max(left, 0) : max(left + length, 0)] = 0
        masks.append(mask)
        chances.append(((length + 1) ** 2 - length**2) / size**4)
    return torch.stack(masks), torch.tensor(chances, dtype=torch.float64)


@pytest.mark.parametrize("size", [4, 5])
def test_the_profile_of_cutmix_is_that_of_all_its_boxes(size: int) -> None:
    masks, chances = boxes(size)
    assert float(chances.sum()) == pytest.approx(1)
    for by_label in (False, True):
        exact = by_hand(masks, chances * masks.mean((1, 2)) if by_label else chances)
        parts = torch.stack(
            [distance_profile(build("cutmix"), size, 500, rng_of(seed), by_label=by_label) for seed in range(20)]
        )
        score = (parts.mean(0) - exact).abs() / (parts.std(0) / math.sqrt(20))
        assert score.max() < t.isf(1e-5, 19)
        assert (exact.diff() <= 0).all(), "what is near is tied more than what is far"


def test_hmix_and_gmix_tie_pixels_by_distance_less_than_cutmix_and_more_than_mixup() -> None:
    """What the slides of Park, Yun, Chun 2022 say of them, in what is left at half a side."""
    left = {}
    for name in ("mixup", "hmix", "gmix", "cutmix"):
        mix = build(name)
        assert isinstance(mix, PairMix)
        profile = distance_profile(mix, 16, 2000, rng_of(0))
        left[name] = float(profile[8] / profile[1])
    assert left["mixup"] == pytest.approx(1)
    assert left["cutmix"] + 0.1 < min(left["hmix"], left["gmix"])
    assert max(left["hmix"], left["gmix"]) < 0.95


# Errors


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("gmix", {"alpha": -1.0}, r"mix.alpha is -1.0: use a finite number of at least 0"),
        ("mixup", {"probability": 1.5}, r"mix.probability is 1.5: use a number from 0 to 1"),
        ("cutmix", {"probability": math.nan}, r"mix.probability is nan"),
        ("cutmix", {"per": "pair"}, r"mix.per is 'pair': use 'sample' or 'batch'"),
        ("mixup", {"partner": "friend"}, r"mix.partner is 'friend': use 'batch'"),
        ("gmix", {"labels": "own"}, r"mix.labels is 'own': use 'mixed' or 'closer'"),
        ("hmix", {"smoothing": 1.0}, r"mix.smoothing is 1.0: use a number in \[0, 1\)"),
        ("dirichlet-mixup", {"k": 1}, r"mix.k is 1: use a whole number from 2 to 1000"),
        ("cutout", {"size": 1.5}, r"mix.size is 1.5: use a number from 0 to 1"),
        ("label-smoothing", {"epsilon": 1}, r"mix.epsilon is 1: use a number in \[0, 1\)"),
        ("hmix", {"ratio": 2.0}, r"mix.ratio is 2.0: use a number from 0 to 1"),
        ("mixup-or-cutmix", {"switch": -0.1}, r"mix.switch is -0.1"),
        ("mixup-or-cutmx", {}, r"unknown mix 'mixup-or-cutmx': did you mean 'mixup-or-cutmix'"),
        ("", {}, r"unknown mix '': known are cutmix, cutout, "),
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
