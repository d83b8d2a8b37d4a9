"""What is refused before a storage is opened: files that are none, and storages of which a part is missing."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from autoaug.store._damage import RESTORE, Damaged
from autoaug.store._optuna_tables import expected_tables
from autoaug.store._schema import ALWAYS_THERE, META, SCHEMA_VERSION, meta
from autoaug.store._secrets import parse
from autoaug.store._url import is_plain_file

FIXES = {
    "not a database": "give another file",
    "readonly": "copy it to where you may write",
    "unable to open": "copy it to where you may write",
    "malformed": RESTORE,
}
"""What to do, by what SQLite says."""


def fix(message: str) -> str:
    """Return what to do about the message of a database, as the end of a sentence; empty where that is not known."""
    return next((f": {do}" for words, do in FIXES.items() if words in message), "")


def refuse_unreadable_file(parsed: sql.URL, display_url: str, existing: bool) -> None:
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
        raise ValueError(f"storage {display_url} cannot be opened: {path} is no file: give another")
    if existing and not path.stat().st_size:
        raise ValueError(f"storage {display_url} is an empty file: run a study first, or give another --storage")
    for locked in (path, path.absolute().parent):
        if not os.access(locked, os.W_OK):
            fix = f"{locked} is read-only: copy it to where you may write"
            raise ValueError(f"storage {display_url} cannot be opened: {fix}")


def refuse_damaged(url: str, options: Mapping[str, Any], display_url: str, existing: bool) -> None:
    """Refuse a storage of which tables are missing, before they are made anew and empty.

    Args:
        options: of the engine: how long to wait for an answer.
        existing: refuse a database without studies too: nothing is to be made there.

    Raises:
        ValueError: it names the file or the table, and what to do.
    """
    parsed = parse(url)
    refuse_unreadable_file(parsed, display_url, existing)
    if is_plain_file(parsed) and not Path(parsed.database or "").exists():
        return
    with sql.create_engine(url, poolclass=sql.NullPool, **options).connect() as connection:
        # what says that tables were made is read before them: others may be making them at this moment
        version = meta(connection, "schema") if sql.inspect(connection).has_table(META.name) else None
        expected = {table.name: since for table, since in ALWAYS_THERE.items()}
        expected |= dict.fromkeys(expected_tables(connection), 1)
        present = set(sql.inspect(connection).get_table_names())
    if version is not None:
        refuse_missing_tables(present, expected, version, display_url)
    elif existing:  # or else it is new, or just being made by another process
        holds = f"its tables are {', '.join(sorted(present))}" if present else "it has no tables"
        raise ValueError(f"storage {display_url} holds no studies of autoaug, {holds}: give another --storage")


def refuse_missing_tables(present: set[str], expected: Mapping[str, int], version: str, display_url: str) -> None:
    """Refuse a storage that was set up and lacks a table, or is of a version that there never was.

    Args:
        expected: the tables that it must have, each since a version.
    """
    if not version.isdecimal() or int(version) < 1:
        wrong = f"the table {META.name} says that its schema is {version!r}, and this release reads {SCHEMA_VERSION}"
        raise Damaged(f"storage {display_url} is damaged: {wrong}: {RESTORE}")
    for name, since in expected.items():
        if name not in present and since <= int(version) <= SCHEMA_VERSION:
            raise Damaged(f"storage {display_url} is damaged: the table {name} is missing: {RESTORE}")
