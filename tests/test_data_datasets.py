"""Datasets that others made: torch's, Hugging Face's, and what looks like them."""

import pickle
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from items_for_tests import Items
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from autoaug.data import DataError, Source, as_float, from_datasets, load_data, tensors
from autoaug.data._items import as_image
from autoaug.photos._encoded import Encoded
from autoaug.photos._modes import as_rgb
from autoaug.train import Task


class ClassLabel:
    """A column of classes with names."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)


class Table:
    """Looks like a dataset of Hugging Face: items are dicts, and a column comes by its name."""

    def __init__(self, features: dict[str, Any], **columns: Sequence[Any]) -> None:
        self.features = features
        self.columns = columns
        self.column_names = list(columns)
        self.opened: list[int] = []

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        self.opened.append(key)
        return {name: values[key] for name, values in self.columns.items()}


def flat(level: int, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, (level, 0, 255 - level))


def photos(*levels: int) -> list[Image.Image]:
    """Each of another size."""
    return [flat(level, (100 + level, 90)) for level in levels]


def levels_of(images: Encoded) -> list[int]:
    """What is red in the first pixel of each image."""
    found = []
    for index in range(len(images)):
        with images.open(index) as image:
            found.append(int(numpy.asarray(as_rgb(image)[0])[0, 0, 0]))
    return found


def table(images: Sequence[Any], labels: Sequence[int], **features: Any) -> Table:
    return Table({"image": None, "label": ClassLabel("cat", "dog")} | features, image=images, label=labels)


def test_small_images_of_one_size_are_read_at_once() -> None:
    source = from_datasets(table([flat(level) for level in range(4)], [0, 1, 1, 0]))
    assert source.train.images.shape == (4, 3, 6, 8)
    assert source.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert (source.train.targets.tolist(), source.classes) == ([0, 1, 1, 0], ("cat", "dog"))


@pytest.mark.parametrize("images", [photos(1, 2, 3, 4), [flat(level, (97, 97)) for level in (1, 2, 3, 4)]])
def test_large_images_and_those_of_several_sizes_are_opened_later(images: list[Image.Image]) -> None:
    given = table(images, [0, 1, 1, 0])
    source = from_datasets(given)
    assert given.opened == [0, 0], "the classes are a column: one image tells how large they are"
    assert isinstance(source.train.images, Encoded)
    assert levels_of(source.train.images) == [1, 2, 3, 4]
    assert levels_of(source.train.images) == [1, 2, 3, 4], "the dataset still has what was closed"
    assert source.train.targets.tolist() == [0, 1, 1, 0]


def test_items_are_taken_with_their_classes_and_travel() -> None:
    split = from_datasets(Items(*zip(photos(1, 2, 3, 4), [0, 1, 1, 0], strict=True))).train
    some = split.at(torch.tensor([3, 1])).at(torch.tensor([1, 0]))
    assert (levels_of(some.images), some.targets.tolist()) == ([2, 4], [1, 0])
    assert [some.images.name(index) for index in (0, 1)] == [f"item {row} of the train dataset" for row in (1, 3)]
    assert levels_of(pickle.loads(pickle.dumps(some.images))) == [2, 4]


def test_one_part_of_large_images_makes_all_of_them_wait() -> None:
    small, large = Items((flat(1), 0), (flat(2), 1)), Items(*zip(photos(3, 4), [0, 1], strict=True))
    source = from_datasets(small, test=large)
    assert source.test is not None
    assert (levels_of(source.train.images), levels_of(source.test.images)) == ([1, 2], [3, 4])
    assert source.test.images.name(1) == "item 1 of the test dataset"


def test_nothing_says_when_items_change_but_the_user() -> None:
    items = Items(*zip(photos(1, 2), [0, 1], strict=True))
    assert from_datasets(items).train.images.version() is None
    one, same, other = (from_datasets(items, version=text).train.images for text in ("1", "1", "2"))
    assert one.version() == same.version() != other.version()
    assert one.version() != one.taken([1, 0]).version()
    assert one.version() != from_datasets(items, val=items, version="1").val.images.version()


def test_names_of_columns() -> None:
    columns = {"img": [flat(1), flat(2)], "coarse": [0, 0], "fine": ["owl", "ant"]}
    source = from_datasets(Table({}, **columns), label="fine")
    assert (source.classes, source.train.targets.tolist()) == (("ant", "owl"), [1, 0])
    assert from_datasets(Table({}, **columns), label="coarse").train.targets.tolist() == [0, 0]
    with pytest.raises(
        DataError, match=r"^the items of the train dataset have no 'label': say which of img, coarse, f"
    ):
        from_datasets(Table({}, **columns))
    with pytest.raises(DataError, match=r"have no 'fin': did you mean 'fine'\? \(from_datasets\(\.\.\., label="):
        from_datasets(Table({}, **columns), label="fin")


def test_a_class_that_training_has_not_is_named() -> None:
    one, other = Items((flat(1), "ant"), (flat(2), "owl")), Items((flat(1), "own"))
    with pytest.raises(DataError, match=r"^item 0 of the test dataset has the class 'own': did you mean 'owl'"):
        from_datasets(one, test=other)


def test_classes_are_read_from_every_item_where_they_are_no_column() -> None:
    source = from_datasets(Items(*zip(photos(5, 6, 7), ["b", "a", "b"], strict=True)))
    assert (source.classes, source.train.targets.tolist()) == (("a", "b"), [1, 0, 1])


def png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()


def test_every_kind_of_image(tmp_path: Path) -> None:
    image = flat(70)
    image.save(tmp_path / "a.png")
    array = numpy.asarray(image).copy()
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    named = {"bytes": None, "path": str(tmp_path / "a.png")}
    given = [image, png(image), {"bytes": png(image)}, named, tmp_path / "a.png", array, tensor, tensor / 255]
    for each in given:
        assert numpy.array_equal(numpy.asarray(as_image(each).convert("RGB")), array)
    assert as_image(tensor[:1]).mode == "L"
    assert as_image(array[:, :, 0]).mode == "L"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((1, 2, 2), 9.0), "a tensor from 9 to 9: give uint8, or floats in"),
        (torch.zeros(1, 2, 2).long(), r"a tensor of torch\.int64: give uint8"),
        (torch.zeros(2, 2), "a Tensor: give a PIL image or a C x H x W tensor"),
        (numpy.zeros((2, 2)), "a ndarray: give a PIL image"),
        ({"path": None}, "a dict: give a PIL image"),
    ],
)
def test_what_is_no_image(value: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        as_image(value)


def pairs(count: int) -> tuple[Tensor, Tensor]:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(count)), torch.arange(count) % 2


def test_a_function_may_return_datasets() -> None:
    train, val, test = (TensorDataset(*pairs(count)) for count in (40, 6, 8))
    assert len(load_data(lambda root: train, val_fraction=0.25).train) == 24
    for given in ((train, val, test), {"train": train, "validation": val, "Test": test}):
        data = load_data(lambda root, given=given: given, test=True)
        assert [len(part) for part in (data.train, data.val, data.test or ())] == [40, 6, 8]
        assert torch.equal(data.val.images, pairs(6)[0])
    data = load_data(lambda root: {"train": pairs(40), "val": None, "testing": pairs(8)}, test=True)
    assert [len(part) for part in (data.test or (), data.train)] == [8, 36 - 4 + 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": pairs(40), "unsupervised": pairs(9)}, "returned a part 'unsupervised', of 'train', 'unsupervised'"),
        ({"train": pairs(40), "val": pairs(9), "valid": pairs(9)}, "returned twice the same part, of 'train', 'val'"),
        ({"test": pairs(40)}, "returned no part 'train', but 'test': add it"),
        ({}, "returned no part 'train', but none: add it"),
        ([pairs(40)], "returned a list: return a Source"),
        ((TensorDataset(*pairs(40)), pairs(6)), "returned a TensorDataset for train: return a Split or two"),
    ],
)
def test_what_a_function_may_not_return(given: Any, message: str) -> None:
    def mine(root: Path) -> Any:
        return given

    with pytest.raises(DataError, match=f"^data 'mine' {message}"):
        load_data(mine)


def test_what_looks_like_a_dataset_of_hugging_face_may_be_returned() -> None:
    parts = {"train": table([flat(at) for at in range(20)], [0, 1] * 10), "test": table([flat(9)] * 2, [0, 1])}
    data = load_data(lambda root: parts, val_fraction=0.2, test=True)
    assert isinstance(from_datasets(**parts), Source)
    assert (data.classes, len(data.val)) == (("cat", "dog"), 4)


def test_tensors_are_data() -> None:
    task = Task(data=tensors(pairs(40), test=pairs(8), classes=["cat", "dog"]), val_fraction=0.2)
    data = task.load(test=True)
    assert torch.equal(torch.cat([data.val.images, data.train.images]).sort(0).values, pairs(40)[0].sort(0).values)
    assert (data.test is not None, len(data.val), data.classes) == (True, 8, ("cat", "dog"))
    again = pickle.loads(pickle.dumps(task)).load(test=True)
    assert again.fingerprint == data.fingerprint


def test_a_record_tells_tensors_apart_and_holds_none() -> None:
    described = [Task(data=tensors(pair)).describe()["data"] for pair in (pairs(40), pairs(40), pairs(42))]
    assert described[0] == described[1] != described[2]
    assert described[0].startswith("tensors(train=40, digest=")
    other = (pairs(40)[0], 1 - pairs(40)[1])
    assert Task(data=tensors(other)).describe()["data"] != described[0]


class OneHand(Items):
    """Has a state that two threads would fight over, as a file has that is read from a place in it."""

    def __getitem__(self, index: int) -> Any:
        self.place = index
        time.sleep(0.001)
        return self.items[self.place]


def test_a_dataset_is_asked_for_one_item_at_a_time() -> None:
    images = from_datasets(OneHand(*zip(photos(*range(20)), [0, 1] * 10, strict=True))).train.images
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(images.open, range(20)))
    assert [image.getpixel((0, 0))[0] for image in opened] == list(range(20))


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("pair", [torch.zeros(4), (torch.zeros(4),), ([1], [2])])
def test_what_is_no_pair_of_tensors(part: str, pair: Any) -> None:
    with pytest.raises(DataError, match=rf"^tensors\(\.\.\., {part}=\.\.\.\) is no pair of tensors: give \(images, ta"):
        tensors(**{"train": pairs(4), part: pair})


def test_large_images_of_a_dataset_are_trained_on() -> None:
    given = table(photos(*range(30)), [0, 1] * 15)
    data = load_data(lambda root: given, size=16, val_fraction=0.2, test=True)
    for split in (data.train, data.val, data.test):
        assert split is not None
        levels = (as_float(split.images)[:, 0, 0, 0] * 255).round().long()
        assert (levels % 2).tolist() == split.targets.tolist()
        assert split.images.shape[1:] == (3, 16, 16)
