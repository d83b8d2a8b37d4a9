"""Data from torchvision's files, the user's files and the user's functions, and errors that say what to do."""

import pickle
import re
import struct
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.io
import torch
import torchvision
from items_for_tests import Items
from PIL import Image
from torch.utils.data import TensorDataset

from autoaug.data import (
    DATASETS,
    DataError,
    Source,
    Split,
    Standard,
    from_datasets,
    image_folder,
    load_data,
    npz,
)
from autoaug.data._holding import held
from autoaug.data._torchvision_sets import ROWS
from autoaug.photos._choice import Wanted

Arrays = tuple[numpy.ndarray, numpy.ndarray]


def arrays(count: int, *shape: int, classes: int = 10, seed: int = 0) -> Arrays:
    """Random bytes, and every class in turn."""
    images = numpy.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=numpy.uint8)
    return images, numpy.arange(count) % classes


def together(data: Any) -> tuple[torch.Tensor, list[int]]:
    """Training and validation images again as one, in the order of their targets."""
    images, targets = torch.cat([data.train.images, data.val.images]), torch.cat([data.train.targets, data.val.targets])
    return images, targets.tolist()


def holds(data: Any, train: Arrays, test: Arrays) -> None:
    """The data are these arrays, N x C x H x W: the training images in another order, the test images in this one."""
    pixels, labels = together(data)
    found = {(image.numpy().tobytes(), label) for image, label in zip(pixels, labels, strict=True)}
    assert found == {(image.tobytes(), int(label)) for image, label in zip(*train, strict=True)}
    assert len(labels) == len(train[0])
    assert numpy.array_equal(data.test.images, test[0])
    assert data.test.targets.tolist() == test[1].tolist()


# torchvision, from small files in the real formats


def write_idx(path: Path, array: numpy.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(numpy.uint8).tobytes())


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_mnist_as_it_is_stored(name: str, folder: str, tmp_path: Path) -> None:
    train, test = arrays(60, 28, 28), arrays(20, 28, 28, seed=1)
    for part, (images, labels) in {"train": train, "t10k": test}.items():
        write_idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", labels)
    data = load_data(name, root=tmp_path, val_fraction=0.2, test=True)
    holds(data, (train[0][:, None], train[1]), (test[0][:, None], test[1]))
    assert (data.channels, len(data.classes), data.standard.pad) == (1, 10, 0.125)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_as_it_is_stored(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = getattr(torchvision.datasets, ROWS[name].kind)
    classes, key = (10, "labels") if name == "cifar10" else (100, "fine_labels")
    train, test = arrays(400, 3, 32, 32, classes=classes), arrays(200, 3, 32, 32, classes=classes, seed=1)

    def store(file: str, content: dict[str, Any]) -> list[str]:
        path = tmp_path / kind.base_folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(content))
        return [file, md5(path.read_bytes()).hexdigest()]

    halves = [store(f"b{at}", {"data": train[0][at::2], key: train[1][at::2].tolist()}) for at in (0, 1)]
    names = store("names", {kind.meta["key"]: [f"class {number}" for number in range(classes)]})
    monkeypatch.setattr(kind, "train_list", [[file, digest] for file, digest in halves])
    monkeypatch.setattr(kind, "test_list", [store("t", {"data": test[0], key: test[1].tolist()})])
    monkeypatch.setattr(kind, "meta", {"filename": names[0], "key": kind.meta["key"], "md5": names[1]})
    data = load_data(name, root=tmp_path, val_fraction=0.25, test=True)
    holds(data, train, test)
    assert (data.classes[-1], data.standard) == (f"class {classes - 1}", Standard(0.125, flip=True))


def test_svhn_as_it_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {"train": arrays(60, 3, 32, 32), "test": arrays(20, 3, 32, 32, seed=1)}
    listed = {}
    for part, (images, labels) in sets.items():
        path = tmp_path / f"{part}.mat"
        scipy.io.savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": numpy.where(labels == 0, 10, labels)[:, None]})
        listed[part] = ["", path.name, md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", listed)
    data = load_data("svhn", root=tmp_path, val_fraction=0.2, test=True)
    holds(data, sets["train"], sets["test"])
    assert (data.classes, data.standard) == (tuple("0123456789"), Standard(0.125, flip=False))


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_torchvision_downloads_to_the_root(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(root: Path, **choice: Any) -> None:
        asked.append((root, choice))
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, ROWS[name].kind, refuse)
    row = ROWS[name]
    said = (
        f"cannot download dataset '{name}' to '{tmp_path}': connect to the network, or place its files there as"
        if row.download
        else f"no dataset '{name}' in '{tmp_path / row.folder}', and it cannot be downloaded: place its files there as"
    )
    with pytest.raises(DataError, match=f"^{re.escape(said)} torchvision.datasets.{row.kind} keeps them$") as error:
        load_data(name, root=tmp_path)
    assert "no network" in str(error.value.__cause__)
    assert asked == [(tmp_path / row.folder, {**row.download, **row.parts["train"]})]


# Folders of images


def paint(path: Path, *colours: tuple[int, ...], size: tuple[int, int] = (12, 12), mode: str = "RGB") -> None:
    """Image files `path/0.png`, `path/1.png` … each of one colour."""
    path.mkdir(parents=True, exist_ok=True)
    for number, colour in enumerate(colours):
        Image.new(mode, size, colour if len(colour) > 1 else colour[0]).save(path / f"{number}.png")


def greys(count: int, first: int = 0) -> list[tuple[int, int, int]]:
    return [(level, level, level) for level in range(first, first + count)]


def read_at(folder: Path, size: int) -> Source:
    """The images of a folder at one size."""
    return held(image_folder(folder)(folder), Wanted(size=size), "data")


def test_a_folder_of_classes_is_split_by_us(tmp_path: Path) -> None:
    paint(tmp_path / "dog", *greys(20, 100))
    paint(tmp_path / "cat", *greys(10))
    paint(tmp_path / "cat" / "more", *greys(10, 10))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    data = load_data(str(tmp_path), val_fraction=0.25, test=True)
    assert (data.classes, data.standard, data.channels) == (("cat", "dog"), Standard(0.125, flip=False), 3)
    assert data.train.images.shape == (24, 3, 12, 12)
    assert data.train.images.dtype == torch.uint8
    assert [len(data.train), len(data.val), len(data.test or ())] == [24, 8, 8]
    images = torch.cat([split.images for split in (data.train, data.val, data.test) if split])
    targets = torch.cat([split.targets for split in (data.train, data.val, data.test) if split])
    assert sorted(images[:, 0, 0, 0].tolist()) == [*range(20), *range(100, 120)]
    assert torch.equal(targets, (images[:, 0, 0, 0] >= 100).long())


def test_the_splits_of_a_folder_are_kept(tmp_path: Path) -> None:
    for first, part in ((0, "train"), (50, "val"), (100, "test")):
        paint(tmp_path / part / "a", *greys(3, first))
        paint(tmp_path / part / "b", *greys(2, first + 10))
    data = load_data(tmp_path, test=True)
    splits = {0: data.train, 50: data.val, 100: data.test}
    for first, split in splits.items():
        assert split is not None
        assert (split.images[:, 0, 5, 5] - first).tolist() == [0, 1, 2, 10, 11]
        assert split.targets.tolist() == [0, 0, 0, 1, 1]


def test_images_are_cropped_to_the_centre_and_resized_with_antialiasing(tmp_path: Path) -> None:
    wide = numpy.zeros((30, 90, 3), dtype=numpy.uint8)
    wide[:, 30:60] = (10, 200, 30)
    board = numpy.indices((64, 64)).sum(0) % 2 * 255
    for name, array in {"a": wide, "b": wide.transpose(1, 0, 2), "c": board.astype(numpy.uint8)}.items():
        paint(tmp_path / name, *greys(2))
        Image.fromarray(array).save(tmp_path / name / "0.png")
    source = read_at(tmp_path, 8)
    centre, tall, checkers = source.train.images[::2]
    assert torch.equal(centre, tall.transpose(1, 2))
    assert (centre[:, 1:-1, 1:-1] == torch.tensor([10, 200, 30]).view(3, 1, 1)).all()
    assert ((checkers.int() - 127).abs() <= 16).all()  # without antialiasing 0 or 255


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("L", (7,), [7, 7, 7]), ("RGBA", (1, 2, 3, 255), [1, 2, 3]), ("1", (1,), [255] * 3), ("LA", (9, 255), [9] * 3)],
)
def test_images_of_every_mode_become_colour(mode: str, colour: Any, expected: list[int], tmp_path: Path) -> None:
    paint(tmp_path / "a", colour, mode=mode)
    paint(tmp_path / "b", (0, 0, 0))
    assert read_at(tmp_path, 4).train.images[0, :, 0, 0].tolist() == expected


def test_an_image_stands_as_the_camera_held_it(tmp_path: Path) -> None:
    paint(tmp_path / "a", (0, 0, 0))
    paint(tmp_path / "b", (0, 0, 0))
    array = numpy.zeros((8, 8, 3), dtype=numpy.uint8)
    array[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(array).save(tmp_path / "a" / "0.png", exif=exif)
    upright = read_at(tmp_path, 8).train.images[0, 0]
    assert (upright[:4] == 0).all()
    assert (upright[4:] == 255).all()


# .npz files


@pytest.mark.parametrize("shape", [(9, 8, 3), (9, 8, 1), (9, 8)])
def test_an_npz_file_in_every_layout(shape: tuple[int, ...], tmp_path: Path) -> None:
    train, test = arrays(40, *shape, classes=4), arrays(12, *shape, classes=4, seed=1)
    numpy.savez(tmp_path / "a.npz", x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])
    data = load_data(str(tmp_path / "a.npz"), val_fraction=0.25, test=True)
    channels = shape[2] if len(shape) == 3 else 1
    first = (pixels.reshape(-1, 9, 8, channels).transpose(0, 3, 1, 2) for pixels in (train[0], test[0]))
    holds(data, (next(first), train[1]), (next(first), test[1]))
    assert (data.classes, data.standard) == (("0", "1", "2", "3"), Standard(flip=channels == 3))


def test_an_npz_file_with_floats_classes_and_validation_images(tmp_path: Path) -> None:
    images, labels = arrays(20, 4, 4, classes=2)
    small = {"x_val": images[:4] / 255, "y_val": labels[:4].astype(numpy.int8), "classes": ["cat", "dog"]}
    numpy.savez_compressed(tmp_path / "a.npz", x_train=images / 255, y_train=labels, **small)
    data = load_data(npz(tmp_path / "a.npz"))
    assert data.classes == ("cat", "dog")
    assert (data.val.images.dtype, data.val.targets.dtype) == (torch.float32, torch.int64)
    assert torch.allclose(data.val.images, torch.from_numpy(images[:4, None]) / 255)


# Functions of the user


def pair(count: int = 20, classes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = arrays(count, 1, 4, 4, classes=classes)
    return torch.from_numpy(images), torch.from_numpy(labels)


@pytest.mark.parametrize(
    ("given", "own"),
    [
        (lambda: pair(), ()),
        (lambda: (pair(), pair(4)), ("val",)),
        (lambda: (Split(*pair()), None, pair(6)), ("test",)),
        (lambda: (pair(), pair(4), Split(*pair(6))), ("val", "test")),
        (lambda: Source(train=Split(*pair()), val=Split(*pair(4))), ("val",)),
    ],
)
def test_what_a_function_may_return(given: Callable[[], Any], own: tuple[str, ...], tmp_path: Path) -> None:
    seen = []

    def mine(root: Path) -> Any:
        seen.append(root)
        return given()

    data = load_data(mine, root=tmp_path, val_fraction=0.25, test_fraction=0.4, test=True)
    assert seen == [tmp_path]
    assert data.test is not None
    assert len(data.test) == (6 if "test" in own else 8)
    assert len(data.val) == (4 if "val" in own else (20 if "test" in own else 12) * 0.25)
    assert data.classes == ("0", "1")


def test_a_function_is_asked_again_and_a_name_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def mine(root: Path) -> Any:
        calls.append(root)
        return pair(40 + 10 * len(calls))

    sizes = [len(load_data(mine).train) for _ in range(3)]
    assert len(set(sizes)) == 3
    assert len(calls) == 3
    monkeypatch.setitem(DATASETS, "mine", mine)
    sizes = [len(load_data("mine", seed=seed).train) for seed in range(3)]
    assert len(set(sizes)) == 1
    assert len(calls) == 4
    load_data("mine", root="elsewhere")
    assert len(calls) == 5


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "a", *greys(10))
    paint(tmp_path / "photos" / "b", *greys(10))
    one, again = (load_data(image_folder(tmp_path / "photos"), size=4) for _ in range(2))
    assert one.fingerprint == again.fingerprint
    paint(tmp_path / "photos" / "a", *greys(10, 30))
    assert load_data(image_folder(tmp_path / "photos"), size=4).fingerprint != one.fingerprint
    assert load_data(image_folder(tmp_path / "photos"), size=5).train.images.shape[2] == 5
    for classes in (2, 3):
        images, labels = arrays(60, 4, 4, classes=classes)
        numpy.savez(tmp_path / "a.npz", x_train=images, y_train=labels)
        assert len(load_data(tmp_path / "a.npz").classes) == classes


def test_a_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "digits" / "a", *greys(10))
    paint(tmp_path / "digits" / "b", *greys(10))
    assert len(load_data("digits").classes) == 10
    assert len(load_data("./digits").classes) == 2


def test_a_path_means_the_same_folder_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy.savez(tmp_path / "a.npz", x_train=numpy.zeros((40, 2, 2)), y_train=numpy.arange(40) % 2)
    paint(tmp_path / "photos" / "a", *greys(10))
    paint(tmp_path / "photos" / "b", *greys(10))
    monkeypatch.chdir(tmp_path)
    readers = [image_folder("photos"), npz("a.npz")]
    monkeypatch.chdir("/")
    assert [len(load_data(reader).classes) for reader in readers] == [2, 2]


def test_datasets_of_torch() -> None:
    colour, grey = Image.new("RGB", (5, 4), (1, 2, 3)), Image.new("L", (5, 4), 7)
    train = Items((colour, 0), (colour, numpy.int64(1)), (colour, torch.tensor(1)))
    source = from_datasets(train, test=train, classes=["cat", "dog"])
    assert source.train.images.shape == (3, 3, 4, 5)
    assert source.train.images[:, :, 0, 0].tolist() == [[1, 2, 3]] * 3
    assert (source.train.targets.tolist(), source.classes, source.val) == ([0, 1, 1], ("cat", "dog"), None)
    assert from_datasets(Items((grey, 0))).train.images.tolist() == [[[[7] * 5] * 4]]
    deep = Image.fromarray(numpy.full((4, 5), 40_000, dtype=numpy.uint16))
    assert from_datasets(Items((deep, 0))).train.images.tolist() == [[[[156] * 5] * 4]], "40,000 of 65,535"
    tensors = from_datasets(TensorDataset(*pair()), val=TensorDataset(*pair(4)))
    assert torch.equal(tensors.train.images, pair()[0])
    assert len(load_data(lambda root: tensors).val) == 4
    assert from_datasets(Named()).classes == ("left", "right")


class Named(Items):
    """Knows its classes, as torchvision's datasets do."""

    def __init__(self) -> None:
        super().__init__((torch.zeros(1, 2, 2), 0), (torch.zeros(1, 2, 2), 1))
        self.classes = ["left", "right"]
