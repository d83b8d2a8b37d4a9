"""A folder as a place for artifacts."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from autoaug.artifacts._place import checked_name


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Folder:
    """A folder of this host, or of a file system that hosts share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def below(self, *names: str) -> "Folder":
        return Folder(self.path.joinpath(*(checked_name(name, self, "folder") for name in names)))

    def read(self, name: str) -> bytes:
        try:
            return self.file(name).read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(errno.ENOENT, str(error.strerror), name) from None

    def write(self, name: str, content: bytes) -> None:
        write_atomically(self.file(name), lambda file: file.write(content))

    def file(self, name: str) -> Path:
        return self.path / checked_name(name, self, "file")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def check(self) -> None:
        there = existing(self.path)
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise ValueError(f"no checkpoints can be kept in {self}: {there} is no folder to write to")


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
