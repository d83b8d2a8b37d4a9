"""What is refused before a storage is opened: files that are none, and storages of which a part is missing."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from autoaug.store._damage import RESTORE, Damaged
from autoaug.store._optuna_tables import expected_tables
from autoaug.store._schema import ALWAYS_THERE, META, SCHEMA_VERSION, TABLES, meta, refuse_later
from autoaug.store._secrets import parse
from autoaug.store._url import has_log, index_of, is_plain_file, log_of

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
    if not is_plain_file(parsed):
        return
    if not path.exists():
        # its log SQLite would remove when it makes a new file; another process may just be making both
        if has_log(path) and not path.exists():
            raise ValueError(
                f"storage {display_url} cannot be opened: {path} is gone, and {log_of(path)} holds its latest writes: "
                "put it back, or remove the log to begin anew"
            )
        return
    if not path.is_file():
        raise ValueError(f"storage {display_url} cannot be opened: {path} is no file: give another")
    if existing and not path.stat().st_size:
        raise ValueError(f"storage {display_url} is an empty file: run a study first, or give another --storage")


def why_unwritable(path: Path | None) -> str:
    """Return why nothing can be written to a file or beside it; empty where it can, and where there is no file."""
    if path is None or not path.exists():
        return ""
    places = (path, path.absolute().parent)
    return next((f"{place} is read-only" for place in places if not os.access(place, os.W_OK)), "")


def refuse_unreadable_log(path: Path, display_url: str) -> None:
    """Refuse to read a file without the writes that are still in its write-ahead log.

    Raises:
        ValueError: there are some, and SQLite would have to write a file to read them, and may not.
    """
    if has_log(path) and not index_of(path).exists() and not os.access(path.absolute().parent, os.W_OK):
        raise ValueError(
            f"storage {display_url} cannot be read here: its latest writes are still in {log_of(path)}, and SQLite "
            "reads them only where it may write: copy both files to such a place"
        )


def refuse_damaged(url: str, options: Mapping[str, Any], display_url: str, existing: bool) -> str:
    """Refuse a storage of which tables are missing, before they are made anew and empty.

    Args:
        options: of the engine: how long to wait for an answer.
        existing: refuse a database without studies too: nothing is to be made there.

    Returns:
        Why a server takes no writes; empty where it does.

    Raises:
        ValueError: it names the file or the table, and what to do.
    """
    parsed = parse(url)
    if is_plain_file(parsed) and not Path(parsed.database or "").exists():
        if existing:
            raise ValueError(f"there is no storage {display_url} yet: run a study first, or give another --storage")
        return ""
    with sql.create_engine(url, **{**options, "poolclass": sql.NullPool}).connect() as connection:
        # what says that tables were made is read before them: others may be making them at this moment
        version = meta(connection, "schema") if sql.inspect(connection).has_table(META.name) else None
        expected = {table.name: since for table, since in ALWAYS_THERE.items()}
        expected |= dict.fromkeys(expected_tables(connection), 1)
        present = set(sql.inspect(connection).get_table_names())
        why = why_refused(connection) if version is not None else ""
    if version is not None:
        refuse_missing_tables(present, expected, version, display_url)
    elif existing:  # or else it is new, or just being made by another process
        holds = f"its tables are {', '.join(sorted(present))}" if present else "it has no tables"
        raise ValueError(f"storage {display_url} holds no studies of autoaug, {holds}: give another --storage")
    return why


REFUSES = {
    "pg_is_in_recovery()": "the server is a standby",
    "current_setting('transaction_read_only') = 'on'": "the server takes no writes",
    f"NOT has_table_privilege('{META.name}', 'UPDATE')": "this role may only read",
}
"""Why a PostgreSQL server takes no writes, by the question that it answers."""


def why_refused(connection: sql.Connection) -> str:
    """Return why a server takes no writes; empty where it does."""
    if connection.dialect.name != "postgresql":
        return ""
    answers = connection.exec_driver_sql(f"SELECT {', '.join(REFUSES)}").one()
    return next((why for why, yes in zip(REFUSES.values(), answers, strict=True) if yes), "")


def refuse_outdated(connection: sql.Connection, display_url: str) -> None:
    """Refuse to read tables of an earlier version where they cannot be brought up to date, or of a later one."""
    version = int(meta(connection, "schema") or 0)
    refuse_later(version, display_url)
    present = set(sql.inspect(connection).get_table_names())
    if version < SCHEMA_VERSION or not present.issuperset(TABLES.tables):
        raise ValueError(
            f"storage {display_url} has autoaug tables of an earlier version, and may only be read: copy it to where "
            "you may write, to bring it up to date"
        )


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
