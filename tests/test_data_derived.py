"""Datasets made of other datasets: subsets and smaller images."""

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor

from autoaug.data import DataError, Source, Split, Standard, load_data, resized, subset
from autoaug.train import Task


def pictures(dtype: torch.dtype, *shape: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, generator=rng).to(dtype)
    return torch.rand(shape, generator=rng)


def source(images: Tensor) -> Source:
    targets = torch.arange(len(images)) % 2
    return Source(train=Split(images, targets), classes=("a", "b"), standard=Standard(flip=False))


def small(images: Tensor, size: int) -> Tensor:
    """All images after resizing, in order."""
    return resized(lambda root: source(images), size)(Path()).train.images


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_pixel_is_the_mean_of_the_area_that_it_covers(dtype: torch.dtype) -> None:
    images = pictures(dtype, 6, 3, 12, 8)
    found, blocks = small(images, 4), images.numpy().astype("float64").reshape(6, 3, 4, 3, 4, 2)
    assert found.dtype == dtype
    assert found.shape == (6, 3, 4, 4)
    numpy.testing.assert_allclose(found.numpy(), blocks.mean((3, 5)), atol=0.501 if dtype == torch.uint8 else 1e-6)


def test_areas_that_are_no_whole_pixels() -> None:
    """5 pixels to 2: the first covers 0 to 2.5, so it touches the pixels 0, 1 and 2."""
    row = torch.tensor([0.0, 0.3, 0.6, 0.9, 0.9])
    assert small(row.view(1, 1, 1, 5).expand(6, 1, 5, 5), 2)[0, 0, 0].tolist() == pytest.approx([0.3, 0.8])


def test_pillow_s_box_filter_agrees() -> None:
    images = pictures(torch.uint8, 6, 3, 32, 32)
    for given, found in zip(images, small(images, 16), strict=True):
        box = Image.fromarray(given.permute(1, 2, 0).numpy()).resize((16, 16), Image.Resampling.BOX)
        difference = numpy.array(box).astype(int) - found.permute(1, 2, 0).numpy()
        assert abs(difference).max() <= 1, "a half may be rounded either way"


def test_the_size_that_images_have_changes_nothing() -> None:
    images = pictures(torch.uint8, 6, 1, 7, 7)
    assert torch.equal(small(images, 7), images)


def test_many_images_are_shrunk_as_few_are() -> None:
    images = pictures(torch.float32, 2345, 1, 4, 4)
    assert torch.equal(small(images, 2)[2300:], small(images[2300:], 2))


def test_all_splits_are_resized_and_the_rest_is_kept() -> None:
    images = pictures(torch.uint8, 40, 1, 8, 8)
    whole = Source(train=Split(images, torch.arange(40) % 2), val=Split(images[:6], torch.arange(6) % 2))
    found = resized(lambda root: whole, 4)(Path())
    assert torch.equal(found.train.images[:6], found.val.images)
    assert torch.equal(found.train.targets, whole.train.targets)
    assert found.test is None
    kept = resized(lambda root: source(images), 4)(Path())
    assert (kept.classes, kept.standard) == (("a", "b"), Standard(flip=False))


def test_subsets_and_sizes_nest_in_either_order() -> None:
    few = {"train": 30, "val": 20}
    one = load_data(resized(subset("digits", **few), 4), test=True)
    other = load_data(subset(resized("digits", 4), **few), test=True)
    assert one.fingerprint == other.fingerprint
    assert torch.equal(one.test.images, other.test.images)
    assert one.train.images.shape == (30, 1, 4, 4)


@pytest.mark.parametrize("size", [0, 9])
def test_a_size_that_cannot_be(size: int) -> None:
    with pytest.raises(DataError, match=rf"size={size} of resized data 'digits': give 1 to 8, .* are 8 x 8"):
        load_data(resized("digits", size))


def test_a_task_says_what_its_data_are_made_of() -> None:
    described = Task(data=resized(subset("cifar10", train=2000, val=1000), 16)).describe()["data"]
    assert described == "Resized(data=Subset(data='cifar10', train=2000, val=1000, seed=0), size=16)"
