"""Operations that kornia computes, at amounts of our own: blurs, perspective, elastic, gamma and colour temperature.

`images` [B, C, H, W] in [0, 1], amounts [B]. Lengths are fractions of the shorter side, so that an amount means the
same at every size; where kornia takes a window of pixels, its size follows from the size of the images alone, and never
from the amounts, which may be on a GPU. Kornia's random classes draw from torch's global generator and read values
back, so its functions are called with what is drawn here. It is imported when an operation is first used.

All gradients are exact.
"""

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, interpolate

from autoaug.devices import to_device
from autoaug.ops._contract import unchanged, working
from autoaug.ops._geometric import pixel_centres

ELASTIC_POINTS, ELASTIC_WIDTH = 29, 4
"""Points along the shorter side, and how many of them the Gaussian that smooths displacements is wide."""
NEUTRAL = 7
"""The row of kornia's colour temperatures, 3 000 to 15 000 K in steps of 500, that counts as white: 6 500 K."""
LARGEST_TILT = 0.65
"""Below two thirds no corner of a perspective comes to lie inside the triangle of the others."""
DARKEST = 1e-6
"""Below it a power has too steep a slope for a number."""


def gaussian_blur(images: Tensor, deviation: Tensor) -> Tensor:
    """Blur with a Gaussian of this standard deviation, a fraction of the shorter side.

    It is `kornia.filters.filter2d_separable` with one kernel per image. The kernel ends at an eighth of the shorter
    side, which is four deviations of the largest amount in the table. Outside the image its edge goes on.
    """
    from kornia.filters import filter2d_separable, get_gaussian_kernel1d

    x, a = working(images, deviation)
    side = min(x.shape[2:])
    kernel = get_gaussian_kernel1d(2 * math.ceil(side / 8) + 1, a.view(-1, 1) * side)
    return _averages(filter2d_separable(x, kernel, kernel, border_type="replicate")).to(images.dtype)


def motion_blur(images: Tensor, length: Tensor, rng: Generator) -> Tensor:
    """Average along a straight line of this length, a fraction of the shorter side, at a random angle.

    It is `kornia.filters.filter2d` with one kernel per image: a line is a row of points, each shared by the four pixels
    around it as in bilinear interpolation, so that the gradient in the length is exact. The longest line is an eighth
    of the shorter side. Outside the image its edge goes on.
    """
    from kornia.filters import filter2d

    x, a = working(images, length)
    side = min(x.shape[2:])
    radius = math.ceil(side / 16)
    angle = math.pi * _uniform(images, 1, rng).to(a.dtype)
    kernel = _line((a.view(-1, 1) * side).clamp(max=2 * radius), angle, radius)
    return _averages(filter2d(x, kernel, border_type="replicate")).to(images.dtype)


def perspective(images: Tensor, distortion: Tensor, rng: Generator) -> Tensor:
    """Tilt the image: its corners move inwards, each by up to this fraction of half the width and half the height.

    The corners are drawn as torchvision's and kornia's `RandomPerspective` draw them; the homography is solved in
    closed form (Heckbert 1989, "Fundamentals of Texture Mapping and Image Warping", section 2.2.3), and
    `kornia.geometry.transform.homography_warp` samples, bilinear and black outside. Amounts above 0.65 count as 0.65.
    """
    from kornia.geometry.transform import homography_warp

    x, a = working(images, distortion)
    draws = _uniform(images, 8, rng).view(-1, 4, 2).to(a.dtype)
    around = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=a.dtype)
    corners = to_device(around, x.device) * (1 - a.view(-1, 1, 1).clamp(max=LARGEST_TILT) * draws)
    height, width = x.shape[2:]
    return _averages(homography_warp(x, _looked_up_from(corners), (height, width))).to(images.dtype)


def elastic(images: Tensor, displacement: Tensor, rng: Generator) -> Tensor:
    """Move every pixel by a smooth random displacement with this standard deviation, a fraction of the shorter side.

    Simard et al. 2003: uniform noise on 29 pixels, smoothed by a Gaussian 4 of them wide. Here 29 points lie along the
    shorter side of any image, what is between them is interpolated, and the noise is scaled so that an amount is the
    deviation of what is smoothed, away from the borders. Sampled bilinearly, black outside, as by
    `kornia.geometry.transform.elastic_transform2d`, which smooths at the size of the image: many times as slow.
    """
    x, a = working(images, displacement)
    height, width = x.shape[2:]
    side = min(height, width)
    across, down = _waves(x, rng).split(1, dim=1)
    scale = 2 * side * a  # coordinates go from -1 to 1
    columns, rows = pixel_centres(width, x), pixel_centres(height, x)[:, None]
    grid = torch.cat([columns + across * (scale / width), rows + down * (scale / height)], dim=1)
    return _averages(grid_sample(x, grid.permute(0, 2, 3, 1), align_corners=False)).to(images.dtype)


def gamma(images: Tensor, power: Tensor) -> Tensor:
    """Raise every value to the power 2 ** amount: above 0 darker, below 0 brighter (`kornia.enhance.adjust_gamma`).

    Black stays black, with the gradient zero: below 10⁻⁶ a value is not raised, as the slope of a root has no end.
    """
    from kornia.enhance import adjust_gamma

    x, a = working(images, power)
    raised = adjust_gamma(x.clamp(min=DARKEST), torch.exp2(a.view(-1)), x.new_ones(1))
    return torch.where(x < DARKEST, unchanged(x, a), raised).to(images.dtype)


def planckian_jitter(images: Tensor, way: Tensor) -> Tensor:
    """Change the colour of the light along that of a black body: -1 is 3 000 K, reddish, and 1 is 15 000 K, bluish.

    Red and blue are multiplied by kornia's coefficients (Zini et al. 2023, "Planckian Jitter"), relative to those of
    6 500 K and interpolated between its temperatures, and cut to [0, 1]. A one-channel image has no colour and stays.
    """
    x, a = working(images, way)
    if x.shape[1] == 1:
        return unchanged(x, a).to(images.dtype)
    gains = to_device(_temperatures(), x.device, x.dtype)
    a = a.view(-1)
    place = NEUTRAL + a.clamp(-1, 1) * torch.where(a > 0, len(gains) - 1 - NEUTRAL, NEUTRAL)
    below = place.detach().floor().clamp(max=len(gains) - 2).long()
    gain = torch.lerp(gains[below], gains[below + 1], (place - below)[:, None])
    return (x * gain[:, :, None, None]).clamp(0, 1).to(images.dtype)


@lru_cache(maxsize=1)
def _temperatures() -> Tensor:
    """Return what red, green and blue are multiplied by at each temperature, [25, 3]; ones at 6 500 K."""
    from kornia.augmentation import RandomPlanckianJitter

    red, blue = RandomPlanckianJitter(mode="blackbody").pl.unbind(1)
    gains = torch.stack([red, torch.ones_like(red), blue], dim=1)
    return gains / gains[NEUTRAL]


def _averages(sampled: Tensor) -> Tensor:
    """Return weighted means of pixels, cut to [0, 1] where rounding left it, behind the back of autograd."""
    sampled.detach().clamp_(0, 1)
    return sampled


def _uniform(images: Tensor, numbers: int, rng: Generator) -> Tensor:
    """Return numbers in [0, 1) for each image, [B, numbers], drawn in float32."""
    draws = torch.rand(len(images), numbers, generator=rng, device=rng.device, dtype=torch.float32)
    return to_device(draws, images.device)


def _waves(images: Tensor, rng: Generator) -> Tensor:
    """Return two smooth random fields for each image, [B, 2, H, W], with the standard deviation 1 off the borders."""
    from kornia.filters import filter2d_separable, get_gaussian_kernel1d

    batch, _, height, width = images.shape
    rows, columns = (round(ELASTIC_POINTS * size / min(height, width)) for size in (height, width))
    noise = torch.rand(batch, 2, rows, columns, generator=rng, device=rng.device, dtype=torch.float32)
    kernel = get_gaussian_kernel1d(6 * ELASTIC_WIDTH + 1, images.new_full((1, 1), ELASTIC_WIDTH))
    deviation = kernel.square().sum() / math.sqrt(3)  # the uniform distribution from -1 to 1 has 1/√3
    noise = to_device(noise, images.device, images.dtype) * 2 - 1
    smooth = filter2d_separable(noise, kernel, kernel, border_type="constant") / deviation
    if not batch:  # an empty batch cannot be interpolated
        return smooth.new_zeros(0, 2, height, width)
    return interpolate(smooth, (height, width), mode="bicubic", align_corners=False)


def _line(length: Tensor, angle: Tensor, radius: int) -> Tensor:
    """Return kernels [B, K, K] of lines through their centres, from lengths and angles [B, 1]; K = 2 radius + 1."""
    count = 4 * radius + 1
    end = 0.5 - 0.5 / count  # each point stands in the middle of its part of the line
    steps = torch.linspace(-end, end, count, dtype=length.dtype, device=length.device)
    pixels = torch.arange(-radius, radius + 1, dtype=length.dtype, device=length.device)
    points = length * steps
    across, down = (
        (1 - (pixels - place[:, :, None]).abs()).clamp(min=0) for place in (points * angle.cos(), points * angle.sin())
    )
    return down.transpose(1, 2) @ across / count


def _looked_up_from(corners: Tensor) -> Tensor:
    """Return the homographies [B, 3, 3] from where the output is to where the image is looked up.

    `corners` [B, 4, 2] are where the corners of the image come to lie, clockwise from the top left, in coordinates from
    -1 to 1. Heckbert's matrix maps the unit square there; its adjugate is the way back, up to a factor that does not
    count, and the image is 2 wide.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in corners.unbind(1))
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    across = torch.stack([e - f * h, c * h - b, b * f - c * e], dim=1)
    down = torch.stack([f * g - d, a - c * g, c * d - a * f], dim=1)
    far = torch.stack([d * h - e * g, b * g - a * h, a * e - b * d], dim=1)
    return torch.stack([2 * across - far, 2 * down - far, far], dim=1)
