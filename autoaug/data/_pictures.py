"""Pictures to look at: two photographs that come with scikit-learn, or those of a folder."""

from pathlib import Path

import torch
from torch import Tensor

from autoaug.data._listing import listing, no_images
from autoaug.data._sklearn_files import sklearn_file
from autoaug.data._splits import DataError
from autoaug.photos import Frame, ImageFiles, Taken, Unreadable, as_float, refuse_unreadable, take


def sample_images(size: int) -> Tensor:
    """Return scikit-learn's two photographs, a temple and a flower, [2, 3, size, size] in [0, 1]."""
    return read_images(sklearn_file("images"), size)


def read_images(folder: Path, size: int, most: int = 8) -> Tensor:
    """Return the first images of a folder and of those below it, by name: [N, 3, size, size] in [0, 1].

    The shorter side is resized to `size` pixels, with antialiasing, and the centre is kept.

    Raises:
        DataError: there is no such folder, it holds no image, or one cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"no folder of images at {str(folder)!r}: give the path of an existing folder")
    contents = listing(folder)
    if not contents.images:
        raise no_images(folder, contents.others)
    files = ImageFiles(tuple(contents.images[:most]))
    found = [take(files, index, Frame(size, size)) for index in range(len(files))]
    bad = [
        each._replace(name=str(Path(each.name).relative_to(folder))) for each in found if isinstance(each, Unreadable)
    ]
    refuse_unreadable(bad, len(files), f"data {str(folder)!r}")
    pixels = [torch.from_numpy(each.pixels) for each in found if isinstance(each, Taken)]
    return as_float(torch.stack(pixels).permute(0, 3, 1, 2).contiguous())
