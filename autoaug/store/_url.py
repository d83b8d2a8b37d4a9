"""Storage URLs: what is given as one, what it stands for, and how its engine is set up."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from autoaug.store._mounts import network_file_system
from autoaug.store._secrets import FORMS, parse, show_storage, show_url

CLOCKS = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())",
}
"""Seconds since 1970 by the server's own clock: leases must not depend on clocks that differ between hosts."""


def resolve(storage_url: str) -> str:
    """Return the URL that is meant: itself, that of `env:NAME`, or the first line of the file of `file:PATH`.

    Raises:
        ValueError: there is none; the message says where it was looked for, and shows no password.
    """
    kind, _, rest = storage_url.partition(":")
    if kind not in ("env", "file"):
        return storage_url
    shown = show_storage(storage_url)
    if kind == "env" and not os.environ.get(rest):
        raise ValueError(f"storage {shown!r}: the environment variable {shown[4:]} is not set: export it")
    try:
        url = os.environ[rest] if kind == "env" else Path(rest).read_text().splitlines()[0].strip()
    except (OSError, IndexError, UnicodeDecodeError) as error:
        why = f"{shown[5:]} holds no URL ({type(error).__name__})"
        raise ValueError(f"storage {shown!r}: {why}: write it there") from None
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"storage {shown!r} holds no storage URL: write there {FORMS}") from None
    return url


def usual_storage() -> str:
    """Return the storage that is meant where nobody names one: AUTOAUG_STORAGE, or else autoaug.db in this folder."""
    return "env:AUTOAUG_STORAGE" if os.environ.get("AUTOAUG_STORAGE") else "sqlite:///autoaug.db"


def portable(storage_url: str) -> str:
    """Return what another process can open: without a relative path, and without a password."""
    if storage_url.startswith("env:"):
        return storage_url
    if storage_url.startswith("file:"):
        return f"file:{Path(storage_url.removeprefix('file:')).absolute()}"
    url = parse(storage_url)
    if is_plain_file(url):
        return url.set(database=str(Path(url.database or "").absolute())).render_as_string()
    if url.password or url.query:
        os.environ["AUTOAUG_STORAGE"] = storage_url  # inherited by workers, and in no message or pickle
        return "env:AUTOAUG_STORAGE"
    return storage_url


def refuse_unusable(url: str) -> None:
    """Refuse what cannot work, before a connection is tried and in plainer words than those of the drivers.

    Raises:
        ValueError: it is no database that we know, its driver is not installed, or its file cannot be there.
    """
    parsed, shown = parse(url), show_url(url)
    if parsed.get_backend_name() not in CLOCKS:
        raise ValueError(f"storage {shown} cannot be opened: studies are stored in {' or '.join(CLOCKS)} only")
    try:
        parsed.get_dialect().import_dbapi()
    except (NoSuchModuleError, ImportError):
        fix = "pip install 'autoaug[postgres]', and write postgresql+psycopg://"
        raise ValueError(f"storage {shown} cannot be opened: its driver is not installed: {fix}") from None
    folder = Path(parsed.database or "").parent
    if is_plain_file(parsed) and not folder.is_dir():
        raise ValueError(f"storage {shown} cannot be opened: there is no folder {folder}: make it first")
    if is_plain_file(parsed) and (kind := network_file_system(folder.resolve())):
        raise ValueError(
            f"storage {shown} lies on a network file system ({kind}), where SQLite's locks fail: give a file on a disk "
            "of this machine, or a PostgreSQL server"
        )


def read_only_asked(url: str) -> tuple[str, bool]:
    """Return a URL without SQLite's `mode=ro`, as a path and not a URI, and whether it had that: it is to be read."""
    parsed = parse(url)
    asked = parsed.query.get("mode") == "ro" or parsed.query.get("immutable") == "1"
    if parsed.get_backend_name() != "sqlite" or not asked:
        return url, False
    name = parsed.database or ""
    if name.startswith("file:"):
        name = unquote(re.sub(r"^file:(//(localhost)?(?=/))?", "", name))
    plain = parsed.set(database=name).difference_update_query(["mode", "immutable", "uri"])
    return plain.render_as_string(hide_password=False), True


def address_of(storage_url: str) -> str:
    """Return where a storage lies, as it may be kept: the path of its file, or a server's URL without its secrets."""
    url = read_only_asked(resolve(storage_url))[0]
    path = file_of(parse(url))
    return str(path.absolute()) if path else show_url(url)


def is_new(storage_url: str) -> bool:
    """Whether opening a storage would create its file. Where only its log is left, that is refused."""
    path = file_of(parse(read_only_asked(resolve(storage_url))[0]))
    return path is not None and not path.exists() and not has_log(path)


def is_file(storage_url: str) -> bool:
    """Whether a storage is a file of this host."""
    return parse(resolve(storage_url)).get_backend_name() == "sqlite"


def is_plain_file(parsed: sql.URL) -> bool:
    """Whether a storage is a plain file: not a server, not memory, not one of SQLite's own URIs."""
    name = parsed.database or ":memory:"
    return parsed.get_backend_name() == "sqlite" and not name.startswith((":memory:", "file:"))


def file_of(parsed: sql.URL) -> Path | None:
    """Return the file of a storage; None where it is no plain file."""
    return Path(parsed.database or "") if is_plain_file(parsed) else None


def log_of(path: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of a file."""
    return path.with_name(f"{path.name}-wal")


def index_of(path: Path) -> Path:
    """Return where SQLite keeps the index of that log, which its processes share."""
    return path.with_name(f"{path.name}-shm")


def has_log(path: Path) -> bool:
    """Whether writes are in the log that may not be in the file yet."""
    return log_of(path).exists() and log_of(path).stat().st_size > 0


def engine_options(url: str, retry_seconds: float) -> dict[str, Any]:
    """Return how SQLAlchemy is to connect: for how long a file's lock is awaited, and that dead servers are noticed."""
    if make_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": retry_seconds}}  # seconds to wait for another writer, instead of 5
    alive = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    given = make_url(url)
    ours = alive if given.drivername.startswith("postgresql+psycopg") else {}
    return {"pool_pre_ping": True, "connect_args": {name: ours[name] for name in ours if name not in given.query}}


def prepare_sqlite(engine: sql.Engine) -> None:
    """Turn the write-ahead log on: readers such as the dashboard block no writer, and a commit costs no full sync."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()  # connections opened from here on are set up by the listener

    @sql.event.listens_for(engine, "connect")
    def relax(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")
