"""Pictures to look at: two photographs that come with scikit-learn, or those of a folder."""

from pathlib import Path

import torch
from torch import Tensor

from autoaug.data.files import SUFFIXES, decode
from autoaug.data.splits import DataError


def sample_images(size: int) -> Tensor:
    """scikit-learn's two photographs, a temple and a flower: [2, 3, size, size] in [0, 1]; nothing is downloaded."""
    from sklearn import datasets  # here, because it takes seconds and few runs need it

    return read_images(Path(datasets.__file__).parent / "images", size)


def read_images(folder: Path, size: int, most: int = 8) -> Tensor:
    """The first images of a folder and of those below it, by name: [N, 3, size, size] in [0, 1].

    The shorter side is resized to `size` pixels, with antialiasing, and the centre is kept.

    Raises:
        DataError: there is no such folder, it holds no image, or one cannot be read.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)[:most]
    if not files:
        raise DataError(f"no images in {str(folder)!r}: give a folder with {', '.join(sorted(SUFFIXES))}")
    pixels = torch.stack([torch.from_numpy(decode(file, size)) for file in files])
    return pixels.permute(0, 3, 1, 2).float() / 255
