"""The folders of decoded photos and of tables: what lies in them, what is used, and how they stay small. Without torch.

Each dataset of photos is a folder of its own, beside a lock: whoever uses it holds the lock shared, whoever builds it
or takes it away holds it alone. A process that dies, however it dies, holds none any more.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import finalize

from autoaug.photos._errors import DataError
from autoaug.text import LOG

GIB = 2**30
MOST_GIB = 50.0
"""Of all entries together, unless AUTOAUG_CACHE_GIB says otherwise."""

ABOUT, PIXELS, LOOKS = "about.json", "pixels.bin", "looks.npy"
"""The files of an entry: what it is, the bytes of all photos, and what is known of each. The first is dated by use."""

TABLES = "neighbours"
"""The folder beside that of the photos, of tables of nearest neighbours: a file each, dated by use, that is read whole
and then needed no more."""

BUILDING = ".building"
"""What the name of an entry that is not whole ends with."""


class NoRoom(DataError):
    """The cache folder cannot be written, or has no room."""


class Lock:
    """A lock on an entry, by the operating system: it ends with the last photo that needs it, or with the process."""

    def __init__(self, entry: Path) -> None:
        self.path = entry.with_name(f"{entry.name}.lock")
        self.close: Callable[[], object] = lambda: None

    def acquire(self, mode: int) -> bool:
        """Take the lock in a mode of `fcntl.flock`; returns whether it was to be had, where the mode does not wait."""
        while True:
            self.release()
            number = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            self.close = finalize(self, os.close, number)  # once, and before the interpreter takes modules apart
            try:
                fcntl.flock(number, mode)
            except BlockingIOError:
                self.release()
                return False
            with suppress(FileNotFoundError):  # somebody took the file away while this one waited for it
                if os.fstat(number).st_ino == self.path.stat().st_ino:
                    return True

    def acquire_patiently(self, mode: int, why: str) -> None:
        """Take the lock, and say why it takes long where it is not to be had at once."""
        if not self.acquire(mode | fcntl.LOCK_NB):
            LOG.warning("%s", why)
            self.acquire(mode)

    def release(self) -> None:
        """Give the lock back."""
        self.close()


@dataclass(frozen=True)
class CacheEntry:
    """A dataset in the cache, or the nearest neighbours of all images of one, as it is listed."""

    path: Path
    what: str
    """The data, as a task names them."""
    images: int
    shorter: int | None
    """The shorter side of what is kept of each image, in pixels; None: no images are kept."""
    bytes: int
    """On the disk."""
    used: float
    """When it was used last, in seconds since 1970."""


def cache_folder() -> Path:
    """Return where decoded photos are kept: AUTOAUG_CACHE, or autoaug in XDG_CACHE_HOME or ~/.cache."""
    given, caches = os.environ.get("AUTOAUG_CACHE"), os.environ.get("XDG_CACHE_HOME")
    folder = Path(given) if given else Path(caches or "~/.cache") / "autoaug"
    return (folder.expanduser() / "photos").absolute()


def tables_folder() -> Path:
    """Return where tables of nearest neighbours are kept: beside the photos, and counted with them."""
    return cache_folder().with_name(TABLES)


def limit() -> int:
    """Return how many bytes all entries may have together.

    Raises:
        DataError: AUTOAUG_CACHE_GIB is no number of GiB.
    """
    given = os.environ.get("AUTOAUG_CACHE_GIB", "")
    try:
        most = float(given) if given else MOST_GIB
    except ValueError:
        most = -1.0
    if not 0 <= most < float("inf"):
        raise DataError(f"AUTOAUG_CACHE_GIB={given!r}: give a number of GiB, for example 50")
    return int(most * GIB)


def is_whole(path: Path) -> bool:
    """Whether an entry has all that was put into it."""
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        return bool((path / PIXELS).stat().st_size == about["bytes"]) and (path / LOOKS).is_file()
    except (OSError, ValueError, KeyError):
        return False


def cache_entries(folder: Path) -> list[CacheEntry]:
    """Return the whole entries of a cache folder, the least recently used first."""
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.is_dir() and not path.name.endswith(BUILDING) and is_whole(path):
            with suppress(OSError):  # it was taken away just now
                about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
                size = sum(file.stat().st_size for file in path.iterdir())
                used = (path / ABOUT).stat().st_mtime
                found.append(CacheEntry(path, about["what"], about["images"], about["shorter"], size, used))
    return sorted([*found, *table_entries(folder)], key=lambda entry: entry.used)


def table_entries(folder: Path) -> list[CacheEntry]:
    """Return the tables beside a cache folder."""
    import numpy

    found = []
    for path in sorted(folder.with_name(TABLES).glob("*.npy")):
        with suppress(OSError, ValueError, EOFError):  # it was taken away just now, or is damaged and will be made anew
            images, count = numpy.load(path, mmap_mode="r", allow_pickle=False).shape
            about = path.stat()
            found.append(CacheEntry(path, f"{count} nearest neighbours", images, None, about.st_size, about.st_mtime))
    return found


@contextmanager
def taken_alone(path: Path) -> Iterator[bool]:
    """Hold the lock of an entry alone for the block, and yield whether it was to be had."""
    lock = Lock(path)
    try:
        yield lock.acquire(fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        lock.release()


def remove(path: Path) -> bool:
    """Take an entry away, whole or not, with its lock; returns whether nobody used it, so that it could be."""
    with taken_alone(path) as alone:
        if alone:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            shutil.rmtree(path.with_name(path.name + BUILDING), ignore_errors=True)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        return alone


def clear_cache(folder: Path) -> tuple[list[CacheEntry], list[CacheEntry]]:
    """Take away all that nobody uses; return which entries were taken away, and which are in use."""
    listed = cache_entries(folder)
    kept = [entry for entry in listed if not remove(entry.path)]
    for rest in folder.glob("*") if folder.is_dir() else []:  # of builders that were killed
        if rest.suffix in (".lock", BUILDING):
            remove(rest.with_suffix(""))
    return [entry for entry in listed if entry not in kept], kept


def make_room(folder: Path, needed: int) -> None:
    """Take away the least recently used entries until so many bytes may be added.

    Raises:
        NoRoom: what is left is in use, or the disk is too full.
    """
    listed, most = cache_entries(made_folder(folder)), limit()
    total = sum(entry.bytes for entry in listed)
    for entry in listed:
        if total + needed <= most and shutil.disk_usage(folder).free > needed:
            return
        if remove(entry.path):
            total -= entry.bytes
    if total + needed > most:
        raise NoRoom(
            f"{gigabytes(needed)} are needed, and the cache {str(folder)!r} may have {gigabytes(most)} in "
            f"all: {gigabytes(total)} are in use; raise AUTOAUG_CACHE_GIB, or give Task.hold='stream'"
        )
    if shutil.disk_usage(folder).free <= needed:
        raise no_space(folder, needed)


def no_space(folder: Path, needed: int) -> NoRoom:
    """Return the error of a disk that has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    return NoRoom(
        f"{gigabytes(needed)} are needed, and the disk of {str(folder)!r} has {gigabytes(free)} left: free "
        "some, set AUTOAUG_CACHE to a folder with room, or give Task.hold='stream'"
    )


def made_folder(folder: Path) -> Path:
    """Return the cache folder, made where it is missing.

    Raises:
        NoRoom: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK | os.X_OK) else "no permission"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        raise NoRoom(
            f"the cache folder {str(folder)!r} cannot be written ({problem}): set AUTOAUG_CACHE to one that can, or "
            "give Task.hold='memory' or 'stream'"
        )
    return folder


def gigabytes(size: float) -> str:
    """Return a number of bytes for people: "1.3 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
