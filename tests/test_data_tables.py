"""Images that a table lists, and two folders as they are distributed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from autoaug.data import DataError, Split, bach, image_table, load_data, tiny_imagenet
from autoaug.data._distributed import Bach, TinyImageNet
from autoaug.data._load import _find
from autoaug.photos._encoded import Encoded


def paint(path: Path, level: int, kind: str = "png") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9 + level, 7), (level, level, level)).save(path, kind)


def pairs(split: Split | None) -> list[tuple[int, int]]:
    """The grey level of each image, and its class."""
    assert split is not None
    assert isinstance(split.images, Encoded)
    found = []
    for index, target in enumerate(split.targets.tolist()):
        with split.images.open(index) as image:
            found.append((numpy.asarray(image)[0, 0, 0].item(), target))
    return found


def written(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    """A table beside four images."""
    for level, file in enumerate(("a.png", "b.png", "more/c d.png", "e,f.png")):
        paint(folder / "pictures" / file, level)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


PLAIN = "path,label\npictures/a.png,dog\npictures/b.png,cat\npictures/more/c d.png,dog\n"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (PLAIN, "labels.csv"),
        (PLAIN.replace("\n", "\r\n"), "labels.csv"),
        (PLAIN.encode("utf-8-sig"), "labels.csv"),
        (PLAIN.replace(",", ";"), "labels.csv"),
        (PLAIN.replace(",", "\t"), "labels.tsv"),
        (PLAIN.replace(",", "\t"), "labels.CSV"),
        (PLAIN.replace("path,label", " File , Class "), "labels.csv"),
        (PLAIN.replace("dog", '"dog"').replace("\n", "\n\n,\n"), "labels.csv"),
    ],
)
def test_tables_as_programs_write_them(content: str | bytes, name: str, tmp_path: Path) -> None:
    source = image_table(written(tmp_path, content, name))(tmp_path)
    assert (source.classes, pairs(source.train)) == (("cat", "dog"), [(0, 1), (1, 0), (2, 1)])
    assert (source.val, source.test) == (None, None)
    assert source.train.names[2] == "pictures/more/c d.png"


def test_the_splits_and_columns_of_a_table(tmp_path: Path) -> None:
    absolute = tmp_path / "pictures" / "a.png"
    content = f"""id,what,where,subset,note
        1,10,{absolute},Train,"two
lines"
        2,9,pictures/b.png,train,
        3,10,pictures/more/c d.png,VALIDATION,
        4,9,"pictures/e,f.png",test,
    """
    source = image_table(written(tmp_path, content), image="where", label="what")(tmp_path)
    assert source.classes == ("9", "10"), "numbers, in their order"
    assert (pairs(source.train), pairs(source.val), pairs(source.test)) == ([(0, 1), (1, 0)], [(2, 1)], [(3, 0)])


def test_every_line_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    content = """path,label,split
pictures/a.png,dog,train
pictures/none.png,dog,train
pictures/b.png,,train

,dog,train
pictures/b.png,cat,trial
pictures/b.png,cat
pictures/a.png,cat,train
pictures/a.png,dog,test
pictures/b.png,owl,val
"""
    with pytest.raises(DataError) as error:
        image_table(written(tmp_path, content))(tmp_path)
    assert str(error.value) == (
        f"8 lines of '{tmp_path}/labels.csv' cannot be used (line 3: no file 'pictures/none.png', line 4: no label, "
        "line 6: no image, line 7: the split 'trial', which is not train, val or test, line 8: 2 cells instead of 3, "
        "line 9: the image of line 2, there 'dog' in train, line 10: the image of line 2, there 'dog' in train, "
        "line 11: the class 'owl', without training images): mend or "
        "remove them"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "' is empty: give a line with the names"),
        ("path,label\n", "' lists no image to train on: give lines whose split is 'train'"),
        ("path,label,split\npictures/a.png,dog,val\n", "lists no image to train on"),
        ("name,label\na,b\n", "has the columns 'name', 'label', and none is called path, file, "),
        ("path,kind\na,b\n", "and none is called label, class, target, class_name: name the label so, or say which"),
        (
            "path,image,label\na,a,b\n",
            "'path', 'image', 'label', of which 2 may be the image: say which by image_table(",
        ),
        ('path,label\n"pictures/a.png,dog\n', "line 2 of '.*' is no line of a table"),
        (PLAIN.encode("utf-16"), "is no text in UTF-8: save it as CSV in UTF-8"),
        (PLAIN.encode("utf-16-le"), "has null characters, as text in UTF-16 has"),
        ("path,label\npictures/a.png,h\xf6rnchen\n".encode("latin-1"), "is no text in UTF-8"),
    ],
)
def test_what_is_no_table_of_images(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        image_table(written(tmp_path, content))(tmp_path)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the columns 'path', 'label', and no 'lable': did you mean 'label'"):
        image_table(written(tmp_path, PLAIN), label="lable")(tmp_path)
    with pytest.raises(DataError, match=r"^no file at .*nothing\.csv': give the path of an existing table"):
        load_data(tmp_path / "nothing.csv")


def test_a_name_of_a_table_is_found(tmp_path: Path) -> None:
    assert str(_find(str(written(tmp_path, PLAIN)))) == str(tmp_path / "labels.csv")


def test_a_table_is_trained_on(tmp_path: Path) -> None:
    lines = ["path,label"]
    for level in range(24):
        paint(tmp_path / f"{level}.png", level)
        lines.append(f"{level}.png,{'xyz'[level % 3]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    data = load_data(tmp_path / "labels.csv", size=4, val_fraction=0.2, test=True)
    assert (data.classes, data.train.images.shape[1:]) == (("x", "y", "z"), (3, 4, 4))
    for split in (data.train, data.val, data.test):
        assert split is not None
        assert (split.images[:, 0, 0, 0] % 3).tolist() == split.targets.tolist()
    paint(tmp_path / "5.png", 5)
    (tmp_path / "labels.csv").write_text("\n".join(lines[:-3]))
    assert len(load_data(tmp_path / "labels.csv", size=4, val_fraction=0.2).train) < len(data.train)


# Tiny-ImageNet and BACH


def tiny(folder: Path) -> Path:
    """Two classes of Tiny-ImageNet; the last of its files in other orders than their classes."""
    for level, name in enumerate(("n02/images/n02_0", "n01/images/n01_0", "n01/images/n01_1")):
        paint(folder / "train" / f"{name}.JPEG", level)
        (folder / "train" / name).parent.parent.joinpath(f"{name[:3]}_boxes.txt").write_text("n01_0.JPEG\t0\t0\t1\t1\n")
    for level in (10, 11, 12):
        paint(folder / "val" / "images" / f"val_{level}.JPEG", level)
    rows = ((12, "n01"), (10, "n02"), (11, "n01"))
    text = "".join(f"val_{level}.JPEG\t{number}\t0\t32\t44\t62\n" for level, number in rows)
    (folder / "val" / "val_annotations.txt").write_text(text)
    paint(folder / "test" / "images" / "test_0.JPEG", 20)
    (folder / "wnids.txt").write_text("n02\nn01\n")
    (folder / "words.txt").write_text("n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tEuropean fire salamander\n")
    return folder


def test_tiny_imagenet(tmp_path: Path) -> None:
    source = tiny_imagenet(tiny(tmp_path))(tmp_path)
    assert source.classes == ("goldfish", "European fire salamander")
    assert pairs(source.train) == [(1, 0), (2, 0), (0, 1)]
    assert pairs(source.test) == [(12, 0), (10, 1), (11, 0)]
    assert source.val is None
    (tmp_path / "words.txt").write_text("n01\tcrane\nn02\tcrane\n")
    assert tiny_imagenet(tmp_path)(tmp_path).classes == ("crane (n01)", "crane (n02)")
    (tmp_path / "words.txt").unlink()
    assert tiny_imagenet(tmp_path)(tmp_path).classes == ("n01", "n02")


def test_tiny_imagenet_that_is_not_whole(tmp_path: Path) -> None:
    tiny(tmp_path)
    (tmp_path / "val" / "images" / "val_10.JPEG").unlink()
    with (tmp_path / "val" / "val_annotations.txt").open("a") as file:
        file.write("val_11.JPEG\tn09\t0\t0\t1\t1\n")
    with pytest.raises(DataError, match=r"\(line 2: no file 'val_10.JPEG', line 4: no class 'n09'\): unpack Tiny-Imag"):
        tiny_imagenet(tmp_path)(tmp_path)
    with pytest.raises(DataError, match=r"^no 'val/val_annotations.txt' in '.*/train': give the folder of Tiny-ImageN"):
        tiny_imagenet(tmp_path / "train")(tmp_path)


def tissues(folder: Path, with_list: bool = True) -> Path:
    """Four images of BACH, with the list of their classes."""
    rows = (("Normal", "n001"), ("Benign", "b001"), ("InSitu", "is001"), ("Invasive", "iv001"))
    for level, (tissue, name) in enumerate(rows):
        paint(folder / "Photos" / tissue / f"{name}.tif", level, "tiff")
    if with_list:
        text = "".join(f"{name}.tif,{tissue}\n" for tissue, name in reversed(rows))
        (folder / "Photos" / "microscopy_ground_truth.csv").write_text(text)
    (folder / "WSI").mkdir()
    return folder


@pytest.mark.parametrize("below", ["", "Photos"])
def test_bach(below: str, tmp_path: Path) -> None:
    source = bach(tissues(tmp_path) / below)(tmp_path)
    assert source.classes == ("Normal", "Benign", "InSitu", "Invasive")
    assert (pairs(source.train), source.test) == ([(0, 0), (1, 1), (2, 2), (3, 3)], None)


def test_bach_whose_list_says_other_than_its_folders(tmp_path: Path) -> None:
    list_of_classes = tissues(tmp_path) / "Photos" / "microscopy_ground_truth.csv"
    list_of_classes.write_text("n001.tif,Normal\nb001.tif,In situ\nis009.tif,InSitu\n")
    with pytest.raises(DataError, match=r"says other than the folders beside it of 'b001.tif', 'is009.tif': unpack"):
        bach(tmp_path)(tmp_path)
    with pytest.raises(DataError, match=r"has no folders Normal, Benign, .*nor has its Photos: give the folder of B"):
        bach(tmp_path / "WSI")(tmp_path)


def test_the_two_are_recognised_by_what_lies_in_them(tmp_path: Path) -> None:
    assert isinstance(_find(tiny(tmp_path / "tiny")), TinyImageNet)
    assert isinstance(_find(tissues(tmp_path / "bach")), Bach)
    assert isinstance(_find(tissues(tmp_path / "bare", with_list=False)), Bach)
    for name in ("Normal", "Benign", "InSitu", "Invasive"):
        paint(tmp_path / "mine" / name / "a.png", 1)
    assert not isinstance(_find(tmp_path / "mine"), Bach), "a folder of these classes, and no sign of BACH"


READERS: list[Callable[[Path], Any]] = [image_table, tiny_imagenet, bach]


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_names_its_folder_from_everywhere(
    reader: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(reader(Path("x"))) == str(tmp_path / "x")
    assert reader(Path("x")) == reader(tmp_path / "x")
