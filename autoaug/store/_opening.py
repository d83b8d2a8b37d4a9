"""Opening a storage: what is refused, what is brought up to date, and what is only read because nothing may be written.

A reader leaves a storage that it may not write as it is: no table is made, and no version is brought up to date.
"""

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sql

from autoaug.store._migrations import prepare_tables
from autoaug.store._optuna import SharedStorage
from autoaug.store._optuna_tables import fail_trials_without_value, prepare_indexes
from autoaug.store._refusals import (
    refuse_damaged,
    refuse_outdated,
    refuse_unreadable_file,
    refuse_unreadable_log,
    why_unwritable,
)
from autoaug.store._retrying import Moved, RetryPolicy
from autoaug.store._schema import meta
from autoaug.store._secrets import parse
from autoaug.store._url import engine_options, file_of, has_log, index_of, prepare_sqlite, read_only_asked
from autoaug.store._watch import FileWatch


class Opened(NamedTuple):
    """Hold a storage that is open."""

    shared: SharedStorage
    identity: str
    """What it is known by."""
    read_only: str
    """Why nothing may be written there; empty where it may."""


def open_storage(url: str, retry_policy: RetryPolicy, existing: bool) -> Opened:
    """Open a storage; create and change its tables where that is needed, and may be.

    Args:
        existing: refuse what holds no studies yet, and only read what may not be written.

    Raises:
        ValueError: it is refused; the message says why, and what to do.
    """
    display_url = retry_policy.display_url
    url, asked = read_only_asked(url)
    if asked and not existing:
        raise ValueError(f"storage {display_url} is to be read only, and a run writes: leave mode=ro out")
    parsed = parse(url)
    refuse_unreadable_file(parsed, display_url, existing)
    path, options = file_of(parsed), engine_options(url, retry_policy.seconds)
    why = "mode=ro asks for that" if asked else why_unwritable(path)
    if why and not existing:
        raise ValueError(f"storage {display_url} cannot be opened: {why}: copy it to where you may write")
    if why and path:
        refuse_unreadable_log(path, display_url)
        options = reading(path, retry_policy)
    refused = refuse_damaged(url, options, display_url, existing)
    read_only = (why or refused) if existing else ""
    shared = SharedStorage(url, options, retry_policy, skip_table_creation=bool(read_only))
    try:
        identity = (read_identity if read_only else prepare)(shared.engine, display_url)
        if path:
            FileWatch(shared.engine, path, identity, display_url)
    except BaseException:  # it is opened anew, or given up
        shared.engine.dispose()
        raise
    return Opened(shared, identity, read_only)


def prepare(engine: sql.Engine, display_url: str) -> str:
    """Bring the tables up to date, and return what the storage is known by."""
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    prepare_tables(engine, display_url)
    prepare_indexes(engine)
    fail_trials_without_value(engine)
    with engine.connect() as connection:
        return meta(connection, "id") or ""


def read_identity(engine: sql.Engine, display_url: str) -> str:
    """Return what a storage that may not be written is known by.

    Raises:
        ValueError: its tables are those of another version.
    """
    with engine.connect() as connection:
        refuse_outdated(connection, display_url)
        return meta(connection, "id") or ""


def reading(path: Path, retry_policy: RetryPolicy) -> dict[str, Any]:
    """Return how SQLAlchemy is to connect to a file that is only read: anew each time, as it then lies there."""
    return {"poolclass": sql.NullPool, "creator": partial(connect_reading, path, retry_policy)}


def connect_reading(path: Path, retry_policy: RetryPolicy) -> sqlite3.Connection:
    """Return a connection that changes nothing.

    Beside a write-ahead log or its index somebody may be writing, and SQLite then reads all of them, under locks.
    Without them nobody does: it is told so, or else it would make them, and could not open the file where it may not.

    Raises:
        Moved: there is no file any more.
    """
    if not path.exists():
        raise Moved(f"storage {retry_policy.display_url} is not what was opened: its file is gone")
    how = "mode=ro" if has_log(path) or index_of(path).exists() else "immutable=1"
    place = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(place, uri=True, timeout=retry_policy.seconds, check_same_thread=False)
