"""What is wrong with a storage that cannot be read: said in one sentence, with the file or table and what to do."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sql
from optuna.exceptions import StorageInternalError
from optuna.storages._rdb.models import BaseModel, VersionInfoModel
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from autoaug.store._retrying import Unreachable, cause
from autoaug.store._schema import ALWAYS_THERE, META, SCHEMA_VERSION, meta
from autoaug.store._secrets import parse
from autoaug.store._url import is_plain_file
from autoaug.text import read

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

RESTORE = "restore a copy of the storage, or give another --storage"

FIXES = {
    "not a database": "give another file",
    "readonly": "copy it to where you may write",
    "unable to open": "copy it to where you may write",
    "malformed": RESTORE,
}
"""What to do, by what SQLite says."""


class Damaged(ValueError):
    """A storage that holds what no autoaug has written, or no longer holds what one has."""


class Shown(Protocol):
    """Whoever has a storage that can be named."""

    shown: str


def told(
    what: str, *but: type[Exception]
) -> Callable[[Callable[Concatenate[Any, Given], Answer]], Callable[Concatenate[Any, Given], Answer]]:
    """A method that reads `what`: rows that make no sense, or a table that is gone, raise `Damaged`.

    Args:
        but: what the method raises of its own.
    """

    passed: tuple[type[Exception], ...] = (Damaged, Unreachable, *but)

    def wrap(method: Callable[Concatenate[Any, Given], Answer]) -> Callable[Concatenate[Any, Given], Answer]:
        @wraps(method)
        def reading(self: Shown, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
            try:
                return method(self, *args, **kwargs)
            except passed:
                raise
            except (LookupError, TypeError, ValueError, AttributeError, SQLAlchemyError, StorageInternalError) as error:
                said = reason(error)
                raise Damaged(f"storage {self.shown} is damaged: {what} cannot be read ({said}): {RESTORE}") from error

        return reading

    return wrap


def reason(error: BaseException) -> str:
    """The database's own words, or what Python says of a value."""
    found = cause(error) or error
    said = read(found.orig) if isinstance(found, DBAPIError) else f"{type(found).__name__}: {read(found)}"
    return said.partition("\n")[0]


def fix(said: str) -> str:
    """What to do about what a database says, as the end of a sentence; empty where that is not known."""
    return next((f": {do}" for words, do in FIXES.items() if words in said), "")


def refuse_unreadable_file(parsed: sql.URL, shown: str, existing: bool) -> None:
    """Refuse a file that is no storage before it is opened, which would make one of it.

    The file is never read here: to close it would cancel the locks that SQLite holds on it for this process, and
    then others write over what this one writes. Whether its content is a database SQLite says itself.

    Args:
        existing: refuse an empty file too: nothing can be read there.
    """
    path = Path(parsed.database or "")
    if not is_plain_file(parsed) or not path.exists():
        return
    if not path.is_file():
        raise ValueError(f"storage {shown} cannot be opened: {path} is no file: give another")
    if existing and not path.stat().st_size:
        raise ValueError(f"storage {shown} is an empty file: run a study first, or give another --storage")
    for place in (path, path.absolute().parent):
        if not os.access(place, os.W_OK):
            raise ValueError(f"storage {shown} cannot be opened: {place} is read-only: copy it to where you may write")


def refuse_damaged(url: str, options: Mapping[str, Any], shown: str, existing: bool) -> None:
    """Refuse a storage of which tables are missing, before they are made anew and empty.

    Args:
        options: of the engine: how long to wait for an answer.
        existing: refuse a database without studies too: nothing is to be made there.

    Raises:
        ValueError: it names the file or the table, and what to do.
    """
    parsed = parse(url)
    refuse_unreadable_file(parsed, shown, existing)
    if is_plain_file(parsed) and not Path(parsed.database or "").exists():
        return
    with sql.create_engine(url, poolclass=sql.NullPool, **options).connect() as connection:
        # what says that tables were made is read before them: others may be making them at this moment
        version = meta(connection, "schema") if sql.inspect(connection).has_table(META.name) else None
        expected = [table.name for table in ALWAYS_THERE] + optuna_tables(connection)
        there = set(sql.inspect(connection).get_table_names())
    if version is not None:
        refuse_missing_tables(there, expected, version, shown)
    elif existing:  # or else it is new, or just being made by another process
        holds = f"its tables are {', '.join(sorted(there))}" if there else "it has no tables"
        raise ValueError(f"storage {shown} holds no studies of autoaug, {holds}: give another --storage")


def optuna_tables(connection: sql.Connection) -> list[str]:
    """Optuna's tables, where it once made all of them: the row with its version is the last that it writes."""
    if not sql.inspect(connection).has_table(VersionInfoModel.__tablename__):
        return []
    made = connection.scalar(sql.select(sql.func.count()).select_from(VersionInfoModel))
    return list(BaseModel.metadata.tables) if made else []


def refuse_missing_tables(there: set[str], expected: Iterable[str], version: str, shown: str) -> None:
    """Refuse a storage that was set up and lacks an expected table, or is of a version that there never was."""
    if not version.isdecimal() or int(version) < 1:
        said = f"the table {META.name} says that its schema is {version!r}, and this release reads {SCHEMA_VERSION}"
        raise Damaged(f"storage {shown} is damaged: {said}: {RESTORE}")
    for name in expected:
        if name not in there and int(version) <= SCHEMA_VERSION:
            raise Damaged(f"storage {shown} is damaged: the table {name} is missing: {RESTORE}")


DEFINED = {"task": Mapping, "metric": str, "seed": int, "spaces": Mapping}
"""What every definition of a study holds, and of which kind."""


def checked_definition(found: Any) -> Any:
    """A definition as it was stored; None where there is none.

    Raises:
        TypeError: it is not what a study writes.
    """
    if found is None:
        return None
    for name, kind in DEFINED.items():
        if not isinstance(found[name], kind):
            raise TypeError(f"{name} is {found[name]!r}")
    if not all(isinstance(space, Mapping) for space in found["spaces"].values()):
        raise TypeError(f"spaces is {found['spaces']!r}")
    if found.get("baseline", next(iter(found["spaces"]), None)) not in [*found["spaces"], None]:
        raise TypeError(f"the baseline {found['baseline']!r} is no strategy")
    return found


NUMBERS = ("epoch", "trial", "attempt", "seed", "gpu_seconds", "wall_seconds", "images")
"""Columns of an epoch."""


def checked_epoch(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """An epoch as it was stored.

    Raises:
        TypeError: it is not what a training writes.
    """
    for name in NUMBERS:
        if name in row and not isinstance(row[name], int | float):
            raise TypeError(f"{name} is {row[name]!r}")
    if not isinstance(row["metrics"], Mapping):
        raise TypeError(f"metrics is {row['metrics']!r}")
    for name, value in row["metrics"].items():
        if not isinstance(value, int | float):
            raise TypeError(f"the metric {name!r} is {value!r}")
    return row
