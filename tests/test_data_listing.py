"""Which files of a folder are read as images: nothing that hides, nothing twice, and what is passed over is said."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy
import pytest
from PIL import Image

from autoaug import Budget, Study, Task
from autoaug.data import DataError, image_folder, load_data, read_images
from autoaug.data._files import SPLIT_FOLDERS
from autoaug.data._holding import held
from autoaug.data._listing import BROKEN, HIDDEN, LOOP, SYSTEM_NAMES, hides, listing, stamp
from autoaug.data._source import PassedOver, Reading
from autoaug.photos._choice import Wanted
from autoaug.strategies import none
from autoaug.study import Loader, data_facts

FOLDERS = [".ipynb_checkpoints", ".cache", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found", "#recycle", "@Recycle"]
FILES = ["._0.png", ".DS_Store", "Thumbs.db", ".hidden.png", "~$0.png", "desktop.ini"]


def paint(folder: Path, count: int = 10, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (6, 4), (number, 0, 0)).save(folder / f"{number}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of cats and ten of dogs."""
    paint(tmp_path / "photos" / "cat")
    paint(tmp_path / "photos" / "dog", first=10)
    return tmp_path / "photos"


def read(path: Path) -> tuple[Reading, tuple[str, ...], int]:
    """What was found, the classes, and the number of images in all splits."""
    source = held(image_folder(path)(path), Wanted(), "data")
    assert source.reading is not None
    images = sum(len(split) for split in source.parts().values())
    assert images == source.reading.files
    return source.reading, source.classes, images


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("below", ["cat", ".", "cat/deep"])
def test_folders_that_hide_are_no_classes_and_their_images_are_not_read(name: str, below: str, photos: Path) -> None:
    shutil.copytree(photos / "cat", photos / below / name)
    reading, classes, images = read(photos)
    assert (classes, images) == (("cat", "dog"), 20)
    assert reading.passed_over == (PassedOver(HIDDEN, 1, (str(Path(below) / name),)),)
    assert len(read_images(photos, 4, most=100)) == 20


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("below", ["cat", "."])
def test_files_that_hide_are_not_read(name: str, below: str, photos: Path) -> None:
    shutil.copy(photos / "cat" / "0.png", photos / below / name)
    reading, classes, images = read(photos)
    assert (classes, images) == (("cat", "dog"), 20)
    assert reading.passed_over == (PassedOver(HIDDEN, 1, (str(Path(below) / name),)),)
    assert len(read_images(photos, 4, most=100)) == 20


def test_a_folder_in_a_place_that_hides_is_read_all_the_same(photos: Path) -> None:
    hidden = photos.rename(photos.parent / ".photos")
    assert read(hidden)[2] == 20


def test_names_of_systems_are_in_lower_case_as_they_are_compared() -> None:
    assert {name.lower() for name in SYSTEM_NAMES} == SYSTEM_NAMES
    assert not any(map(hides, ["cat", "a.png", "thumbs", "_1.png", "@home", "lost"]))


def test_beside_splits_nothing_is_taken_for_one(tmp_path: Path) -> None:
    for part in ("train", "val", ".train", "@eaDir", "raw"):
        paint(tmp_path / part / "a", 3)
        paint(tmp_path / part / "b", 3)
    paint(tmp_path / "val" / "__MACOSX", 3)
    reading, classes, images = read(tmp_path)
    assert (classes, images) == (("a", "b"), 12)
    hidden, beside = reading.passed_over
    assert (hidden.reason, hidden.count) == (HIDDEN, 3)
    assert beside == PassedOver("beside the folders of the splits", 1, ("raw",))


@pytest.mark.parametrize("names", list(zip(*(names[-2:] for names in SPLIT_FOLDERS.values()), strict=True)))
def test_splits_may_have_their_other_names(names: tuple[str, ...], tmp_path: Path) -> None:
    for count, part in enumerate(names, start=3):
        paint(tmp_path / part.title() / "a", count)
        paint(tmp_path / part.title() / "b", count)
    source = image_folder(tmp_path)(tmp_path)
    assert {name: len(split) for name, split in source.parts().items()} == {"train": 6, "val": 8, "test": 10}


@pytest.mark.parametrize("names", [("invalid", "valid"), ("match", "training")])
def test_classes_that_are_called_like_a_split_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        paint(tmp_path / name)
    assert read(tmp_path)[1] == names


def test_links_are_followed_and_no_folder_is_read_twice(photos: Path, tmp_path: Path) -> None:
    paint(tmp_path / "elsewhere", 3, first=50)
    (photos / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (photos / "cat" / "more again").symlink_to(tmp_path / "elsewhere")
    (photos / "dog" / "up").symlink_to(photos / "dog")
    (photos / "dog" / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "dog" / "one more.png").symlink_to(tmp_path / "elsewhere" / "50.png")
    reading, _, images = read(photos)
    assert images == 20 + 3 + 1
    assert {(row.reason, row.examples) for row in reading.passed_over} == {
        (LOOP, ("cat/more again", "dog/up")),
        (BROKEN, ("dog/gone.png",)),
    }


def test_what_is_passed_over_in_several_splits_is_named_in_order(tmp_path: Path) -> None:
    """In ten folders: a set of paths is in this order by luck once in 24 times."""
    parts = ("test", "train", "val")
    for number in range(10):
        root = tmp_path / str(number)
        for part in parts:
            paint(root / part / "cat", 1)
            paint(root / part / "dog", 1, first=1)
            (root / part / "notes.txt").touch()
        (root / "about.txt").touch()
        [row] = read(root)[0].passed_over
        assert (row.count, row.examples) == (4, ("about.txt", "test/notes.txt", "train/notes.txt"))


def test_every_file_that_is_passed_over_is_counted_with_its_reason(photos: Path) -> None:
    for name in ("a.heic", "b.HEIC", "c.nef"):
        (photos / "cat" / name).write_bytes(b"of a camera")
    (photos / "cat" / "notes.txt").write_text("no image")
    paint(photos, 2)
    reading, _, images = read(photos)
    assert images == 20
    assert {row.reason: (row.count, row.examples) for row in reading.passed_over} == {
        ".heic, which Pillow cannot read here": (2, ("cat/a.heic", "cat/b.HEIC")),
        ".nef, which Pillow cannot read here": (1, ("cat/c.nef",)),
        "named like no image": (1, ("cat/notes.txt",)),
        "in no folder of a class": (2, ("0.png", "1.png")),
    }


def test_a_class_of_files_that_cannot_be_read_here_says_which(photos: Path) -> None:
    (photos / "owl").mkdir()
    (photos / "owl" / "a.heic").write_bytes(b"of a camera")
    there = r"where there is 1 \.heic, which Pillow cannot read here \(a\.heic\)"
    with pytest.raises(DataError, match=rf"no images in '.*owl', {there}: put"):
        load_data(photos)


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jfif", "JPEG"), (".avif", "AVIF"), (".webp", "WEBP"), (".tga", "TGA"), (".JPE", "JPEG")]
)
def test_formats_that_pillow_knows_are_read(suffix: str, kind: str, photos: Path) -> None:
    if kind not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow has no {kind}")
    Image.new("RGB", (6, 4), (200, 0, 0)).save(photos / "cat" / f"x{suffix}", kind)
    assert read(photos)[2] == 21


@pytest.mark.parametrize(
    ("pixels", "suffix", "expected"),
    [
        (numpy.array([[0, 257], [40_000, 65_535]], dtype=numpy.uint16), ".png", [0, 1, 156, 255]),
        (numpy.array([[0, 257], [40_000, 65_535]], dtype=numpy.uint16), ".tif", [0, 1, 156, 255]),
        (numpy.array([[0, 257], [40_000, 65_535]], dtype=numpy.int32), ".tif", [0, 1, 156, 255]),
        (numpy.array([[0, 0.5], [0.25, 1]], dtype=numpy.float32), ".tif", [0, 128, 64, 255]),
    ],
)
def test_more_than_8_bits_are_scaled_by_their_range(
    pixels: numpy.ndarray, suffix: str, expected: list[int], photos: Path
) -> None:
    for file in (photos / "cat").iterdir():
        file.unlink()
    Image.fromarray(pixels).save(photos / "cat" / f"x{suffix}")
    source = held(image_folder(photos)(photos), Wanted(size=2), "data")
    assert source.train.images[0].flatten(1).tolist() == [expected] * 3
    assert source.reading is not None
    assert source.reading.notes == ("1 of more than 8 bits per pixel, scaled to 8",)


def test_classes_that_differ_in_case_only_are_read_and_named(photos: Path) -> None:
    """Letters are such classes; two spellings of one class are too."""
    paint(photos / "Cat", 2)
    reading, classes, _ = read(photos)
    assert classes == ("Cat", "cat", "dog")
    assert reading.notes == ("classes 'Cat' and 'cat' differ in upper and lower case only",)


def test_the_sizes_of_files_are_known(photos: Path) -> None:
    Image.new("RGB", (30, 20)).save(photos / "cat" / "large.png")
    Image.new("RGB", (2, 3)).save(photos / "cat" / "small.png")
    reading = load_data(photos).reading
    assert reading is not None
    assert (reading.files, reading.smallest, reading.largest) == (22, (3, 2), (20, 30))


def test_a_change_of_what_is_read_is_seen_and_one_of_what_hides_is_not(photos: Path) -> None:
    before = stamp(photos)
    paint(photos / "cat" / ".thumbnails", 1)
    (photos / "cat" / ".thumbnails" / "0.png").write_bytes(b"changed below a folder that hides")
    hidden = stamp(photos)
    (photos / "cat" / "0.png").write_bytes((photos / "dog" / "10.png").read_bytes() + b" ")
    assert stamp(photos) != hidden
    assert before != hidden, "it is named in the plan"
    assert listing(photos).others == [(HIDDEN, photos / "cat" / ".thumbnails")]


def test_the_plan_says_what_was_read_and_what_was_passed_over(photos: Path) -> None:
    shutil.copytree(photos / "cat", photos / "cat" / ".ipynb_checkpoints")
    for number in range(5):
        (photos / "dog" / f"{number}.heic").write_bytes(b"of a camera")
    Image.new("RGB", (30, 20)).save(photos / "cat" / "large.png")
    study = Study(
        name="s",
        task=Task(data=str(photos), model="convnet", val_fraction=0.2),
        strategies={"none": none()},
        budget=Budget(trials=1),
    )
    (facts,) = data_facts(study, Loader())
    assert facts.sentences()[:4] == [
        "data: 14 training, 3 validation, 4 test images (validation and test cut from training) of 2 classes, "
        "4 x 4 pixels in colour",
        "read from 21 files of 4 x 6 to 20 x 30 pixels",
        "passed over: 5 .heic, which Pillow cannot read here (dog/0.heic, dog/1.heic, dog/2.heic and 2 more)",
        "passed over: 1 hidden, or left by a system (cat/.ipynb_checkpoints)",
    ]
    assert json.loads(json.dumps(asdict(facts)))["files"]["largest"] == [20, 30]
