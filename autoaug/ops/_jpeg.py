"""JPEG: the losses of a file without the file, at a quality of its own for each image.

`images` [B, C, H, W] in [0, 1], amounts [B]. Baseline JPEG as Pillow and libjpeg write it: 8-bit levels, colour at half
the resolution, cosine transforms of 8 x 8 pixels, the tables of ITU-T T.81 (annex K) scaled by the quality. A test
holds it to Pillow's files. Kornia's `jpeg_codec_differentiable` reads the quality back from a GPU, and rounds softly.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from autoaug.devices import to_device
from autoaug.ops._contract import chord, with_local_grads, working

REACH = 10.0
"""Of the chord that stands in for the derivative in the quality."""
FARTHER, HIGHER = 1 + 1e-5, 1e-3
"""What decides ties as libjpeg does, whatever the last bits: coefficients away from zero, and levels up."""
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""Table K.1 of T.81, the steps of brightness at quality 50."""
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *[(99,) * 8] * 4,
)  # fmt: skip
"""Table K.2, the steps of colour."""
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""JFIF's conversion and its inverse, with Cb and Cr around 0."""


def jpeg(images: Tensor, lost: Tensor) -> Tensor:
    """Lose what JPEG of quality 100 - amount loses; 0 is the image itself, not quality 100.

    The quality is not rounded to a whole number, and is at least 1. A one-channel image is a grey file.
    Gradient of the image: straight-through, 1. Gradient of the quality: straight-through, the chord over ± 10.
    """
    x, a = working(images, lost)
    return with_local_grads(_saved(x, a), (x, a), (1, chord(_saved, REACH))).to(images.dtype)


@torch.no_grad()
def _saved(x: Tensor, lost: Tensor) -> Tensor:
    """Return what is read from a file of x; x itself where nothing is lost."""
    height, width = x.shape[2:]
    levels = pad((255 * x).round(), (0, -width % 16, 0, -height % 16), mode="replicate")
    quality = (100 - lost).clamp(1, 100)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    luma, chroma = (table * scale for table in _tables(x).unbind())
    if x.shape[1] == 1:
        read = _coded(levels - 128, luma) + 128
    else:
        brightness, colour = _converted(levels, TO_YCC).round().split([1, 2], dim=1)
        colour = _coded(avg_pool2d(colour, 2).round(), chroma)
        planes = [_coded(brightness - 128, luma) + 128, _doubled(colour)]
        read = _converted(torch.cat(planes, dim=1), TO_RGB)
    read = read[:, :, :height, :width].round().clamp(0, 255) / 255
    return torch.where(lost > 0, read, x)


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Return planes [B, P, H, W] after their cosine transforms are rounded to steps [B, 1, 8, 8]."""
    batch, count, height, width = planes.shape
    cosines = _cosines(planes)
    blocks = planes.unflatten(2, (height // 8, 8)).unflatten(4, (width // 8, 8)).transpose(3, 4)
    steps = (table + 0.5).floor().clamp(1, 255).view(batch, 1, 1, 1, 8, 8)
    rounded = ((cosines @ blocks @ cosines.T) / steps * FARTHER).round() * steps
    return (cosines.T @ rounded @ cosines + HIGHER).round().transpose(3, 4).reshape(batch, count, height, width)


def _doubled(colour: Tensor) -> Tensor:
    """Return colour planes at twice the resolution, interpolated as libjpeg does."""
    if not len(colour):  # an empty batch cannot be interpolated
        return colour.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)


def _converted(planes: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return three planes as sums of three others; written out, as a matrix would have to go to the GPU."""
    first, second, third = planes.split(1, dim=1)
    return torch.cat([a * first + b * second + c * third for a, b, c in rows], dim=1)


def _cosines(like: Tensor) -> Tensor:
    """Return the orthogonal cosine transform of 8 numbers, [8, 8]."""
    return to_device(_transform(), like.device, like.dtype)


def _tables(like: Tensor) -> Tensor:
    """Return the steps of brightness and colour at quality 50, [2, 8, 8]."""
    return to_device(_steps(), like.device, like.dtype)


@lru_cache(maxsize=1)
def _transform() -> Tensor:
    waves, places = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)
    cosines = torch.cos((2 * places + 1) * waves * math.pi / 16) / 2
    return cosines * torch.where(waves == 0, math.sqrt(0.5), 1.0)


@lru_cache(maxsize=1)
def _steps() -> Tensor:
    return torch.tensor((LUMA, CHROMA), dtype=torch.float64)
