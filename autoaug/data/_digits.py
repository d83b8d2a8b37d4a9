"""scikit-learn's handwritten digits, as they are and with a shift that is put there on purpose.

1,797 grey images of 8 x 8, ten classes; they come with scikit-learn, so nothing is downloaded. In the shifted
rows the training images are left alone, and the validation and test images are changed by a known random map, one
draw per image, the same in every process. **The shift is constructed**: the augmentation that undoes it is known,
so these rows test whether a search finds it, and say nothing about digits in the world.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from autoaug.data._sklearn_files import sklearn_file
from autoaug.data._source import Reader, Source, Standard
from autoaug.data._splits import Split, class_counts, draw, joined, shares

CLASSES = tuple("0123456789")
TRAIN, TEST = 400, 797
SEED = 1797

Shift = Callable[[Tensor, torch.Generator], Tensor]
"""N x 1 x H x W images in [0, 1] and a generator to the same images, shifted."""


def digits(root: Path) -> Source:
    """Return 400 training, 600 validation and 797 test images; every class has the same share in each."""
    return _source(*_splits(torch.Generator().manual_seed(SEED)))


def digits_100(root: Path) -> Source:
    """Return 100 training images, 10 of each class, out of the 400 of `digits`, and 900 validation images.

    The other 300 join the validation images, and the 797 test images are those of `digits`. With so few training
    images augmentation helps without any shift.
    """
    rng = torch.Generator().manual_seed(SEED)
    train, val, test = _splits(rng)
    few, rest = draw(train, torch.full((len(CLASSES),), 10), rng)
    return _source(few, joined(rest, val), test)


def shifted_digits(shift: Shift, root: Path) -> Source:
    """Return `digits` with `shift` on the validation and test images; the training images are left alone."""
    rng = torch.Generator().manual_seed(SEED)
    train, val, test = _splits(rng)
    return _source(train, Split(shift(val.images, rng), val.targets), Split(shift(test.images, rng), test.targets))


def _splits(rng: torch.Generator) -> tuple[Split, Split, Split]:
    """Return the training, validation and test images."""
    table = torch.from_numpy(np.loadtxt(sklearn_file("data", "digits.csv.gz"), delimiter=",", dtype=np.float32))
    pixels, targets = table[:, :-1].div(16).reshape(-1, 1, 8, 8), table[:, -1].long()
    test, rest = _draw_shares(Split(pixels, targets), TEST, rng)
    train, val = _draw_shares(rest, TRAIN, rng)
    return train, val, test


def _draw_shares(split: Split, total: int, rng: torch.Generator) -> tuple[Split, Split]:
    """Return `total` images, class by class in proportion, and the rest."""
    return draw(split, shares(class_counts(split, len(CLASSES)), total), rng)


def _source(train: Split, val: Split, test: Split) -> Source:
    """Return the digits as a source: ten classes, and no standard augmentation."""
    return Source(train=train, val=val, test=test, classes=CLASSES, standard=Standard(pad=0, flip=False))


def rotated(most: float) -> Shift:
    """Rotate by an angle drawn uniformly within ± `most` degrees; bilinear, zeros outside."""

    def shift(images: Tensor, rng: torch.Generator) -> Tensor:
        angle = _uniform(len(images), -math.radians(most), math.radians(most), rng)
        row_x = torch.stack([angle.cos(), -angle.sin(), torch.zeros_like(angle)], dim=1)
        row_y = torch.stack([angle.sin(), angle.cos(), torch.zeros_like(angle)], dim=1)
        return _warp(images, torch.stack([row_x, row_y], dim=1))

    return shift


def translated(most: float) -> Shift:
    """Move by up to `most` pixels, drawn uniformly and for each axis alone; bilinear, zeros outside."""

    def shift(images: Tensor, rng: torch.Generator) -> Tensor:
        pixels = torch.stack([_uniform(len(images), -most, most, rng) for _ in range(2)], dim=1)
        size = torch.tensor([images.shape[3], images.shape[2]])
        upright = torch.eye(2).expand(len(images), 2, 2)
        return _warp(images, torch.cat([upright, (2 * pixels / size).unsqueeze(2)], dim=2))

    return shift


def inverted(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return 1 - x: white for black. Nothing is drawn."""
    return 1 - images


def dimmed(least: float, most: float) -> Shift:
    """Multiply each image by a factor drawn uniformly from [`least`, `most`]."""

    def shift(images: Tensor, rng: torch.Generator) -> Tensor:
        return images * _uniform(len(images), least, most, rng).view(-1, 1, 1, 1)

    return shift


def _uniform(count: int, least: float, most: float, rng: torch.Generator) -> Tensor:
    """Return uniform draws from [`least`, `most`), [count]."""
    return least + (most - least) * torch.rand(count, generator=rng, device=rng.device)


def _warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Return images moved by matrices [N, 2, 3], bilinear, zeros outside."""
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False).clamp(0, 1)


SHIFTS: dict[str, Shift] = {
    "digits-rotated": rotated(30),
    "digits-rotated-50": rotated(50),
    "digits-inverted": inverted,
    "digits-translated": translated(1.6),
    "digits-brightness": dimmed(0.3, 0.6),
}

DIGITS: dict[str, Reader] = {
    "digits": digits,
    "digits-100": digits_100,
    **{name: partial(shifted_digits, shift) for name, shift in SHIFTS.items()},
}
