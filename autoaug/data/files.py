"""Datasets in the user's own files: a folder of images, or one .npz."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor

from autoaug.data.source import PARTS, Source
from autoaug.data.splits import DataError, Split
from autoaug.lookup import suggest

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class ImageFolder:
    """Reads a folder of images; see `image_folder`."""

    path: Path
    size: int

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """Read all images. `root` is not used: the path is absolute."""
        if not self.path.is_dir():
            raise DataError(f"no folder of images at {str(self.path)!r}: give the path of an existing folder")
        folders = _split_folders(self.path)
        classes = _classes(folders["train"])
        for folder in folders.values():
            _check_classes(folder, classes, folders["train"])
        parts: dict[str, Any] = {name: _read_split(folder, classes, self.size) for name, folder in folders.items()}
        return Source(**parts, classes=classes)


def image_folder(path: Path | str, size: int = 64) -> ImageFolder:
    """A folder of images as a dataset: `Task(data=image_folder("photos", size=96))`.

    Either `path/<class>/*.png`, split by `load_data`, or `path/train/<class>/*.png` with `path/val` and `path/test`
    beside it or not; then these splits are kept, and all have the same classes. Images become RGB bytes; the
    shorter side is resized to `size` pixels, with antialiasing, and the centre is kept. Folders may be nested
    below a class, and files that are no images are passed over.
    """
    if size < 1:
        raise DataError(f"size={size} of image_folder({str(path)!r}): give at least 1 pixel")
    return ImageFolder(Path(path).expanduser().absolute(), size)


def _split_folders(path: Path) -> dict[str, Path]:
    found = {name: path / name for name in PARTS if (path / name).is_dir()}
    if found and "train" not in found:
        raise DataError(f"{str(path)!r} has {' and '.join(found)} but no train folder: add train/<class>/*.png")
    return found or {"train": path}


def _classes(folder: Path) -> tuple[str, ...]:
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(names) < 2:
        raise DataError(
            f"{str(folder)!r} has the class folders {names}: give at least two, with the images of one class each"
        )
    return tuple(names)


def _check_classes(folder: Path, classes: tuple[str, ...], train: Path) -> None:
    for name in sorted(set(_classes(folder)) ^ set(classes)):
        lacking, having = (folder, train) if name in classes else (train, folder)
        raise DataError(f"class {name!r} is in {str(having)!r} but not in {str(lacking)!r}: give both the same classes")


def _read_split(folder: Path, classes: tuple[str, ...], size: int) -> Split:
    files = [_image_files(folder / name) for name in classes]
    targets = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(each) for each in files]))
    return Split(_decode_all([file for each in files for file in each], size), targets)


def _image_files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise DataError(f"no images in {str(folder)!r}: put some there ({', '.join(sorted(SUFFIXES))})")
    return files


def _decode_all(files: Sequence[Path], size: int) -> Tensor:
    images = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    with ThreadPoolExecutor() as pool:
        for image, pixels in zip(images, pool.map(partial(decode, size=size), files), strict=True):
            image.copy_(torch.from_numpy(pixels).permute(2, 0, 1))
    return images


def decode(file: Path, size: int) -> numpy.ndarray:
    """One image file as size x size x 3 bytes, upright as its camera held it."""
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{str(file)!r} has more than 8 bits per pixel: convert it to 8 bits, or give an .npz")
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return numpy.array(ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR))
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DataError(f"cannot read the image {str(file)!r}: replace or remove it") from error


@dataclass(frozen=True)
class Npz:
    """Reads one .npz file; see `npz`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """Read all arrays. `root` is not used: the path is absolute."""
        if not self.path.is_file():
            raise DataError(f"no file at {str(self.path)!r}: give the path of an existing .npz file")
        arrays = _arrays(self.path)
        _check_keys(arrays, self.path)
        given = [name for name in PARTS if f"x_{name}" in arrays]
        parts: dict[str, Any] = {name: _npz_split(arrays, name, self.path) for name in given}
        return Source(**parts, classes=tuple(map(str, numpy.atleast_1d(arrays.get("classes", ())))))


def npz(path: Path | str) -> Npz:
    """An .npz file as a dataset: arrays x_train, y_train and, or not, x_val, y_val, x_test, y_test and classes.

    x is N x H x W x C or N x H x W, uint8 or floats in [0, 1]; y is N integers from 0 to K-1; classes is K names.
    Pickled objects are never loaded.
    """
    return Npz(Path(path).expanduser().absolute())


def _arrays(path: Path) -> dict[str, numpy.ndarray]:
    try:
        with path.open("rb") as raw, numpy.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise DataError(
            f"cannot read {str(path)!r} as an .npz of plain arrays: write it with numpy.savez, without Python objects"
        ) from error


_KEYS = tuple(f"{letter}_{name}" for name in PARTS for letter in "xy")


def _check_keys(arrays: dict[str, numpy.ndarray], path: Path) -> None:
    for key in arrays:
        if key.startswith(("x_", "y_")) and key not in _KEYS:
            raise DataError(f"unknown array {key!r} in {str(path)!r}: {suggest(key, _KEYS)}")
    started = {"train", *(key[2:] for key in _KEYS if key in arrays)}
    for key in _KEYS:
        if key[2:] in started and key not in arrays:
            raise DataError(f"no array {key!r} in {str(path)!r}: it has {', '.join(arrays) or 'none'}; add it")


def _npz_split(arrays: dict[str, numpy.ndarray], name: str, path: Path) -> Split:
    images, targets = arrays[f"x_{name}"], arrays[f"y_{name}"]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        wanted = "N x H x W, or N x H x W x C with 1 or 3 channels C"
        raise DataError(f"x_{name} in {str(path)!r} has shape {images.shape}: give {wanted}")
    pixels = _tensor(images, f"x_{name}", path)
    channels_last = pixels if pixels.ndim == 4 else pixels.unsqueeze(3)
    return Split(channels_last.permute(0, 3, 1, 2).contiguous(), _tensor(targets, f"y_{name}", path))


def _tensor(array: Any, key: str, path: Path) -> Tensor:
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise DataError(f"{key} in {str(path)!r} is of type {array.dtype}: give numbers") from error


def stamp(path: Path) -> int:
    """A number that changes when a file at or below `path` does; only for comparing within one process."""
    files = [path] if path.is_file() else path.rglob("*")
    return hash(frozenset((str(file), file.lstat().st_mtime_ns) for file in files))
