"""The operations beyond AutoAugment's, against answers known otherwise: scipy, torchvision, Pillow, kornia, by hand."""

import io
import math
import subprocess
import sys
from typing import Any

import kornia
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest, chisquare, kstest
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as F

from autoaug.ops import (
    EXTENDED,
    OPS,
    RANGES,
    channel_shuffle,
    compose,
    elastic,
    fog,
    gamma,
    gaussian_blur,
    grayscale,
    grey,
    jpeg,
    motion_blur,
    perspective,
    planckian_jitter,
    plasma_brightness,
    plasma_contrast,
    plasma_shadow,
    random_erasing,
    salt_and_pepper,
    zoom,
    zoom_x,
    zoom_y,
)
from autoaug.policy import op_masses, ready
from autoaug.strategies import autoaugment, madao, randaugment, random_policy, trivialaugment, uniformaugment
from autoaug.testing import eight_bit, photographs


def every(images: Tensor, amount: float) -> Tensor:
    """The same amount for every image."""
    return torch.full([len(images)], amount, dtype=images.dtype)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def ramp(batch: int, height: int, width: int) -> Tensor:
    """Images whose value is 0.25 to 0.75 from left to right."""
    return torch.linspace(0.25, 0.75, width, dtype=torch.double).expand(batch, 1, height, width)


# ---- what the table says ----


def test_no_strategy_and_no_ready_policy_takes_the_new_rows_by_itself() -> None:
    assert not {*ready.MADAO_OPS, *ready.RANDAUGMENT_OPS} & set(EXTENDED)
    trees = [
        getattr(ready, name)()
        for name in ("standard", "randaugment", "trivialaugment", "uniformaugment", "random_policy")
    ]
    trees += [
        strategy.policy(**{name.removeprefix("policy."): value for name, value in point.items()}).tree()
        for strategy in (randaugment(), random_policy(), trivialaugment(), uniformaugment(), madao(), autoaugment())
        for point in (strategy.first or ({},))
        if all(name.startswith("policy.") for name in point)
    ]
    assert len(trees) >= 9
    assert not {op for tree in trees for op in op_masses(tree)} & set(EXTENDED)
    ops = [dimension for name, dimension in autoaugment().space.items() if ".op_" in name]
    assert ops
    assert not any(set(dimension.choices) & set(EXTENDED) for dimension in ops)


def test_kornia_is_imported_when_an_operation_needs_it_and_not_before() -> None:
    text = "import sys, autoaug.ops, autoaug.policy; sys.exit('kornia' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0


def test_the_extended_ranges_go_farther_and_leave_the_classical_rows_alone() -> None:
    farther = {name for name, op in RANGES["extended"].items() if op is not OPS[name]}
    assert farther == {
        "zoom", "jpeg", "salt_and_pepper", "fog", "gamma", "plasma_brightness", "plasma_contrast", "plasma_shadow",
    }  # fmt: skip
    assert farther <= set(EXTENDED)
    assert all(RANGES["extended"][name].most > OPS[name].most for name in farther)


# ---- blurs ----


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 41)])
def test_gaussian_blur_is_that_of_scipy(height: int, width: int) -> None:
    images = photographs(4, 3, height, width).double()
    deviations = torch.tensor([0.0, 0.01, 0.02, 1 / 32], dtype=torch.double)
    ours, side = gaussian_blur(images, deviations), min(height, width)
    radius = math.ceil(side / 8)
    for image, blurred, deviation in zip(images, ours, deviations.tolist(), strict=True):
        sigma = max(deviation * side, 1e-9)
        theirs = gaussian_filter(image.numpy(), (0, sigma, sigma), mode="nearest", radius=(0, radius, radius))
        torch.testing.assert_close(blurred, torch.from_numpy(theirs), atol=1e-12, rtol=0)


def test_motion_blur_spreads_a_point_along_a_line_of_the_length_given() -> None:
    point = torch.zeros(2000, 1, 65, 65, dtype=torch.double)
    point[:, :, 32, 32] = 1
    spread = motion_blur(point, every(point, 6 / 65), seeded())[:, 0]
    torch.testing.assert_close(spread.sum((1, 2)), torch.ones(2000, dtype=torch.double))
    x, y = torch.arange(-32, 33).double(), torch.arange(-32, 33).double()[:, None]
    xx, yy, xy = ((spread * weight).sum((1, 2)) for weight in (x * x, y * y, x * y))
    along, total = torch.hypot(xx - yy, 2 * xy), xx + yy  # difference and sum of the variances along and across
    assert along.mean().item() == pytest.approx(6**2 / 12, rel=0.1)
    assert (total - along).max() < 2 * 0.26  # across there is only what bilinear interpolation gives the neighbours
    angles = (torch.atan2(2 * xy, xx - yy) / 2) % math.pi
    assert kstest((angles / math.pi).numpy(), "uniform").pvalue > 1e-4


# ---- geometry ----


def test_perspective_is_that_of_torchvision_with_the_corners_drawn() -> None:
    images, distortion = photographs(5, 3, 24, 40).double(), 0.5
    ours = perspective(images, every(images, distortion), seeded(3))
    draws = torch.rand(5, 8, generator=seeded(3)).view(5, 4, 2).double()
    before = [[0, 0], [40, 0], [40, 24], [0, 24]]
    inwards = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]]).double()
    for image, moved, draw in zip(images, ours, draws, strict=True):
        after = torch.tensor(before).double() + inwards * distortion * draw * torch.tensor([20.0, 12.0])
        theirs = F.perspective(image, before, after.tolist())
        torch.testing.assert_close(moved, theirs.double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("amount", [0.3, -0.3])
def test_zoom_is_the_scale_of_kornia(amount: float) -> None:
    images = photographs(3, 3, 20, 33).double()
    factor = torch.full((3, 2), math.exp(amount), dtype=torch.double)
    theirs = kornia.geometry.transform.scale(images, factor, align_corners=False)
    torch.testing.assert_close(zoom(images, every(images, amount)), theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("amount", [0.3, -0.3])
@pytest.mark.parametrize(("op", "axis"), [(zoom_x, 0), (zoom_y, 1)])
def test_zooms_of_one_axis_are_the_scales_of_kornia(op: Any, axis: int, amount: float) -> None:
    images = photographs(3, 3, 20, 33).double()
    factor = torch.ones(3, 2, dtype=torch.double)
    factor[:, axis] = math.exp(amount)
    theirs = kornia.geometry.transform.scale(images, factor, align_corners=False)
    torch.testing.assert_close(op(images, every(images, amount)), theirs, atol=1e-9, rtol=0)


def test_a_zoom_of_one_axis_looks_up_what_is_calculated_by_hand() -> None:
    """A row of four pixels at twice the width: the middle two, each of them twice, with a quarter of its neighbour."""
    row = torch.tensor([0.0, 0.4, 0.8, 1.0], dtype=torch.double).expand(1, 1, 3, 4)
    double = torch.tensor([math.log(2)], dtype=torch.double)
    wanted = torch.tensor([0.3, 0.5, 0.7, 0.85], dtype=torch.double)
    torch.testing.assert_close(zoom_x(row, double)[0, 0], wanted.expand(3, 4))
    torch.testing.assert_close(zoom_y(row.mT, double)[0, 0], wanted.expand(3, 4).T)
    half = zoom_x(row, -double)[0, 0, 0]
    torch.testing.assert_close(half, torch.tensor([0.0, 0.2, 0.9, 0.0], dtype=torch.double))


def test_the_zooms_of_both_axes_are_one_zoom() -> None:
    amount = torch.tensor([0.3, -0.2, 0.0], dtype=torch.double)
    together = compose(OPS["zoom_x"].matrix(amount, 9, 14), OPS["zoom_y"].matrix(amount, 9, 14))  # type: ignore[misc]
    torch.testing.assert_close(together, OPS["zoom"].matrix(amount, 9, 14))  # type: ignore[misc]


def test_elastic_moves_by_the_deviation_given_and_neighbours_together() -> None:
    images = ramp(200, 64, 64)
    moved = elastic(images, every(images, 0.03), seeded())
    middle = ((moved - images) * 63 / 0.5)[:, 0, 24:40, 24:40] / 64  # in sides, of which the ramp is a ruler
    assert middle.std().item() == pytest.approx(0.03, rel=0.1)
    assert abs(middle.mean().item()) < 0.005
    assert np.corrcoef(middle[:, 8, 8], middle[:, 8, 9])[0, 1] > 0.99
    assert abs(np.corrcoef(middle[:100, 8, 8], middle[100:, 8, 8])[0, 1]) < 0.4


def test_random_erasing_blacks_out_a_rectangle_of_the_area_given_inside_the_image() -> None:
    white = torch.ones(3000, 1, 40, 50, dtype=torch.double)
    black = 1 - random_erasing(white, every(white, 0.3), seeded())[:, 0]
    torch.testing.assert_close(black.sum((1, 2)), every(white, 0.09 * 2000))
    high, wide = black.amax(2).sum(1), black.amax(1).sum(1)
    logs = (black.sum(1).amax(1) / black.sum(2).amax(1)).log()
    assert logs.abs().max() <= math.log(1 / 0.3) + 1e-6
    assert kstest(logs.numpy(), "uniform", (-math.log(1 / 0.3), 2 * math.log(1 / 0.3))).pvalue > 1e-4
    assert (high.max() < 40, wide.max() < 50) == (True, True)


# ---- colours ----


@pytest.mark.parametrize("power", [-1.0, -0.3, 0.0, 0.585, 1.0])
def test_gamma_is_that_of_torchvision(power: float) -> None:
    images = photographs().double()
    torch.testing.assert_close(gamma(images, every(images, power)), F.adjust_gamma(images, 2**power), atol=1e-9, rtol=0)


def test_grayscale_is_grey_in_every_channel() -> None:
    images = photographs()
    assert torch.equal(grayscale(images), grey(images).expand(-1, 3, -1, -1))
    torch.testing.assert_close(grayscale(images)[:, :1], kornia.color.rgb_to_grayscale(images), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("row", "way"), [(0, -1.0), (3, -4 / 7), (7, 0.0), (12, 5 / 17), (24, 1.0)])
def test_planckian_jitter_has_kornias_coefficients_relative_to_white(row: int, way: float) -> None:
    table = kornia.augmentation.RandomPlanckianJitter(mode="blackbody").pl.double()
    images = 0.4 * photographs().double()
    changed = planckian_jitter(images, every(images, way))
    red, blue = (table[row] / table[7]).tolist()
    torch.testing.assert_close(changed[:, 0], (red * images[:, 0]).clamp(max=1), atol=1e-6, rtol=0)
    assert torch.equal(changed[:, 1], images[:, 1])
    torch.testing.assert_close(changed[:, 2], (blue * images[:, 2]).clamp(max=1), atol=1e-6, rtol=0)


def test_channels_are_put_in_each_order_as_often() -> None:
    levels = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(6000, 3, 1, 1)
    shuffled = channel_shuffle(levels, every(levels, 1.0), seeded()).mul(10).round().long()[:, :, 0, 0]
    codes = shuffled @ torch.tensor([100, 10, 1])
    assert set(codes.tolist()) == {123, 132, 213, 231, 312, 321}
    assert chisquare(codes.unique(return_counts=True)[1]).pvalue > 1e-4
    half = channel_shuffle(levels, every(levels, 0.5), seeded())
    torch.testing.assert_close(half, (levels + shuffled[:, :, None, None] / 10) / 2)


# ---- what the camera and the file do ----


def test_salt_and_pepper_are_the_share_given_half_each_and_in_all_channels() -> None:
    images = torch.full((4, 3, 100, 100), 0.4)
    noisy = salt_and_pepper(images, every(images, 0.07), seeded())
    assert torch.equal(noisy[:, :1].expand(-1, 3, -1, -1), noisy)
    white, black = (int((noisy[:, 0] == value).sum()) for value in (1, 0))
    assert int((noisy[:, 0] == 0.4).sum()) == 40_000 - white - black
    assert binomtest(white + black, 40_000, 0.07).pvalue > 1e-4
    assert binomtest(white, white + black).pvalue > 1e-4


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("quality", [10, 40, 75, 95])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 50)])
def test_jpeg_is_the_file_of_pillow(height: int, width: int, quality: int, mode: str) -> None:
    levels = eight_bit(photographs(3, 1 if mode == "L" else 3, height, width))
    ours = jpeg(levels.double() / 255, torch.full([3], 100.0 - quality, dtype=torch.double)) * 255
    for image, saved in zip(levels, ours, strict=True):
        file = io.BytesIO()
        array = image[0].numpy() if mode == "L" else image.permute(1, 2, 0).numpy()
        Image.fromarray(array).save(file, "jpeg", quality=quality, subsampling="4:2:0")
        theirs = torch.from_numpy(np.atleast_3d(np.array(Image.open(file)))).permute(2, 0, 1)
        off = (saved - theirs).abs()
        assert (off <= 3).double().mean() > 0.85, "a coefficient that lies between two steps is seen in its block"
        assert off.mean() < max(0.5, 0.2 * (image.double() - theirs).abs().mean()), "a part of what the file changed"


# ---- clouds ----


def test_fog_is_a_cloud_from_nothing_to_the_thickness_given() -> None:
    black, images = torch.zeros(5, 1, 32, 48), photographs(5, 1, 32, 48)
    cloud = fog(black, every(black, 1.5), seeded())
    torch.testing.assert_close(cloud.amax((1, 2, 3)), every(black, 0.6))
    assert torch.equal(cloud.amin((1, 2, 3)), every(black, 0.0))
    torch.testing.assert_close(fog(images, every(images, 1.5), seeded()), cloud + images / 2.5)
    neighbours = np.corrcoef(cloud[..., 1:].flatten(), cloud[..., :-1].flatten())[0, 1]
    assert neighbours > 0.9


def test_plasma_changes_brightness_contrast_and_shadow_by_the_amount_given() -> None:
    half, light = torch.full((64, 1, 32, 32), 0.5), torch.full((64, 1, 32, 32), 0.6)
    bright = plasma_brightness(half, every(half, 0.3), seeded())
    torch.testing.assert_close(bright.amin((1, 2, 3)), every(half, 0.2))
    torch.testing.assert_close(bright.amax((1, 2, 3)), every(half, 0.8))
    assert torch.equal(plasma_contrast(half, every(half, 1.0), seeded()), half)
    strong = plasma_contrast(light, every(half, 1.0), seeded())
    torch.testing.assert_close(strong.amin((1, 2, 3)), every(half, 0.5))
    torch.testing.assert_close(strong.amax((1, 2, 3)), every(half, 0.9))
    shaded = plasma_shadow(light, every(half, 0.25), seeded())
    assert shaded.unique().tolist() == pytest.approx([0.35, 0.6])
    assert 0.35 < (shaded < 0.5).float().mean() < 0.65
