"""Whether the file of an open storage is still there and still the same; where it was deleted, what it held is rescued.

SQLite notices nothing of this: a file that was deleted takes writes for as long as it is open, and they go with it.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from autoaug.store._retrying import Moved
from autoaug.store._url import index_of, log_of
from autoaug.text import read

DESCRIPTORS = Path("/proc/self/fd")
"""Where Linux lists the files that this process has open."""

Inode = tuple[int, int]
"""Device and number: what a file is, whatever it is called."""

FOREIGN = ("malformed", "not a database", "no such table")
"""What SQLite says of a file that held our tables and now holds something else."""


class FileWatch:
    """Look at the file of a SQLite storage whenever a connection is made or taken from the pool.

    Once it is not what it was, no connection is given any more, whatever lies there then: who goes on opens it anew.
    """

    def __init__(self, engine: sql.Engine, path: Path, identity: str, display_url: str) -> None:
        """Watch from now on.

        Args:
            identity: what the storage is known by, as its file says.
        """
        self.engine, self.path, self.identity, self.display_url = engine, path.absolute(), identity, display_url
        self.inode, self.content, self.lock = inode_of(self.path), content_of(self.path), threading.Lock()
        self.found = ""
        """What was found, in one sentence; empty while all is well."""
        sql.event.listen(engine, "do_connect", self.before_connecting)
        sql.event.listen(engine, "checkout", self.before_using)

    def before_connecting(self, *_: Any) -> None:
        """Refuse to open what lies there now: SQLite would make a new file where there is none.

        Raises:
            Moved: it is not what was opened.
        """
        if self.found or inode_of(self.path) != self.inode:
            self.refuse(None)

    def before_using(self, connection: sqlite3.Connection, *_: Any) -> None:
        """Refuse a connection to what is not the storage any more.

        Raises:
            Moved: the file is gone, or another one, or holds something else.
        """
        if self.found or inode_of(self.path) != self.inode:
            self.refuse(connection)
        self.check(connection)
        if (content := content_of(self.path)) != self.content:  # SQLite moved its log there, or it was overwritten
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as anew:
                self.check(anew)  # what a connection has read before it does not read again
            self.content = content

    def check(self, connection: sqlite3.Connection) -> None:
        """Refuse what the file holds if that is not the storage.

        Raises:
            Moved: it cannot be read, or is known by another name.
        """
        try:
            known = connection.execute("SELECT value FROM autoaug_meta WHERE name = 'id'").fetchall()
        except sqlite3.DatabaseError as error:
            if not any(words in read(error) for words in FOREIGN):
                raise
            self.refuse(None, f"its file was overwritten and cannot be read now ({read(error)})")
        else:
            if known != [(self.identity,)]:
                self.refuse(None, "its file was overwritten, and now holds another storage")

    def refuse(self, connection: sqlite3.Connection | None, found: str = "") -> None:
        """Keep what was found, rescue what only this process can still read, and raise.

        Raises:
            Moved: always.
        """
        with self.lock:
            if not self.found:
                self.found = found or self.what_happened(connection)
                self.engine.dispose()
        raise Moved(f"storage {self.display_url} is not what was opened: {self.found}")

    def what_happened(self, connection: sqlite3.Connection | None) -> str:
        """Return what became of a file that is not in its place, and where what it held is now."""
        happened = "another file was put in its place" if self.path.exists() else "its file is gone"
        names = None if self.inode is None else names_of(self.inode)
        if names:
            return f"{happened}; it lies at {names[0]} now"
        rescued = connection and rescue(connection, self.path)
        if not rescued:
            return happened
        # SQLite would take the log for that of whatever file is put there, and spoil it
        for log in (log_of(self.path), index_of(self.path)):
            if (inode := inode_of(log)) and names_of(inode):
                log.unlink(missing_ok=True)
        return f"{happened}; what had been written is rescued in {rescued}"


def inode_of(path: Path) -> Inode | None:
    """Return which file lies at a path; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def content_of(path: Path) -> tuple[int, int] | None:
    """Return size and time of change of a file, which are others once it was written; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def names_of(inode: Inode) -> list[str] | None:
    """Return the paths of a file that this process has open; none where it was deleted, None where nobody knows."""
    if not DESCRIPTORS.is_dir():
        return None
    return list(dict.fromkeys(names_among(inode)))


def names_among(inode: Inode) -> Iterator[str]:
    for descriptor in DESCRIPTORS.iterdir():
        with suppress(OSError):  # it was closed meanwhile
            if inode_of(descriptor) == inode and inode_of(Path(name := os.readlink(descriptor))) == inode:
                yield name


def rescue(connection: sqlite3.Connection, path: Path) -> Path | None:
    """Copy what a connection can still read to a new file beside the one that is gone; None where that fails."""
    names = (path.with_name(f"{path.stem}.rescued{number}{path.suffix}") for number in ("", "-2", "-3", "-4"))
    target = next((name for name in names if claim(name)), None)
    if target is None:
        return None
    try:
        with closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)
    except sqlite3.Error:
        with suppress(OSError):
            target.unlink()
        return None
    return target


def claim(path: Path) -> bool:
    """Make an empty file, of which nobody else has the name; False where that cannot be."""
    try:
        path.touch(exist_ok=False)
    except OSError:
        return False
    return True
