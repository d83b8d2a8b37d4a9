"""What random operations draw: by hand, and by statistical tests that a right generator fails once in ten thousand."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import Tensor
from torch.nn.functional import pad

from autoaug.ops import OPS, crop, cutout, gaussian_noise
from autoaug.testing import photographs


def every(images: Tensor, amount: float) -> Tensor:
    """The same amount for every image."""
    return torch.full([len(images)], amount, dtype=images.dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_cutout_is_a_square_around_a_random_pixel_cut_at_the_edge() -> None:
    white = torch.ones(4000, 1, 12, 20)
    black = 1 - cutout(white, every(white, 0.5), seeded())[:, 0]  # a side of 6 pixels
    rows, columns = black.amax(2).sum(1), black.amax(1).sum(1)
    assert set(rows.tolist()) == set(columns.tolist()) == {3, 4, 5, 6}
    torch.testing.assert_close(black.sum((1, 2)), rows * columns)
    assert set(black.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(("axis", "size"), [(1, 12), (2, 20)])
def test_cutout_is_centred_on_every_pixel_equally_often(axis: int, size: int) -> None:
    white = torch.ones(12000, 1, 12, 20)
    black = 1 - cutout(white, every(white, 2 / 12), seeded())[:, 0].amin(3 - axis)
    last = (black * torch.arange(size)).amax(1)  # a side of 2 pixels ends on the pixel of its centre
    assert chisquare(torch.bincount(last.long(), minlength=size)).pvalue > 1e-4


def test_cutout_grows_without_jumps() -> None:
    white = torch.ones(1, 1, 32, 32)
    areas = [1024 - cutout(white, torch.tensor([s]), seeded(0)).sum().item() for s in np.linspace(0, 0.25, 51)]
    assert areas == pytest.approx([(32 * s) ** 2 for s in np.linspace(0, 0.25, 51)], abs=1e-3)


def test_noise_is_normal_with_the_deviation_given() -> None:
    grey_images = torch.full((2, 3, 64, 64), 0.5)
    off = gaussian_noise(grey_images, torch.tensor([0.02, 0.1]), seeded()) - grey_images
    for image, deviation in zip(off, (0.02, 0.1), strict=True):
        assert kstest(image.flatten().numpy() / deviation, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(off.flatten(1))[0, 1]) < 0.05


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 22)])
def test_crop_is_a_window_of_the_padded_image_and_every_window_is_as_likely(height: int, width: int) -> None:
    """1/8 of the size is 4 of 32 pixels, the standard crop."""
    image = photographs(1, height=height, width=width)
    many = image.expand(9000, -1, -1, -1)
    down, across = round(height / 8), round(width / 8)
    padded = pad(image, (across, across, down, down))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)[0].permute(1, 2, 0, 3, 4).flatten(0, 1)
    assert len(windows) == (2 * down + 1) * (2 * across + 1)
    cropped = crop(many, every(many, OPS["crop"].most), seeded())
    same = torch.cdist(cropped[:, 0].flatten(1), windows[:, 0].flatten(1)) < 1e-2
    which = same.int().argmax(1)
    assert torch.equal(cropped, windows[which])
    assert chisquare(torch.bincount(which, minlength=len(windows))).pvalue > 1e-4


def test_a_padding_below_zero_is_none() -> None:
    images = photographs()
    assert torch.equal(crop(images, every(images, -0.2), seeded()), images)
