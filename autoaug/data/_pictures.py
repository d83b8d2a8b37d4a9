"""Pictures to look at: two photographs that come with scikit-learn, or those of a folder."""

from pathlib import Path

from torch import Tensor

from autoaug.data._decoding import decode_all, refuse_unreadable
from autoaug.data._listing import listing, no_images
from autoaug.data._sklearn_files import sklearn_file
from autoaug.data._splits import DataError, as_float


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
    files = contents.images[:most]
    decoded = decode_all(files, size)
    refuse_unreadable(decoded.bad, len(files), folder)
    return as_float(decoded.images)
