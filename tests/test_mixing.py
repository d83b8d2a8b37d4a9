"""Mixes: laws that hold for every row of the table, masks against exact sums, λ against its distribution."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import beta, binomtest, kstest, norm, t
from torch import Generator, Tensor

from autoaug.mixing import MIXES, Mix, PairMix, build
from autoaug.mixing._beta import draw_beta
from autoaug.mixing._masks import Mask, cutmix_mask, gmix_mask, hmix_mask, mixup_mask, mixup_or_cutmix_mask
from autoaug.mixing._pairs import blend

MIXING = [name for name in MIXES if name != "none"]
MASKS = [mixup_mask, cutmix_mask, hmix_mask, gmix_mask, mixup_or_cutmix_mask]


def batch(rng: Generator, count: int = 64, side: int = 16, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, 3, side, side + 8, generator=rng).to(dtype)
    labels = torch.randint(10, (count,), generator=rng)
    return images, torch.eye(10)[labels].to(dtype)


def ones_and_zeros(count: int, side: int = 16) -> tuple[Tensor, Tensor]:
    """Images of ones with the class 0, images of zeros with the class 1: pixels tell what labels should say."""
    labels = torch.arange(count) % 2
    return (1.0 - labels)[:, None, None, None].expand(count, 3, side, side + 8), torch.eye(2)[labels]


def lambdas(value: float, count: int) -> Tensor:
    return torch.full((count,), value)


# Laws of every row


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("name", MIXES)
def test_shapes_and_dtypes_stay_and_inputs_too(name: str, per: str, dtype: torch.dtype, rng: Generator) -> None:
    images, targets = batch(rng, dtype=dtype)
    before = images.clone(), targets.clone()
    mixed, soft = MIXES[name](alpha=1.0, per=per)(images, targets, rng)
    assert (mixed.shape, mixed.dtype, soft.shape, soft.dtype) == (images.shape, dtype, targets.shape, dtype)
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("name", MIXES)
def test_targets_stay_on_the_simplex_and_pixels_in_range(name: str, per: str, rng: Generator) -> None:
    for alpha in (0.01, 1.0, 32.0):
        mixed, soft = MIXES[name](alpha=alpha, per=per)(*batch(rng), rng)
        torch.testing.assert_close(soft.sum(1), torch.ones(64))
        assert soft.min() >= 0
        assert mixed.min() >= 0
        assert mixed.max() <= 1


@pytest.mark.parametrize("name", MIXES)
def test_the_generator_decides_everything(name: str, rng: Generator) -> None:
    images, targets = batch(rng)
    mix = MIXES[name](alpha=1.0)
    first, again, other = (mix(images, targets, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(first[0], other[0]) == (name == "none")


@pytest.mark.parametrize("off", [{"alpha": 0.0}, {"alpha": 0}, {"alpha": 1.0, "probability": 0.0}])
@pytest.mark.parametrize("name", MIXES)
def test_alpha_zero_and_probability_zero_change_nothing_and_draw_nothing(
    name: str, off: dict[str, float], rng: Generator
) -> None:
    images, targets = batch(rng)
    before = rng.get_state()
    mixed, soft = MIXES[name](**off)(images, targets, rng)
    assert torch.equal(mixed, images)
    assert torch.equal(soft, targets)
    assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize("name", MIXES)
def test_a_tensor_of_zero_as_alpha_changes_nothing_and_has_a_finite_gradient(name: str, rng: Generator) -> None:
    alpha = torch.tensor(0.0, requires_grad=True)
    images, targets = batch(rng)
    mixed, soft = MIXES[name](alpha=alpha)(images, targets, rng)
    assert torch.equal(mixed, images)
    assert torch.equal(soft, targets)
    if name in ("mixup", "hmix", "gmix"):
        (gradient,) = torch.autograd.grad(mixed.square().sum() + soft.square().sum(), alpha)
        assert gradient.isfinite()


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("name", MIXES)
def test_labels_are_weighed_as_the_pixels_were(name: str, per: str, rng: Generator) -> None:
    for alpha in (0.1, 1.0, 8.0):
        mixed, soft = MIXES[name](alpha=alpha, per=per)(*ones_and_zeros(64), rng)
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), soft[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MIXES)
def test_labels_of_half_precision_images_lose_nothing(name: str, rng: Generator) -> None:
    images, targets = batch(rng)
    seeds = [torch.Generator().manual_seed(4) for _ in range(2)]
    full = MIXES[name](alpha=1.0)(images, targets, seeds[0])
    half = MIXES[name](alpha=1.0)(images.bfloat16(), targets, seeds[1])
    torch.testing.assert_close(half[1], full[1], rtol=0, atol=0)
    torch.testing.assert_close(half[0].float(), full[0], rtol=0, atol=2**-7)


@pytest.mark.parametrize("name", MIXING)
def test_the_probability_is_the_share_of_samples_that_are_mixed(name: str, rng: Generator) -> None:
    images, targets = torch.rand(2000, 1, 16, 16, generator=rng), torch.ones(2000, 1)
    mixed, _ = MIXES[name](alpha=8.0, probability=0.3)(images, targets, rng)
    changed = int((mixed != images).flatten(1).any(1).sum())
    assert binomtest(changed, 2000, 0.3).pvalue > 1e-4


@pytest.mark.parametrize("name", MIXING)
def test_the_probability_is_the_share_of_batches_that_are_mixed(name: str, rng: Generator) -> None:
    mix = MIXES[name](alpha=8.0, probability=0.3, per="batch")
    images, targets = batch(rng, count=8)
    changes = [(mix(images, targets, rng)[0] != images).flatten(1).any(1) for _ in range(500)]
    assert binomtest(sum(bool(change.any()) for change in changes), 500, 0.3).pvalue > 1e-4


@pytest.mark.parametrize("name", MIXING)
def test_shares_differ_between_samples_unless_one_is_drawn_for_the_batch(name: str, rng: Generator) -> None:
    images, targets = torch.zeros(64, 1, 32, 32), torch.eye(64)

    def shares(per: str) -> Tensor:
        soft = MIXES[name](alpha=8.0, per=per)(images, targets, rng)[1]
        return soft.diagonal()[soft.diagonal() < 0.999]  # a sample paired with itself keeps its label

    assert len(shares("sample").unique()) > 20
    assert shares("batch").unique().numel() == 1


@pytest.mark.parametrize("name", MIXING)
def test_every_partner_is_as_likely_as_any_other(name: str, rng: Generator) -> None:
    """Over many batches of three, each sample meets itself and the two others a third of the time."""
    mix, partner = MIXES[name](alpha=32.0), []
    for _ in range(400):
        soft = mix(torch.zeros(3, 1, 8, 8), torch.eye(3), rng)[1]
        partner.append(int((soft[0] - torch.tensor([soft[0, 0].item(), 0, 0])).argmax()))
    assert binomtest(partner.count(1), 400, 1 / 3).pvalue > 1e-4
    assert binomtest(partner.count(2), 400, 1 / 3).pvalue > 1e-4


@pytest.mark.parametrize("name", MIXES)
def test_mixes_travel_to_workers(name: str, rng: Generator) -> None:
    mix: Mix = pickle.loads(pickle.dumps(MIXES[name](alpha=0.4)))
    images, targets = batch(rng)
    expected = MIXES[name](alpha=0.4)(images, targets, torch.Generator().manual_seed(3))
    assert torch.equal(mix(images, targets, torch.Generator().manual_seed(3))[0], expected[0])


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


@pytest.mark.parametrize("name", ["mixup", "hmix", "gmix"])
def test_a_gradient_reaches_alpha(name: str, rng: Generator) -> None:
    alpha = torch.tensor(0.4, requires_grad=True)
    mixed, soft = MIXES[name](alpha=alpha)(*batch(rng), rng)
    for value in (mixed.square().sum(), soft.square().sum()):
        (gradient,) = torch.autograd.grad(value, alpha, retain_graph=True)
        assert gradient.isfinite()
        assert gradient != 0


# Errors


@pytest.mark.parametrize("alpha", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", MIXES)
def test_an_impossible_alpha_is_refused(name: str, alpha: float) -> None:
    for value in (alpha, torch.tensor(alpha)):
        with pytest.raises(ValueError, match=f"mix.alpha is {alpha}: use a finite number"):
            MIXES[name](alpha=value)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
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
    assert build("mixup", alpha=0.4, probability=0.5, per="batch") == PairMix(mixup_mask, 0.4, 0.5, "batch")


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
