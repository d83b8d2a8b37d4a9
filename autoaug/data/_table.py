"""A dataset that is listed in a table: a path and a class in each line of a .csv or .tsv file."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import torch

from autoaug.data._files import SPLIT_FOLDERS
from autoaug.data._source import PARTS, Source
from autoaug.data._splits import DataError, Split
from autoaug.lookup import suggest
from autoaug.photos import ImageFiles
from autoaug.text import agreeing, enumerated

COLUMNS = {
    "image": ("path", "file", "filename", "file_name", "filepath", "image", "image_path"),
    "label": ("label", "class", "target", "class_name"),
    "split": ("split", "subset", "partition"),
}
"""What the columns may be called, in upper or lower case, where the user does not say."""

SUFFIXES = (".csv", ".tsv")


class Row(NamedTuple):
    """One image of a table."""

    line: int
    """Of the file, counted from 1."""
    path: Path
    name: str
    """The path as it stands there."""
    label: str
    part: str


class Wrong(NamedTuple):
    """A line that cannot be used, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class ImageTable:
    """Read the images that a table lists; see `image_table`."""

    path: Path
    image: str | None = None
    label: str | None = None
    split: str | None = None

    def __str__(self) -> str:
        return str(self.path)

    def __call__(self, root: Path) -> Source:
        """Read the table, and look whether its images are there. `root` is not used: the path is absolute."""
        lines = lines_of(self.path)
        header = [name.strip() for name in next(lines)[1]]
        columns = {what: column(what, getattr(self, what), header, self.path) for what in COLUMNS}
        found = [read_row(cells, line, len(header), columns, self.path) for line, cells in lines]
        rows = [each for each in found if isinstance(each, Row)]
        classes = class_names(row.label for row in rows if row.part == "train")
        refuse([*(each for each in found if isinstance(each, Wrong)), *misplaced(rows, classes)], self.path)
        if not classes:
            raise DataError(f"{str(self.path)!r} lists no image to train on: give lines whose split is 'train'")
        parts: dict[str, Any] = {part: split_of([row for row in rows if row.part == part], classes) for part in PARTS}
        return Source(**parts, classes=classes)


def image_table(
    path: Path | str, image: str | None = None, label: str | None = None, split: str | None = None
) -> ImageTable:
    """Make a dataset of a table of images: `Task(data="labels.csv")`.

    The first line names the columns, which `image`, `label` and `split` say, or which are found by their usual names
    (COLUMNS). A path is absolute or relative to the folder of the table. Where there is a split, it is train, val or
    test (`SPLIT_FOLDERS` has other names); without it `load_data` splits. The classes are the texts that stand there,
    in alphabetical order; where all are whole numbers, in the order of these. The text is UTF-8; commas, semicolons or
    tabs lie between the columns.
    """
    return ImageTable(Path(path).expanduser().absolute(), image, label, split)


def text_of(path: Path) -> str:
    """Return the text of a table, without the mark that some programs put before it."""
    if not path.is_file():
        raise DataError(f"no file at {str(path)!r}: give the path of an existing table of images")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is no text in UTF-8: save it as CSV in UTF-8") from error
    if "\0" in text:
        raise DataError(f"{str(path)!r} has null characters, as text in UTF-16 has: save it as CSV in UTF-8")
    return text


def lines_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its cells, the first line always, of the others those that are not empty."""
    text = text_of(path)
    first = text.partition("\n")[0]
    between = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=between, strict=True)
    line = 1  # where a line begins: one in quotes may have several
    try:
        for cells in reader:
            if line == 1 or any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"line {line} of {str(path)!r} is no line of a table ({error}): mend it") from error
    if line == 1:
        raise DataError(f"{str(path)!r} is empty: give a line with the names of the columns, and one for each image")


def column(what: str, given: str | None, header: Sequence[str], path: Path) -> int | None:
    """Return where a column is; None where there is no split.

    Raises:
        DataError: there is none of that name, or there are several.
    """
    wanted = (given,) if given else COLUMNS[what]
    found = [at for at, name in enumerate(header) if name == given or (not given and name.lower() in wanted)]
    if len(found) == 1:
        return found[0]
    has = f"{str(path)!r} has the columns {', '.join(map(repr, header)) or 'none'}"
    say = f"say which by image_table(..., {what}=...)"
    if found:
        raise DataError(f"{has}, of which {len(found)} may be the {what}: {say}")
    if given:
        raise DataError(f"{has}, and no {given!r}: {suggest(given, header)}")
    if what == "split":
        return None
    raise DataError(f"{has}, and none is called {', '.join(wanted)}: name the {what} so, or {say}")


def read_row(cells: list[str], line: int, width: int, columns: Mapping[str, int | None], path: Path) -> Row | Wrong:
    """Return the image of a line, or what is wrong with it."""
    if len(cells) != width:
        return Wrong(line, f"{len(cells)} {agreeing(len(cells), 'cell')} instead of {width}")
    image, label, split = ("train" if at is None else cells[at].strip() for at in columns.values())
    parts = [part for part in PARTS if split.lower() in SPLIT_FOLDERS[part]]
    if not image or not label:
        return Wrong(line, f"no {'image' if not image else 'label'}")
    if not parts:
        return Wrong(line, f"the split {split!r}, which is not train, val or test")
    file = path.parent / Path(image).expanduser()
    return Row(line, file, image, label, parts[0]) if file.is_file() else Wrong(line, f"no file {image!r}")


def misplaced(rows: Sequence[Row], classes: tuple[str, ...]) -> Iterator[Wrong]:
    """Yield the lines of an image that an earlier line has elsewhere, and of classes that no training image has."""
    earlier: dict[Path, Row] = {}
    known = set(classes)
    for row in rows:
        first = earlier.setdefault(row.path, row)
        if (first.label, first.part) != (row.label, row.part):
            yield Wrong(row.line, f"the image of line {first.line}, there {first.label!r} in {first.part}")
        elif known and row.label not in known:
            yield Wrong(row.line, f"the class {row.label!r}, without training images")


def refuse(wrong: Sequence[Wrong], path: Path, most: int = 10) -> None:
    """Raise a DataError that counts the lines that cannot be used, and names the first of them."""
    if wrong:
        count = f"{len(wrong):,} {agreeing(len(wrong), 'line')}"
        named = enumerated([f"line {line}: {reason}" for line, reason in sorted(wrong)], len(wrong), most)
        raise DataError(f"{count} of {str(path)!r} cannot be used ({named}): mend or remove them")


def class_names(labels: Iterator[str]) -> tuple[str, ...]:
    """Return the classes in their order: by number where all are whole numbers, else by name."""
    names = sorted(set(labels))
    return tuple(sorted(names, key=int) if all(name.isdecimal() for name in names) else names)


def split_of(rows: Sequence[Row], classes: tuple[str, ...]) -> Split | None:
    """Return the images of a split; None where there are none."""
    if not rows:
        return None
    number_of = {name: number for number, name in enumerate(classes)}
    images = ImageFiles(tuple(row.path for row in rows))
    return Split(images, torch.tensor([number_of[row.label] for row in rows]), tuple(row.name for row in rows))
