"""Tables of features in files: a .csv with names of columns, or arrays of several sets in one .npz."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from autoaug.data._features import LEAST, arrays_of, common
from autoaug.data._files import SPLIT_FOLDERS, arrays_in
from autoaug.data._source import PARTS, Source
from autoaug.data._splits import DataError
from autoaug.data._table import SUFFIXES, class_names, lines_of
from autoaug.lookup import suggest

MISSING = {"", "?", "na", "n/a", "nan", "null", "none"}
"""Cells without a value, in upper or lower case."""

WITHIN = re.compile(r"(?P<path>.+\.(?:npz|csv|tsv)):(?P<what>[^:/\\=]+)", re.IGNORECASE)
"""A set in a file, or the column of the classes: "uci.npz:iris", "wine.csv:quality"."""


@dataclass(frozen=True)
class FeatureTable:
    """Read a table of features; see `feature_table`."""

    path: Path
    what: str
    least: int = LEAST

    def __str__(self) -> str:
        return f"{self.path}:{self.what}"

    def __call__(self, root: Path) -> Source:
        """Read the file. `root` is not used: the path is absolute."""
        if not self.path.is_file():
            raise DataError(f"no file at {str(self.path)!r}: give the path of an existing table of features")
        parts, classes = self.of_lines() if self.path.suffix.lower() in SUFFIXES else self.of_arrays()
        source = common(parts, classes, self.least)
        if not source.classes:
            raise DataError(f"no class of data '{self}' has {self.least} training rows: give feature_table(least=...)")
        return source

    def of_arrays(self) -> tuple[Mapping[str, tuple[numpy.ndarray, numpy.ndarray]], tuple[str, ...]]:
        """Return the rows of a set in an .npz file, by split, and the names of the classes."""
        arrays = arrays_in(self.path)
        names = {part: ["", *(f"_{name}" for name in SPLIT_FOLDERS[part])] for part in PARTS}
        names = {**names, **{part: names[part][1:] for part in ("val", "test")}}
        found = {
            part: (arrays[f"{self.what}_x{end}"], arrays.get(f"{self.what}_y{end}"))
            for part, ends in names.items()
            for end in ends
            if f"{self.what}_x{end}" in arrays
        }
        if "train" not in found:
            sets = dict.fromkeys(match[1] for name in arrays if (match := re.fullmatch(r"(.+)_x(?:_\w+)?", name)))
            raise DataError(f"no set {self.what!r} in {str(self.path)!r}: {suggest(self.what, sets)}")
        lacking = [part for part, (_, y) in found.items() if y is None]
        if lacking:
            raise DataError(f"set {self.what!r} in {str(self.path)!r} has no classes for {lacking[0]}: add its array y")
        parts = {part: arrays_of(pair, f"{part} {self.what}") for part, pair in found.items()}
        every = numpy.concatenate([[0], *(y for _, y in parts.values())])
        least, most = int(every.min()), int(every.max())
        if least < 0 or most > 10_000:
            raise DataError(
                f"the classes of {self.what!r} in {str(self.path)!r} run from {least} to {most}: give 0 to K-1"
            )
        return parts, tuple(map(str, range(most + 1)))

    def of_lines(self) -> tuple[Mapping[str, tuple[numpy.ndarray, numpy.ndarray]], tuple[str, ...]]:
        """Return the rows of a .csv file, all to train on, and the names of the classes."""
        lines = list(lines_of(self.path))
        header = [name.strip() for name in lines[0][1]]
        if header.count(self.what) != 1:
            where = "several columns" if self.what in header else "no column"
            raise DataError(f"{str(self.path)!r} has {where} {self.what!r}: {suggest(self.what, header)}")
        for line, cells in lines[1:]:
            if len(cells) != len(header):
                found = f"{len(cells)} cells instead of {len(header)}"
                raise DataError(f"line {line} of {str(self.path)!r} has {found}: mend or remove it")
        at = header.index(self.what)
        rows = [[cell.strip() for cell in cells] for _, cells in lines[1:]]
        empty = [line for (line, _), row in zip(lines[1:], rows, strict=True) if row[at].lower() in MISSING]
        if empty or not rows or len(header) < 2:
            what = f"line {empty[0]} has no class" if empty else "it has no rows" if len(header) > 1 else "no feature"
            raise DataError(f"{str(self.path)!r} is no table to learn {self.what!r} from: {what}; mend or remove it")
        classes = class_names(row[at] for row in rows)
        number_of = {name: number for number, name in enumerate(classes)}
        columns = [as_columns([row[k] for row in rows]) for k in range(len(header)) if k != at]
        y = numpy.array([number_of[row[at]] for row in rows])
        return {"train": arrays_of((numpy.concatenate(columns, axis=1), y), "train")}, classes


def as_columns(cells: Sequence[str]) -> numpy.ndarray:
    """Return a column of cells as features [N, M]: of numbers one, of categories one for each, NaN where none is."""
    missing = numpy.array([cell.lower() in MISSING for cell in cells])
    try:
        numbers = [numpy.nan if none else float(cell) for cell, none in zip(cells, missing, strict=True)]
    except ValueError:
        values = sorted({cell for cell, none in zip(cells, missing, strict=True) if not none})
        hot = numpy.array([[cell == value for value in values] for cell in cells], dtype=numpy.float64)
        return numpy.where(missing[:, None], numpy.nan, hot)
    return numpy.array(numbers)[:, None]


def feature_table(path: Path | str, what: str, least: int = LEAST) -> FeatureTable:
    """Make a dataset of a table of features in a file; as a text "wine.csv:quality" or "uci.npz:iris".

    Of a .csv or .tsv file, whose first line names the columns, `what` is the column of the classes. All others are
    features: numbers, or categories, of which each becomes a feature of its own; empty cells, "?" and "NA" are missing.
    Of an .npz file `what` is one of its sets, with arrays `<what>_x` [N, D] and `<what>_y` [N], or these with `_train`,
    `_val` or `_valid`, and `_test` behind them; NaN is missing. Then all is as with `tabular`.

    Args:
        least: classes with fewer training rows are left out, since they cannot be in all splits; the plan says so.
    """
    return FeatureTable(Path(path).expanduser().absolute(), what, least)


def named_table(data: str) -> FeatureTable | None:
    """Return the table that a text names; None where it names none."""
    match = WITHIN.fullmatch(data)
    return feature_table(match["path"], match["what"]) if match else None
