"""Datasets in the user's own files: a folder of images, or one .npz."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy
import torch
from torch import Tensor

from autoaug.data._listing import HIDDEN, Listing, entries, grouped, hides, listing, no_images, subfolders
from autoaug.data._source import PARTS, Reading, Source
from autoaug.data._splits import DataError, Split
from autoaug.lookup import suggest
from autoaug.photos import ImageFiles

SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""What the folder of a split may be called, in upper or lower case."""


@dataclass(frozen=True)
class ImageFolder:
    """Read a folder of images; see `image_folder`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """List all images; none is decoded yet. `root` is not used: the path is absolute."""
        if not self.path.is_dir():
            raise DataError(f"no folder of images at {str(self.path)!r}: give the path of an existing folder")
        folders = _split_folders(self.path)
        classes = _classes(folders["train"])
        for folder in folders.values():
            _check_classes(folder, classes, folders["train"])
        files = {name: _files(folder, classes) for name, folder in folders.items()}
        others = [other for listings in files.values() for contents in listings for other in contents.others]
        passed_over = grouped([*_beside(self.path, folders), *others], self.path)
        parts: dict[str, Any] = {name: _listed(listings, self.path) for name, listings in files.items()}
        return Source(**parts, classes=classes, reading=Reading(passed_over=passed_over, notes=tuple(_alike(classes))))


def image_folder(path: Path | str) -> ImageFolder:
    """Make a dataset of a folder of images: `Task(data=image_folder("photos"), size=96)`; a path alone does as well.

    Either `path/<class>/*.png`, split by `load_data`, or `path/train/<class>/*.png` with `path/val` and `path/test`
    beside it or not; then these splits are kept, and all have the same classes. `SPLIT_FOLDERS` has other names for
    them. Images become RGB bytes, those of 16 bits too; `Task.size` says what a network sees of them. Folders may be
    nested below a class, and files that are no images, or hide, are passed over: `Source.reading` names them.
    """
    return ImageFolder(Path(path).expanduser().absolute())


def _split_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each split; a folder without splits is that of "train"."""
    present = subfolders(path)
    candidates = {part: [folder for folder in present if folder.name.lower() in SPLIT_FOLDERS[part]] for part in PARTS}
    if not _are_splits([folder.name.lower() for folders in candidates.values() for folder in folders]):
        return {"train": path}
    for part, folders in candidates.items():
        if len(folders) > 1:
            names = " and ".join(repr(folder.name) for folder in folders)
            raise DataError(f"{str(path)!r} has {names}, which both mean {part}: keep one")
    by_split = {part: folders[0] for part, folders in candidates.items() if folders}
    if "train" not in by_split:
        raise DataError(f"{str(path)!r} has {' and '.join(by_split)} but no train folder: add train/<class>/*.png")
    return by_split


def _are_splits(names: list[str]) -> bool:
    """Whether folders of these names are splits: "valid" alone, or beside "invalid", is a class like any other."""
    return bool(set(PARTS) & set(names)) or ("training" in names and len(names) > 1)


def _classes(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders."""
    names = [path.name for path in subfolders(folder)]
    if len(names) < 2:
        raise DataError(
            f"{str(folder)!r} has the class folders {names}: give at least two, with the images of one class each"
        )
    return tuple(names)


def _check_classes(folder: Path, classes: tuple[str, ...], train: Path) -> None:
    """Raise DataError unless a split has the classes of the training images."""
    for name in sorted(set(_classes(folder)) ^ set(classes)):
        lacking, having = (folder, train) if name in classes else (train, folder)
        raise DataError(f"class {name!r} is in {str(having)!r} but not in {str(lacking)!r}: give both the same classes")


def _files(folder: Path, classes: tuple[str, ...]) -> list[Listing]:
    """Return the contents of each class folder of a split; raise DataError for one without an image."""
    listings = [listing(folder / name) for name in classes]
    for name, contents in zip(classes, listings, strict=True):
        if not contents.images:
            raise no_images(folder / name, contents.others)
    return listings


def _listed(listings: list[Listing], path: Path) -> Split:
    """Return the images of a split, not decoded yet, with the class of each, in the order of the folders."""
    files = tuple(image for contents in listings for image in contents.images)
    counts = torch.tensor([len(contents.images) for contents in listings])
    targets = torch.arange(len(listings)).repeat_interleave(counts)
    return Split(ImageFiles(files), targets, tuple(str(file.relative_to(path)) for file in files))


def _beside(path: Path, folders: dict[str, Path]) -> Iterator[tuple[str, Path]]:
    """Yield files and folders where only folders of splits or of classes belong."""
    splits = [] if path in folders.values() else subfolders(path)
    yield from (("beside the folders of the splits", folder) for folder in splits if folder not in folders.values())
    for folder in sorted({path, *folders.values()}):  # in a set they have another order in every process
        for entry in entries(folder):
            if hides(entry.name):
                yield HIDDEN, folder / entry.name
            elif not entry.is_dir():
                yield "in no folder of a class", folder / entry.name


def _alike(classes: tuple[str, ...]) -> Iterator[str]:
    """Yield a note for each two classes that may have been meant to be one."""
    for first, second in pairwise(sorted(classes, key=str.lower)):
        if first.lower() == second.lower():
            yield f"classes {first!r} and {second!r} differ in upper and lower case only"


@dataclass(frozen=True)
class Npz:
    """Read one .npz file; see `npz`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """Read all arrays. `root` is not used: the path is absolute."""
        if not self.path.is_file():
            raise DataError(f"no file at {str(self.path)!r}: give the path of an existing .npz file")
        arrays = arrays_in(self.path)
        _check_keys(arrays, self.path)
        present = [name for name in PARTS if f"x_{name}" in arrays]
        parts: dict[str, Any] = {name: _npz_split(arrays, name, self.path) for name in present}
        return Source(**parts, classes=tuple(map(str, numpy.atleast_1d(arrays.get("classes", ())))))


def npz(path: Path | str) -> Npz:
    """Make a dataset of an .npz file with arrays x_train, y_train and, or not, x_val, y_val, x_test, y_test, classes.

    x is N x H x W x C or N x H x W, uint8 or floats in [0, 1]; y is N integers from 0 to K-1; classes is K names.
    Pickled objects are never loaded.
    """
    return Npz(Path(path).expanduser().absolute())


def arrays_in(path: Path) -> dict[str, numpy.ndarray]:
    """Return the arrays of an .npz file; pickled objects are never loaded."""
    try:
        with path.open("rb") as raw, numpy.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise DataError(
            f"cannot read {str(path)!r} as an .npz of plain arrays: write it with numpy.savez, without Python objects"
        ) from error


_KEYS = tuple(f"{letter}_{name}" for name in PARTS for letter in "xy")


def _check_keys(arrays: dict[str, numpy.ndarray], path: Path) -> None:
    """Raise DataError for an unknown array, or one that is missing."""
    for key in arrays:
        if key.startswith(("x_", "y_")) and key not in _KEYS:
            raise DataError(f"unknown array {key!r} in {str(path)!r}: {suggest(key, _KEYS)}")
    started = {"train", *(key[2:] for key in _KEYS if key in arrays)}
    for key in _KEYS:
        if key[2:] in started and key not in arrays:
            raise DataError(f"no array {key!r} in {str(path)!r}: it has {', '.join(arrays) or 'none'}; add it")


def _npz_split(arrays: dict[str, numpy.ndarray], name: str, path: Path) -> Split:
    """Return a split as N x C x H x W."""
    images, targets = arrays[f"x_{name}"], arrays[f"y_{name}"]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        layout = "N x H x W, or N x H x W x C with 1 or 3 channels C" + "; rows of features are for tabular" * (
            images.ndim == 2
        )
        raise DataError(f"x_{name} in {str(path)!r} has shape {images.shape}: give {layout}")
    pixels = _tensor(images, f"x_{name}", path)
    channels_last = pixels if pixels.ndim == 4 else pixels.unsqueeze(3)
    return Split(channels_last.permute(0, 3, 1, 2).contiguous(), _tensor(targets, f"y_{name}", path))


def _tensor(array: Any, key: str, path: Path) -> Tensor:
    """Return an array as a tensor."""
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise DataError(f"{key} in {str(path)!r} is of type {array.dtype}: give numbers") from error
