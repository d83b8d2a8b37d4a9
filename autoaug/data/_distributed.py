"""Folders of images as two datasets are distributed: Tiny-ImageNet and BACH."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from autoaug.data._listing import listing, no_images, subfolders
from autoaug.data._naming import distinct
from autoaug.data._source import Source
from autoaug.data._splits import DataError, Split
from autoaug.photos import ImageFiles
from autoaug.text import enumerated

ANNOTATIONS = Path("val") / "val_annotations.txt"
"""Of Tiny-ImageNet: the class of each validation image."""

TISSUES = ("Normal", "Benign", "InSitu", "Invasive")
"""The four classes of BACH, in the order of its paper (Aresta et al. 2019)."""

GROUND_TRUTH = "microscopy_ground_truth.csv"
"""Of BACH: the class of each image once more."""


@dataclass(frozen=True)
class TinyImageNet:
    """Read Tiny-ImageNet; see `tiny_imagenet`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """List all images. `root` is not used: the path is absolute."""
        if not (self.path / ANNOTATIONS).is_file():
            raise DataError(f"no {str(ANNOTATIONS)!r} in {str(self.path)!r}: give the folder of Tiny-ImageNet")
        numbers = [folder.name for folder in subfolders(self.path / "train")]
        train = [(image, at) for at, number in enumerate(numbers) for image in images_of(self.path / "train" / number)]
        classes = synset_names(self.path / "words.txt", numbers)
        return Source(
            train=files_of(train, self.path), test=files_of(annotated(self.path, numbers), self.path), classes=classes
        )


def tiny_imagenet(path: Path | str) -> TinyImageNet:
    """Make a dataset of the folder that tiny-imagenet-200.zip holds: `Task(data="tiny-imagenet-200")`.

    Training images lie in `train/<synset>/images`. The validation images are the test split, as in the papers, for the
    classes of the test images are not public. A class is called by the first word of `words.txt`.
    """
    return TinyImageNet(Path(path).expanduser().absolute())


def images_of(folder: Path) -> Sequence[Path]:
    """Return the images at or below a folder, at least one."""
    found = listing(folder)
    if not found.images:
        raise no_images(folder, found.others)
    return found.images


def files_of(pairs: Sequence[tuple[Path, int]], folder: Path) -> Split:
    """Return files and their classes as a split, which opens none of them."""
    paths, targets = zip(*pairs, strict=True)
    names = tuple(str(path.relative_to(folder)) for path in paths)
    return Split(ImageFiles(tuple(paths)), torch.tensor(targets), names)


def annotated(folder: Path, numbers: Sequence[str]) -> list[tuple[Path, int]]:
    """Return the validation images of Tiny-ImageNet and their classes, as their list has them.

    Raises:
        DataError: lines name an image that is not there, or a class without training images; all are counted.
    """
    class_of = {number: at for at, number in enumerate(numbers)}
    pairs, wrong = [], []
    for line, text in enumerate((folder / ANNOTATIONS).read_text(encoding="utf-8").splitlines(), 1):
        name, number = [*text.split("\t"), ""][:2]
        image = folder / "val" / "images" / name
        if number in class_of and image.is_file():
            pairs.append((image, class_of[number]))
        else:
            wrong.append(f"line {line}: " + (f"no class {number!r}" if number not in class_of else f"no file {name!r}"))
    if wrong or not pairs:
        named = enumerated(wrong, len(wrong), 10) or "it is empty"
        raise DataError(f"{str(folder / ANNOTATIONS)!r} cannot be used ({named}): unpack Tiny-ImageNet anew")
    return pairs


def synset_names(file: Path, numbers: Sequence[str]) -> tuple[str, ...]:
    """Return the first word of each synset, with its number where two share it; the numbers where there is no file."""
    if not file.is_file():
        return tuple(numbers)
    rows = (line.partition("\t") for line in file.read_text(encoding="utf-8").splitlines())
    words = {number: named.partition(",")[0].strip() for number, _, named in rows}
    names = [words.get(number) or number for number in numbers]
    return distinct(names, [f"{name} ({number})" for name, number in zip(names, numbers, strict=True)])


@dataclass(frozen=True)
class Bach:
    """Read the microscopy images of BACH; see `bach`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """List all images. `root` is not used: the path is absolute."""
        photos = photos_of(self.path)
        if photos is None:
            raise DataError(
                f"{str(self.path)!r} has no folders {', '.join(TISSUES)}, nor has its Photos: give the folder of BACH"
            )
        pairs = [(image, at) for at, name in enumerate(TISSUES) for image in images_of(photos / name)]
        check_ground_truth(photos, pairs)
        return Source(train=files_of(pairs, self.path), classes=TISSUES)


def bach(path: Path | str) -> Bach:
    """Make a dataset of ICIAR2018_BACH_Challenge, or of the Photos in it: `Task(data="ICIAR2018_BACH_Challenge")`.

    The microscopy images of breast tissue, four classes of 100; the slides beside them are not read. There is no test
    split with classes, so one is cut. Where the list of the classes is there, it must say what the folders say.
    """
    return Bach(Path(path).expanduser().absolute())


def photos_of(path: Path) -> Path | None:
    """Return the folder with those of the four classes: the one that is given, or its Photos."""
    return next((each for each in (path, path / "Photos") if all((each / name).is_dir() for name in TISSUES)), None)


def check_ground_truth(photos: Path, pairs: Sequence[tuple[Path, int]]) -> None:
    """Raise DataError where the list of classes, if there is one, says other than the folders."""
    file = photos / GROUND_TRUTH
    if not file.is_file():
        return
    plain = [name.lower() for name in TISSUES]
    told = {image.name: plain[at] for image, at in pairs}
    rows = [row for row in csv.reader(file.read_text(encoding="utf-8-sig").splitlines()) if len(row) > 1]
    said = [(name.strip(), re.sub("[^a-z]", "", tissue.lower())) for name, tissue, *_ in rows]
    wrong = [name for name, tissue in said if tissue in plain and told.get(name) != tissue]
    if wrong:
        named = enumerated([repr(name) for name in wrong], len(wrong), 5)
        raise DataError(f"{str(file)!r} says other than the folders beside it of {named}: unpack BACH anew")


def recognised(path: Path) -> TinyImageNet | Bach | None:
    """Return the reader of a folder that is one of the two; None where it is not."""
    if (path / ANNOTATIONS).is_file():
        return tiny_imagenet(path)
    challenge = photos_of(path) is not None and ((path / "Photos").is_dir() or (path / GROUND_TRUTH).is_file())
    return bach(path) if challenge else None
