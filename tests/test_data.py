"""Data: splits that are stratified, disjoint and repeatable, and digits with a shift that is the one that is meant."""

import subprocess
import sys
from itertools import pairwise
from math import atan2, degrees
from pathlib import Path

import numpy
import pytest
import scipy.ndimage
import torch
from scipy.stats import chi2, kstest, pearsonr
from sklearn.datasets import load_digits
from torch import Tensor

from autoaug.data import Source, Split, Standard, as_float, load_data, resplit, subset, train_on_val
from autoaug.data._digits import DIGITS, SHIFTS, dimmed, inverted, rotated, translated
from autoaug.data._splits import class_counts, draw, joined, shares

COUNTS = (40, 7, 100, 23)
DIGITS_FINGERPRINT = "3d71172d1a3dc176"


def numbered(counts: tuple[int, ...] = COUNTS, first: int = 0) -> Split:
    """Images that know their own number, with so many of each class, in a mixed order."""
    total = sum(counts)
    number = torch.arange(first, first + total)
    pixels = torch.stack([number // 256, number % 256], dim=1).to(torch.uint8).view(total, 1, 1, 2)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(1))
    return Split(pixels, torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))[order])


def numbers(split: Split) -> list[int]:
    pixels = split.images.flatten(1).long()
    return (pixels[:, 0] * 256 + pixels[:, 1]).tolist()


def from_source(root: Path) -> Source:
    return Source(train=numbered())


def same(one: Split, other: Split) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)


def parts(name: str) -> tuple[Split, Split, Split]:
    data = load_data(name, test=True)
    return data.train, data.val, data.test


# Splits


def test_shares_by_hand() -> None:
    assert shares(torch.tensor([5, 3, 2]), 4).tolist() == [2, 1, 1]  # exactly 2, 1.2 and .8
    assert shares(torch.tensor([1, 1, 1]), 2).tolist() == [1, 1, 0]  # a tie goes to the lower class


def test_shares_sum_up_and_are_less_than_one_off(rng: torch.Generator) -> None:
    for total in range(1, 200, 7):
        counts = torch.randint(1, 90, (12,), generator=rng)
        total = min(total, int(counts.sum()))
        given = shares(counts, total)
        assert given.sum() == total
        assert ((given - counts * total / counts.sum()).abs() < 1).all()
        assert (given <= counts).all()


def test_every_image_is_drawn_equally_often(rng: torch.Generator) -> None:
    split, repeats = Split(torch.arange(16).view(16, 1, 1, 1), torch.arange(16) % 2), 500
    drawn = torch.cat([draw(split, torch.tensor([2, 2]), rng)[0].images.flatten() for _ in range(repeats)])
    counts, expected = torch.bincount(drawn, minlength=16), repeats * 2 / 8
    # Two of eight without replacement: a count varies by 1 - 2/8, and the eight of a class are tied to each other.
    statistic = float(((counts - expected) ** 2 / expected).sum()) / (1 - 2 / 8) * 7 / 8
    assert chi2.sf(statistic, df=14) > 1e-4


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_a_split_is_stratified_disjoint_and_complete(seed: int) -> None:
    data = load_data(from_source, val_fraction=0.2, test_fraction=0.25, seed=seed, test=True)
    shared = {0.6: data.train, 0.15: data.val, 0.25: data.test}
    assert sorted(number for part in shared.values() for number in numbers(part)) == list(range(sum(COUNTS)))
    for share, part in shared.items():
        assert ((class_counts(part, 4) - share * torch.tensor(COUNTS)).abs() < 1.5).all()
        assert class_counts(part, 4).min() > 0
        assert torch.equal(part.targets, numbered().targets[numbers(part)])
        assert all(before < after for before, after in pairwise(numbers(part)))


def test_a_seed_repeats_the_split_and_another_one_does_not() -> None:
    one, again, other = (load_data(from_source, seed=seed) for seed in (3, 3, 4))
    assert same(one.train, again.train)
    assert same(one.val, again.val)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert numbers(one.val) != numbers(other.val)


def test_a_search_is_given_no_test_images_and_the_same_other_ones() -> None:
    search, final = load_data(from_source), load_data(from_source, test=True)
    assert search.test is None
    assert same(search.train, final.train)
    assert same(search.val, final.val)
    assert search.fingerprint == final.fingerprint


def test_no_seed_lets_a_search_meet_a_test_image() -> None:
    tests = [load_data(from_source, seed=seed, test=True).test for seed in range(4)]
    assert all(same(test, tests[0]) for test in tests)


def test_the_splits_of_a_source_are_kept() -> None:
    source = Source(train=numbered(), val=numbered((2, 2, 2, 2), 500), test=numbered((1, 1, 1, 1), 600))
    data = load_data(lambda root: source, test=True, seed=7)
    assert numbers(data.train) == list(range(sum(COUNTS)))
    assert numbers(data.val) == list(range(500, 508))
    assert numbers(data.test) == list(range(600, 604))


def test_training_on_validation_images_too() -> None:
    data = load_data(from_source)
    both = train_on_val(data)
    assert numbers(both.train) == numbers(data.train) + numbers(data.val)
    assert same(both.val, data.val)
    assert (both.mean, both.fingerprint) == (data.mean, data.fingerprint)


def test_a_subset_has_its_size_the_shares_and_the_test_images_of_the_whole() -> None:
    small = load_data(subset(from_source, train=40, val=30), test=True)
    assert (len(small.train), len(small.val)) == (40, 30)
    assert ((class_counts(small.train, 4) - 40 / 170 * torch.tensor(COUNTS)).abs() < 1.5).all()
    full = load_data(from_source, test=True)
    assert same(small.test, full.test)
    assert len({*numbers(small.train), *numbers(small.val), *numbers(small.test)}) == 70 + len(full.test)
    assert numbers(load_data(subset(from_source, 40, 30)).train) == numbers(small.train)
    assert numbers(load_data(subset(from_source, 40, 30, seed=1)).train) != numbers(small.train)


def test_a_subset_takes_validation_images_from_validation_images() -> None:
    source = Source(train=numbered(), val=numbered((5, 5, 5, 5), 500))
    assert min(numbers(load_data(subset(lambda root: source, train=40, val=8)).val)) >= 500


# What the trainer gets


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_mean_and_deviation_against_plain_ones(dtype: torch.dtype, rng: torch.Generator) -> None:
    images = torch.randint(0, 256, (700, 3, 5, 4), generator=rng).to(torch.uint8)
    images[:, 2] = 51
    images = images if dtype == torch.uint8 else as_float(images)
    source = Source(train=Split(images, torch.arange(700) % 7))
    data = load_data(lambda root: source)
    pixels = data.train.images.double() / (255 if dtype == torch.uint8 else 1)
    assert data.train.images.dtype == dtype
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert data.std[:2] == pytest.approx(pixels.std((0, 2, 3), correction=0)[:2].tolist(), abs=1e-6)
    assert data.std[2] == pytest.approx(1 / 255)  # never varies, and is divided by all the same


def test_bytes_and_floats_become_floats() -> None:
    assert as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert as_float(torch.tensor([0.25])).item() == 0.25


def test_the_data_move_as_a_whole() -> None:
    data = load_data(from_source, test=True)
    moved = data.to("meta")
    assert {split.images.device.type for split in (moved.train, moved.val, moved.test)} == {"meta"}
    assert load_data(from_source).to("cpu").test is None
    assert (data.channels, len(data.val)) == (1, len(data.val.targets))


def test_the_fingerprint_sees_pixels_targets_and_shapes_and_not_the_memory(rng: torch.Generator) -> None:
    images, targets = torch.randint(0, 256, (12, 3, 4, 2), generator=rng).to(torch.uint8), torch.arange(12) % 2
    pixel = images.clone()
    pixel[-1, -1, -1, -1] += 1
    whole, swapped = Split(images, targets), Split(images.view(12, 3, 2, 4), targets)
    variants = [
        (whole, whole),
        (Split(pixel, targets), whole),
        (whole, Split(pixel, targets)),
        (whole, Split(images, targets.flip(0))),
        (swapped, swapped),
    ]
    found = [
        load_data(lambda root, parts=parts: Source(train=parts[0], val=parts[1])).fingerprint for parts in variants
    ]
    assert len(set(found)) == len(variants)
    scattered = Split(images.to(memory_format=torch.channels_last), targets)
    assert load_data(lambda root: Source(train=scattered, val=scattered)).fingerprint == found[0]


def test_another_process_finds_the_same_digits_and_imports_lazily() -> None:
    code = (
        "import sys, torch, autoaug.data as data\n"
        "assert not {'torchvision', 'sklearn'} & set(sys.modules)\n"
        "print(data.load_data('digits').fingerprint, data.load_data('digits-rotated').fingerprint)"
    )
    root = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [DIGITS_FINGERPRINT, load_data("digits-rotated").fingerprint]
    assert load_data("digits", seed=5, val_fraction=0.5).fingerprint == DIGITS_FINGERPRINT


# Digits


@pytest.mark.parametrize("name", DIGITS)
def test_every_row_of_the_digits(name: str) -> None:
    data = load_data(name)
    assert (data.classes, data.standard, data.test) == (tuple("0123456789"), Standard(pad=0, flip=False), None)
    train, val, test = parts(name)
    assert (len(train) + len(val), len(test)) == (1000, 797)
    for split in (train, val, test):
        assert split.images.shape[1:] == (1, 8, 8)
        assert split.images.dtype == torch.float32
        assert 0 <= split.images.min() < split.images.max() <= 1
        assert class_counts(split, 10).max() - class_counts(split, 10).min() <= len(split) * 0.012


def pictures(*splits: Split) -> set[bytes]:
    return {image.numpy().tobytes() for split in splits for image in split.images}


def test_digits_are_scaled_and_complete() -> None:
    train, val, test = parts("digits")
    assert (len(train), len(val)) == (400, 600)
    assert pictures(train, val, test) == {image.tobytes() for image in (load_digits().images / 16).astype("float32")}


def test_digits_100_is_balanced_and_inside_the_400() -> None:
    few, val, test = parts("digits-100")
    train, _, same_test = parts("digits")
    assert class_counts(few, 10).tolist() == [10] * 10
    assert len(val) == 900
    assert same(test, same_test)
    assert pictures(few) < pictures(train)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_leaves_the_training_images_and_all_targets_alone(name: str) -> None:
    (train, *shifted), (upright, *plain) = parts(name), parts("digits")
    assert same(train, upright)
    for one, other in zip(shifted, plain, strict=True):
        assert torch.equal(one.targets, other.targets)
        assert ((one.images - other.images).abs().amax((1, 2, 3)) > 0.01).float().mean() > 0.95


@pytest.mark.parametrize(("name", "most"), [("digits-rotated", 30), ("digits-rotated-50", 50)])
def test_the_rotated_digits_are_rotated_uniformly(name: str, most: int) -> None:
    """Oracle: scipy's rotation of the upright images, tried at every degree."""
    upright, turned = (parts(each)[1].images[:, 0].numpy() for each in ("digits", name))
    angles = numpy.arange(-most - 10, most + 11)
    misfit = numpy.stack(
        [
            scipy.ndimage.rotate(upright, angle, (2, 1), reshape=False, order=1, mode="grid-constant") - turned
            for angle in angles
        ]
    )
    misfit = numpy.square(misfit).mean((2, 3))
    best = angles[misfit.argmin(0)]
    assert misfit.min(0).max() < 1e-3  # half a degree off at most
    assert -most - 1 <= best.min() < 1 - most
    assert most - 1 < best.max() <= most + 1
    dithered = best + numpy.linspace(-0.5, 0.5, len(best))  # whole degrees would be ties
    assert kstest(dithered, "uniform", (-most, 2 * most)).pvalue > 1e-4


def test_the_translated_digits_are_translated_by_up_to_1_6_pixels() -> None:
    """Oracle: scipy's shift of the upright images along each axis, tried at every tenth of a pixel."""
    steps = numpy.arange(-20, 21) / 10
    shifts = numpy.stack(
        [scipy.ndimage.shift(numpy.eye(8), (step, 0), order=1, mode="grid-constant") for step in steps]
    )
    upright, moved = (parts(each)[1].images[:60, 0].numpy() for each in ("digits", "digits-translated"))
    tried = numpy.einsum("aij,njk,blk->nabil", shifts, upright, shifts, optimize=True)
    misfit = numpy.square(tried - moved[:, None, None]).mean((3, 4)).reshape(60, -1)
    assert misfit.min(1).max() < 1e-3
    for best in numpy.unravel_index(misfit.argmin(1), (len(steps), len(steps))):
        assert -1.7 < steps[best].min() < -1.4
        assert 1.4 < steps[best].max() < 1.7


def test_the_dimmed_and_the_inverted_digits() -> None:
    plain, dim, inverse = (parts(each)[1].images for each in ("digits", "digits-brightness", "digits-inverted"))
    assert torch.equal(inverse, 1 - plain)
    factors = dim.amax((1, 2, 3)) / plain.amax((1, 2, 3))
    assert torch.allclose(dim, plain * factors.view(-1, 1, 1, 1), atol=1e-6)
    assert kstest(factors.numpy(), "uniform", (0.3, 0.3)).pvalue > 1e-4


def blobs(count: int, x: float, y: float) -> Tensor:
    """So many images of 41 x 41 with a soft spot, x to the right and y down from the centre."""
    axis = torch.arange(41.0) - 20
    return (-((axis - x) ** 2 + (axis[:, None] - y) ** 2) / 8).exp().expand(count, 1, 41, 41)


def centroids(images: Tensor) -> Tensor:
    axis, weight = torch.arange(41.0) - 20, images[:, 0] / images.sum((1, 2, 3)).view(-1, 1, 1)
    return torch.stack([(weight * axis).sum((1, 2)), (weight * axis[:, None]).sum((1, 2))], dim=1)


def test_rotation_keeps_the_distance_and_draws_one_angle_per_image(rng: torch.Generator) -> None:
    found = centroids(rotated(30)(blobs(500, 10, 0), rng))
    assert (found.norm(dim=1) - 10).abs().max() < 0.05
    angles = [degrees(atan2(y, x)) for x, y in found.tolist()]
    assert kstest(angles, "uniform", (-30, 60)).pvalue > 1e-4
    assert rotated(30)(torch.ones(9, 1, 8, 8), rng)[:, 0, 0, 0].min() < 0.9  # zeros come in at the corners


def test_translation_moves_each_axis_alone_by_pixels(rng: torch.Generator) -> None:
    moved = centroids(translated(1.6)(blobs(500, 0, 0), rng)).numpy()
    for axis in (0, 1):
        assert kstest(moved[:, axis], "uniform", (-1.6, 3.2)).pvalue > 1e-4
    assert pearsonr(moved[:, 0], moved[:, 1]).pvalue > 1e-4
    wide = translated(2.0)(torch.nn.functional.pad(blobs(200, 0, 0), (20, 20)), rng)[..., 20:61]
    assert 1.9 < centroids(wide).abs().max() < 2.001  # pixels of its own size along each axis


def test_dimming_multiplies_each_image_by_one_factor(rng: torch.Generator) -> None:
    images = torch.rand(500, 1, 4, 4, generator=rng) + 0.5
    factors = dimmed(0.3, 0.6)(images, rng) / images
    assert factors.flatten(1).std(dim=1).max() < 1e-6
    assert kstest(factors[:, 0, 0, 0].numpy(), "uniform", (0.3, 0.3)).pvalue > 1e-4


def test_inversion(rng: torch.Generator) -> None:
    assert inverted(torch.tensor([[[[0.0, 0.25]]]]), rng).flatten().tolist() == [1, 0.75]


def pool(images: int = 300) -> Source:
    """Images whose first pixel says which one it is, without a split of their own."""
    pixels = torch.arange(images).view(-1, 1, 1, 1).expand(-1, 1, 8, 8) / images
    return Source(train=Split(pixels.contiguous(), torch.arange(images) % 3))


def test_a_new_split_is_of_the_same_images_and_the_same_class_shares() -> None:
    data = load_data(lambda root: pool(), val_fraction=0.2)
    assert data.val_is_cut
    anew, again = (resplit(data, 0.2, torch.Generator().manual_seed(seed)) for seed in (1, 1))
    assert torch.equal(anew.val.images, again.val.images)
    assert not torch.equal(anew.val.images, data.val.images)
    for one, two in ((anew.train, data.train), (anew.val, data.val)):
        assert len(one) == len(two)
        assert torch.equal(torch.bincount(one.targets), torch.bincount(two.targets))
    everything = [joined(each.train, each.val).images[:, 0, 0, 0].sort().values for each in (anew, data)]
    assert torch.equal(*everything)
    assert (anew.mean, anew.fingerprint) == (data.mean, data.fingerprint)


def test_a_third_part_for_the_selection_is_what_a_fixed_split_validates_on() -> None:
    fixed, data = (load_data(lambda root: pool(), val_fraction=0.2, selection=third) for third in (False, True))
    assert fixed.selection is None
    assert data.selection is not None
    assert torch.equal(data.scored.images, fixed.scored.images)
    assert [len(part) for part in (data.train, data.val, data.scored)] == [154, 38, 48], "of 240"
    assert torch.equal(*(train_on_val(each).train.images.flatten().sort().values for each in (fixed, data)))
    anew = resplit(data, 0.2, torch.Generator().manual_seed(1))
    assert anew.scored is data.scored
    assert not torch.equal(anew.val.images, data.val.images)
    assert data.to("cpu").scored.images.device.type == "cpu"


def test_validation_images_that_the_dataset_brings_are_never_split_anew() -> None:
    rng = torch.Generator()
    before = rng.get_state()
    data = load_data("digits")
    assert not data.val_is_cut
    assert resplit(data, 0.1, rng) is data
    assert torch.equal(rng.get_state(), before)
    assert load_data("digits", selection=True).selection is None
    cut_data = load_data(lambda root: pool())
    assert not train_on_val(cut_data).val_is_cut, "its validation images are among the training images"
