"""Datasets of photos that torchvision knows, from a few small files in the real layouts."""

import json
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path

import numpy
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets

from autoaug.data import DATASETS, DataError, Source, Split, Standard, load_data
from autoaug.data._torchvision_sets import ROWS, class_names
from autoaug.photos._encoded import Encoded


def paint(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20 + level, 30), (level, level, level)).save(path, "png")  # without loss, whatever its name
    return path


def levels_of(split: Split | None) -> list[int]:
    """The grey level of each image, decoded."""
    assert split is not None
    assert isinstance(split.images, Encoded)
    found = []
    for index in range(len(split.images)):
        with split.images.open(index) as image:
            found.append(numpy.asarray(image.convert("RGB"))[0, 0, 0].item())
    return found


def holds(source: Source, classes: Sequence[str], **parts: list[tuple[int, int]]) -> None:
    """The source has exactly these parts, each of these (grey level, class)."""
    assert source.classes == tuple(classes)
    assert set(source.parts()) == set(parts)
    for name, pairs in parts.items():
        split = source.parts()[name]
        assert list(zip(levels_of(split), split.targets.tolist(), strict=True)) == pairs
        assert len(split.names) == len(pairs)


def trusted(path: Path) -> tuple[str, str]:
    """The name of a file and its digest, as torchvision has them of the real files."""
    return path.name, md5(path.read_bytes()).hexdigest()


def test_flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "flowers-102"
    for number in range(1, 7):
        paint(folder / "jpg" / f"image_{number:05d}.jpg", number)
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": numpy.array([[5, 1, 2, 1, 102, 7]])})
    scipy.io.savemat(folder / "setid.mat", {"trnid": [[1, 4]], "valid": [[2, 3]], "tstid": [[6, 5]]})
    listed = {"image": ("", ""), **{key: trusted(folder / f"{name}.mat") for key, name in FLOWER_FILES.items()}}
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", listed)
    source = DATASETS["flowers102"](tmp_path)
    assert isinstance(source, Source)
    holds(source, datasets.Flowers102.classes, train=[(1, 4), (4, 0)], val=[(2, 0), (3, 1)], test=[(6, 6), (5, 101)])
    assert source.train.names[0] == "flowers-102/jpg/image_00001.jpg"


FLOWER_FILES = {"label": "imagelabels", "setid": "setid"}


def test_pets(tmp_path: Path) -> None:
    folder = tmp_path / "oxford-iiit-pet"
    lines = {"trainval": ["Abyssinian_1 1 1 1", "american_bulldog_9 2 2 1"], "test": ["american_bulldog_3 2 2 1"]}
    for level, name in enumerate(("Abyssinian_1", "american_bulldog_9", "american_bulldog_3")):
        paint(folder / "images" / f"{name}.jpg", level)
    for part, content in lines.items():
        path = folder / "annotations" / f"{part}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(content))
    source = DATASETS["oxford-pets"](tmp_path)
    assert isinstance(source, Source)
    holds(source, ["Abyssinian", "American Bulldog"], train=[(0, 0), (1, 1)], test=[(2, 1)])


def test_aircraft(tmp_path: Path) -> None:
    folder = tmp_path / "fgvc-aircraft-2013b" / "data"
    lines = {"train": ["001 707-320", "002 Cessna 172"], "val": ["003 Cessna 172"], "test": ["004 707-320"]}
    for number in range(1, 5):
        paint(folder / "images" / f"{number:03d}.jpg", number)
    (folder / "variants.txt").write_text("707-320\nCessna 172\n")
    for part, content in lines.items():
        (folder / f"images_variant_{part}.txt").write_text("\n".join(content))
    source = DATASETS["fgvc-aircraft"](tmp_path)
    assert isinstance(source, Source)
    holds(source, ["707-320", "Cessna 172"], train=[(1, 0), (2, 1)], val=[(3, 1)], test=[(4, 0)])


def test_cars(tmp_path: Path) -> None:
    folder = tmp_path / "stanford_cars"
    kind = [("fname", "O"), ("class", "O")]
    for part, file, level in (
        ("train", "devkit/cars_train_annos", 3),
        ("test", "cars_test_annos_withlabels", 7),
    ):
        names = [f"{number:05d}.jpg" for number in (1, 2)]
        for number, name in enumerate(names):
            paint(folder / f"cars_{part}" / name, level + number)
        (folder / "devkit").mkdir(exist_ok=True)
        rows = numpy.array([(names[0], 2), (names[1], 1)], dtype=kind)
        scipy.io.savemat(folder / f"{file}.mat", {"annotations": rows})
    names = numpy.array(["AM General Hummer", "Acura RL"], dtype=object)
    scipy.io.savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    source = DATASETS["stanford-cars"](tmp_path)
    assert isinstance(source, Source)
    holds(source, ["AM General Hummer", "Acura RL"], train=[(3, 1), (4, 0)], test=[(7, 1), (8, 0)])


def test_imagenette(tmp_path: Path) -> None:
    for level, place in enumerate(("train/n02979186", "train/n01440764", "val/n01440764", "val/n02979186")):
        paint(tmp_path / "imagenette2" / place / f"{level}.JPEG", level)
    source = DATASETS["imagenette"](tmp_path)
    assert isinstance(source, Source)
    holds(source, ["tench", "cassette player"], train=[(1, 0), (0, 1)], test=[(2, 0), (3, 1)])
    assert str(source.standard) == "resized-crop+flip"


def test_eurosat_has_no_split_of_its_own(tmp_path: Path) -> None:
    for level, place in enumerate(("River", "Forest", "River")):
        paint(tmp_path / "eurosat" / "2750" / place / f"{place}_{level}.jpg", level)
    source = DATASETS["eurosat"](tmp_path)
    assert isinstance(source, Source)
    holds(source, ["Forest", "River"], train=[(1, 0), (0, 1), (2, 1)])


def test_food(tmp_path: Path) -> None:
    folder = tmp_path / "food-101"
    lists = {"train": {"ramen": ["ramen/1"], "pho": ["pho/2"]}, "test": {"ramen": ["ramen/4", "ramen/3"], "pho": []}}
    for name in ("ramen/1", "pho/2", "ramen/3", "ramen/4"):
        paint(folder / "images" / f"{name}.jpg", int(name[-1]))
    (folder / "meta").mkdir()
    for part, content in lists.items():
        (folder / "meta" / f"{part}.json").write_text(json.dumps(content))
    source = DATASETS["food101"](tmp_path)
    assert isinstance(source, Source)
    holds(source, ["pho", "ramen"], train=[(1, 1), (2, 0)], test=[(4, 1), (3, 1)])


def test_imagenet(tmp_path: Path) -> None:
    names = {"n02012849": ("crane",), "n03126707": ("crane",), "n01440764": ("tench", "Tinca tinca")}
    (tmp_path / "imagenet").mkdir()
    torch.save((names, []), tmp_path / "imagenet" / "meta.bin")
    for level, place in enumerate(f"{part}/{number}" for part in ("train", "val") for number in sorted(names)):
        paint(tmp_path / "imagenet" / place / f"ILSVRC2012_{level}.JPEG", level)
    source = DATASETS["imagenet"](tmp_path)
    assert isinstance(source, Source)
    holds(source, ["tench", "crane", "crane 2"], train=[(0, 0), (1, 1), (2, 2)], test=[(3, 0), (4, 1), (5, 2)])


def test_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    stored = {}
    for part, count in (("train", 20), ("test", 10)):
        images = numpy.random.default_rng(count).integers(0, 256, (count, 3, 96, 96), dtype=numpy.uint8)
        stored[part] = images
        images.transpose(0, 1, 3, 2).tofile(folder / f"{part}_X.bin")  # column by column, as MATLAB has it
        (numpy.arange(count, dtype=numpy.uint8) % 10 + 1).tofile(folder / f"{part}_y.bin")
        lists = [list(trusted(folder / f"{part}_{what}.bin")) for what in "Xy"]
        monkeypatch.setattr(datasets.STL10, f"{part}_list", lists)
    (folder / "class_names.txt").write_text("\n".join(STL))
    source = DATASETS["stl10"](tmp_path)
    assert isinstance(source, Source)
    assert source.test is not None
    assert (source.classes, source.standard) == (STL, Standard())
    assert numpy.array_equal(source.train.images, stored["train"])
    assert numpy.array_equal(source.test.images, stored["test"])
    assert source.test.targets.tolist() == list(range(10))


STL = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def test_a_class_is_called_by_its_first_name() -> None:
    names = [("crane",), ("maillot",), ("maillot", "tank suit"), ("tench", "Tinca"), ("crane",), "gas pump"]
    assert class_names(names) == ("crane", "maillot", "maillot, tank suit", "tench", "crane 2", "gas pump")


def test_a_list_without_images_is_refused(tmp_path: Path) -> None:
    for path in ("images", "meta"):
        (tmp_path / "food-101" / path).mkdir(parents=True)
    for part in ("train", "test"):
        (tmp_path / "food-101" / "meta" / f"{part}.json").write_text("{}")
    with pytest.raises(DataError, match=r"^no images of Food101 in .*: remove its folder, and load it anew"):
        load_data("food101", root=tmp_path)


def test_what_torchvision_cannot_read_is_refused_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^no dataset 'stanford-cars' in '{tmp_path}', and it cannot be downloaded"):
        load_data("stanford-cars", root=tmp_path)
    with pytest.raises(DataError, match=rf"^no dataset 'imagenet' in '{tmp_path}/imagenet', and it cannot be downl"):
        load_data("imagenet", root=tmp_path)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_has_a_class_of_torchvision_and_training_images(name: str) -> None:
    assert isinstance(getattr(datasets, ROWS[name].kind), type)
    assert next(iter(ROWS[name].parts)) == "train"
