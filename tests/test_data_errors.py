"""Data that cannot be used are refused before anything is trained: what, where and what to do, in one line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from items_for_tests import Items
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from autoaug.data import DataError, Source, Split, from_datasets, image_folder, load_data, npz, subset


def refused(given: Any, message: str, **settings: Any) -> None:
    """`load_data` raises a ValueError of one line that holds `message`."""
    with pytest.raises(DataError) as error:
        load_data(given, **settings)
    assert isinstance(error.value, ValueError)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert ": " in str(error.value), "says what is wrong, then what to do"


# Names and settings


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar01", "unknown dataset 'cifar01': did you mean 'cifar10'"),
        (
            "cifar01",
            "(the path of a folder of images, of a table of them (.csv, .tsv) or of an .npz file does",
        ),
        ("", "unknown dataset ''"),
        ("zzz", "known are cifar10, cifar100, digits, "),
        ("no/such/photos", "data 'no/such/photos': there is no such folder"),
        ("nothing.npz", "nothing.npz': give the path of an existing .npz file"),
        (__file__, "is a file of an unknown kind"),
    ],
)
def test_an_unknown_name_or_path(name: str, message: str) -> None:
    refused(name, message)


def test_a_missing_folder(tmp_path: Path) -> None:
    refused(image_folder(tmp_path / "photos"), f"no folder of images at '{tmp_path}/photos'")


@pytest.mark.parametrize("setting", ["val_fraction", "test_fraction"])
@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_its_range(setting: str, fraction: float) -> None:
    refused("digits", f"{setting}={fraction}: give a number between 0 and 1", **{setting: fraction})


def balanced(count: int, classes: int = 2) -> tuple[Tensor, Tensor]:
    return torch.zeros(count, 1, 2, 2), torch.arange(count) % classes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_fraction": 0.01}, "val_fraction=0.01 of data 'mine' takes 0 of the 16 images of class '0'"),
        ({"val_fraction": 0.99}, "val_fraction=0.99 of data 'mine' takes 16 of the 16 images of class '0'"),
        ({"test_fraction": 0.01}, "test_fraction=0.01 of data 'mine' takes 0 of the 20 images of class '0'"),
    ],
)
def test_a_fraction_that_leaves_a_class_out(settings: dict[str, float], message: str) -> None:
    def mine(root: Path) -> Any:
        return balanced(40)

    refused(mine, message, **settings)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 5), "train=0 of a subset of data 'mine': give 1 to 32"),
        ((33, 5), "train=33 of a subset of data 'mine': give 1 to 32"),
        ((30, 5), "val=5 of a subset of data 'mine': give 1 to 2"),
        ((20, 1), "val=1 of a subset of data 'mine' leaves a class without any image: raise it"),
    ],
)
def test_a_subset_of_impossible_size(sizes: tuple[int, int], message: str) -> None:
    def mine(root: Path) -> Any:
        return balanced(40)

    refused(subset(mine, *sizes), message)


# What a function returns


def changed(images: Any = None, targets: Any = None) -> Callable[[Path], Any]:
    """A function that returns 40 good images and targets, one of the two changed."""
    good = balanced(40)

    def mine(root: Path) -> Any:
        return (good[0] if images is None else images, good[1] if targets is None else targets)

    return mine


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (changed(images=torch.zeros(40, 2, 2)), "have shape (40, 2, 2): give N x C x H x W"),
        (changed(images=torch.zeros(40, 4, 2, 2)), "have shape (40, 4, 2, 2)"),
        (changed(images=torch.zeros(40, 1, 0, 2)), "the train images of data 'mine' are none"),
        (changed(images=torch.zeros(0, 1, 2, 2), targets=torch.zeros(0).long()), "images of data 'mine' are none"),
        (changed(images=torch.full((40, 1, 2, 2), 255.0)), "lie in [255, 255]: give uint8, or floats in [0, 1]"),
        (changed(images=torch.full((40, 1, 2, 2), float("nan"))), "lie in [nan, nan]"),
        (changed(images=torch.zeros(40, 1, 2, 2, dtype=torch.int64)), "are torch.int64: give uint8, or floats"),
        (changed(targets=torch.zeros(39).long()), "have shape (40, 1, 2, 2) and targets (39,): give one each"),
        (changed(targets=torch.zeros(40, 1).long()), "and targets (40, 1)"),
        (changed(targets=torch.zeros(40)), "have targets of torch.float32: give integers from 0 to K-1"),
        (changed(targets=torch.arange(40) % 2 - 1), "the train targets of data 'mine' run from -1 to 0: give 0 to 0"),
        (changed(targets=torch.arange(40) % 2 + 1), "class '0' of data 'mine' has 0 training images"),
        (changed(targets=torch.arange(40) * 10**12), "run up to 39000000000000 for 40 images"),
        (changed(targets=torch.zeros(40).long()), "has the one class '0': give at least two"),
        (
            changed(targets=torch.tensor([1] * 38 + [0, 0])),
            "class '0' of data 'mine' has 2 training images: it needs",
        ),
        (lambda root: None, "returned a NoneType: return a Source or a tuple"),
        (lambda root: (balanced(9),) * 4, "returned a tuple of 4: return a Source or a tuple (train, val, test)"),
        (lambda root: (None, balanced(9)), "returned a NoneType for train: return a Split or two tensors"),
        (lambda root: (balanced(9), "val"), "returned a str for val"),
    ],
)
def test_what_a_function_may_not_return(given: Callable[[Path], Any], message: str) -> None:
    refused(given, message)


def test_splits_that_do_not_fit_each_other() -> None:
    train = Split(*balanced(40))
    larger = Split(torch.zeros(4, 1, 3, 3), torch.arange(4) % 2)
    bytewise = Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4) % 2)
    strange = Split(torch.zeros(4, 1, 2, 2), torch.arange(4))
    refused(lambda root: Source(train=train, val=larger), "train has (1, 2, 2) torch.float32, val has (1, 3, 3)")
    refused(lambda root: Source(train=train, test=bytewise), "test has (1, 2, 2) torch.uint8")
    refused(lambda root: Source(train=train, val=strange), "the val targets of data '<lambda>' run from 0 to 3")
    refused(lambda root: Source(train=train, classes=("a", "b", "c")), "class 'c' of data '<lambda>' has 0")
    refused(lambda root: Source(train=train, classes=("a",)), "run from 0 to 1: give 0 to 0 for 1 classes")


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        yield torch.zeros(1, 2, 2), 0


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Items(), "the train dataset is empty"),
        (Stream(), "the train dataset, a Stream, has no length: give a map-style Dataset"),
        (Items((torch.zeros(1, 2, 2), 0.5)), "item 0 of the train dataset is not a pair (image, integer class)"),
        (Items({"image": 1, "label": 2}), "item 0 of the train dataset is a int: give a PIL image"),
        (Items({"picture": 1, "label": 2}), "have no 'image': say which of picture, label it is (from_datasets(..., i"),
        (Items({"image": torch.zeros(1, 2, 2), "kind": 2}), "no 'label': say which of image, kind it is"),
        (Items(torch.zeros(1, 2, 2)), "item 0 of the train dataset is not a pair"),
        (Items((numpy.zeros((2, 2)), 0)), "item 0 of the train dataset is a ndarray: give a PIL image"),
    ],
)
def test_datasets_of_torch_that_are_refused(dataset: Any, message: str) -> None:
    refused(lambda root: from_datasets(dataset), message)


# Folders


def paint(folder: Path, count: int = 10) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (4, 4), (number, number, number)).save(folder / f"{number}.png")


def test_folders_that_are_refused(tmp_path: Path) -> None:
    place = str(tmp_path)
    refused(place, f"'{place}' has the class folders []: give at least two")
    paint(tmp_path / "cat")
    refused(place, "has the class folders ['cat']")
    (tmp_path / "dog").mkdir()
    refused(place, f"no images in '{place}/dog': put some there (.avif, .bmp, ")
    paint(tmp_path / "dog", 1)
    refused(place, f"class 'dog' of data '{place}' has 1 training image: it needs at least 3")


def test_folders_of_splits_that_are_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        paint(tmp_path / "test" / name)
    refused(str(tmp_path), "has test but no train folder: add train/<class>/*.png")
    for name in ("cat", "dog", "owl"):
        paint(tmp_path / "train" / name)
    refused(str(tmp_path), f"class 'owl' is in '{tmp_path}/train' but not in '{tmp_path}/test': give both the same")
    paint(tmp_path / "test" / "owl")
    paint(tmp_path / "test" / "yak")
    refused(str(tmp_path), f"class 'yak' is in '{tmp_path}/test' but not in '{tmp_path}/train'")


def test_all_images_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    for part in ("train", "val"):
        paint(tmp_path / part / "cat")
        paint(tmp_path / part / "dog")
    cut_short, empty, text = (tmp_path / name for name in ("train/dog/3.png", "train/cat/0.png", "val/dog/7.png"))
    cut_short.write_bytes(cut_short.read_bytes()[:60] + b"broken")
    empty.write_bytes(b"")
    text.write_text("no image at all")
    refused(
        str(tmp_path),
        f"data '{tmp_path}': 3 of 40 images cannot be read: 'train/cat/0.png' (empty), 'train/dog/3.png' (broken data "
        "stream when reading image file), 'val/dog/7.png' (no image inside): replace or remove them, or leave them "
        "out with Task.skip_bad=True",
    )
    for number in range(10):
        (tmp_path / "val" / "cat" / f"{number}.png").write_bytes(b"")
    every = ", ".join(f"'val/cat/{number}.png' (empty)" for number in range(10))
    refused(str(tmp_path), "13 of 40 images cannot be read: 'train/cat/0.png' (empty), ")
    refused(str(tmp_path), f", {every}, 'val/dog/7.png' (no image inside): replace or remove them")


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (
            numpy.full((4, 4), 70_000, dtype=numpy.int32),
            "values from 70000 to 70000, where 0 to 65535 could be scaled",
        ),
        (numpy.full((4, 4), 1.5, dtype=numpy.float32), "values from 1.5 to 1.5, where 0 to 1 could be scaled"),
    ],
)
def test_an_image_whose_range_is_not_known_is_not_clipped_in_silence(
    pixels: numpy.ndarray, said: str, tmp_path: Path
) -> None:
    paint(tmp_path / "cat")
    paint(tmp_path / "dog")
    Image.fromarray(pixels).save(tmp_path / "dog" / "3.tif")
    refused(str(tmp_path), f"1 of 21 images cannot be read: 'dog/3.tif' ({said}): replace or remove")


@pytest.mark.parametrize(
    ("twice", "message"),
    [
        (["Valid"], "'Valid' and 'val', which both mean val: keep one"),
        (["Train"], "'Train' and 'train', which both mean"),
    ],
)
def test_folders_of_splits_that_mean_the_same_are_refused(twice: list[str], message: str, tmp_path: Path) -> None:
    for part in ("train", "val", *twice):
        paint(tmp_path / part / "cat")
        paint(tmp_path / part / "dog")
    refused(str(tmp_path), f"'{tmp_path}' has {message}")


# .npz files

X, Y = numpy.zeros((40, 4, 4, 3), dtype=numpy.uint8), numpy.arange(40) % 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no array 'x_train' in '{path}': it has none; add it"),
        ({"x_train": X}, "no array 'y_train' in '{path}': it has x_train; add it"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "no array 'y_test' in"),
        ({"x_train": X, "y_train": Y, "y_val": Y}, "no array 'x_val' in"),
        ({"x_train": X, "y_train": Y, "x_valid": X}, "unknown array 'x_valid' in '{path}': did you mean 'x_val'"),
        ({"x_train": X.transpose(0, 3, 1, 2), "y_train": Y}, "x_train in '{path}' has shape (40, 3, 4, 4): give N x"),
        ({"x_train": X[0, 0], "y_train": Y}, "x_train in '{path}' has shape (4, 3)"),
        ({"x_train": X, "y_train": Y.astype(str)}, "y_train in '{path}' is of type <U21: give numbers"),
        ({"x_train": X, "y_train": Y.astype(">i8")}, "y_train in '{path}' is of type >i8"),
        ({"x_train": X, "y_train": Y.astype(object)}, "cannot read '{path}' as an .npz of plain arrays"),
        ({"x_train": X, "y_train": Y, "classes": ["cat"]}, "run from 0 to 1: give 0 to 0 for 1 classes"),
    ],
)
def test_npz_files_that_are_refused(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    numpy.savez(path, **content)
    refused(str(path), message.replace("{path}", str(path)))


def test_other_files_with_the_name_of_an_npz_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_text("hello")
    refused(npz(path), f"cannot read '{path}' as an .npz of plain arrays")
    with path.open("wb") as file:
        numpy.save(file, X)
    refused(npz(path), f"cannot read '{path}' as an .npz of plain arrays")
    numpy.savez(path, x_train=X, y_train=Y)
    path.write_bytes(path.read_bytes()[:200])
    refused(npz(path), f"cannot read '{path}' as an .npz of plain arrays")
