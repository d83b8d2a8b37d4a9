"""File systems of our own, which tests may fill up and make read-only, and a user who may not write everywhere."""

import os
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
"""A user who owns nothing."""


@contextmanager
def disk(folder: Path, size: str = "32m") -> Iterator[Path]:
    """A small file system at a folder, for as long as the block runs."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def make_read_only(folder: Path) -> None:
    """Let nobody write there any more, root included."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def fill(folder: Path) -> Path:
    """Take the last byte of a file system; returns the file that does."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return filler


def bound_by_permissions(do: Callable[[], object]) -> None:
    """Do something as a user whom the permissions of files bind: in a child process where we are root."""
    if os.getuid():
        do()
        return
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            do()
            os._exit(0)
        except BaseException:
            os.write(writer, traceback.format_exc()[-4000:].encode())
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as said:
        words = said.read()
    assert os.waitpid(child, 0)[1] == 0, words
