"""Storage URLs: what a reference stands for, what may be shown of it, and how its engine is set up."""

import os
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

CLOCKS = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())",
}
"""Seconds since 1970 by the server's own clock: leases must not depend on clocks that differ between hosts."""


def resolve(reference: str) -> str:
    """The storage URL that a reference stands for: a URL, `env:NAME`, or `file:PATH` with the URL in its first line."""
    kind, _, rest = reference.partition(":")
    if kind == "env":
        if not os.environ.get(rest):
            raise ValueError(f"storage {reference!r}: the environment variable {rest} is not set: export it")
        return os.environ[rest]
    if kind == "file":
        try:
            return Path(rest).read_text().splitlines()[0].strip()
        except (OSError, IndexError) as error:
            raise ValueError(f"storage {reference!r}: {rest} holds no URL ({type(error).__name__})") from None
    return reference


def portable(reference: str) -> str:
    """A reference for another process: without a relative path, and without a password."""
    if reference.startswith(("env:", "file:")):
        return reference
    url = make_url(reference)
    if url.get_backend_name() == "sqlite" and url.database:
        return url.set(database=str(Path(url.database).absolute())).render_as_string()
    if url.password or url.query:
        os.environ["AUTOAUG_STORAGE"] = reference  # inherited by workers, and in no message or pickle
        return "env:AUTOAUG_STORAGE"
    return reference


def show_url(url: str) -> str:
    """A storage URL that may be printed: without its password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(
            f"{url.split('@')[-1]!r} is no storage URL: write sqlite:///study.db, "
            "postgresql+psycopg://user@host/database, env:NAME or file:PATH"
        ) from None
    secret = {key: "***" for key in parsed.query if "pass" in key.lower()}
    return parsed.update_query_dict(secret).render_as_string(hide_password=True)


def engine_options(url: str) -> dict[str, Any]:
    if make_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}  # seconds to wait for another writer, instead of 5
    return {"pool_pre_ping": True}


def prepare_sqlite(engine: sql.Engine) -> None:
    """Write-ahead log: readers such as the dashboard do not block the writer, and a commit costs no full sync."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()  # connections opened from here on are set up by the listener

    @sql.event.listens_for(engine, "connect")
    def relax(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")
