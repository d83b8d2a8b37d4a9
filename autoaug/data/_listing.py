"""Which files of a folder are images, and which are passed over and why: the one place that decides."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from autoaug.data._splits import DataError
from autoaug.text import enumerated

SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".jp2", ".jxl"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".raf"}
)
"""Of files that hold an image, whether Pillow can read it here or not."""

SYSTEM_NAMES = frozenset(
    {
        "$recycle.bin",
        "#recycle",
        "#snapshot",
        "@eadir",
        "@recycle",
        "@tmp",
        "__macosx",
        "__pycache__",
        "desktop.ini",
        "ehthumbs.db",
        "icon\r",
        "lost+found",
        "network trash folder",
        "system volume information",
        "temporary items",
        "thumbs.db",
    }
)
"""What systems, archives and network drives leave beside images, in lower case: copies, thumbnails and waste."""

HIDDEN, LOOP, BROKEN = "hidden, or left by a system", "reached before by another link", "a link to nothing"


class Listing(NamedTuple):
    """Files at or below a folder: images, and what is passed over."""

    images: list[Path]
    """Those that Pillow can read here, by name."""
    others: list[tuple[str, Path]]
    """What is passed over, each with the reason. A folder stands for all that lies in it."""


@dataclass(frozen=True)
class PassedOver:
    """Files and folders that were passed over for one reason."""

    reason: str
    count: int
    examples: tuple[str, ...]
    """A few, relative to the folder that was given."""


def hides(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's images: `.ipynb_checkpoints`, `._1.png`, `@eaDir`."""
    return name.startswith((".", "~$")) or name.lower() in SYSTEM_NAMES


@cache
def readable() -> frozenset[str]:
    """Return the suffixes of images that Pillow can read here."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix in SUFFIXES if known.get(suffix) in Image.OPEN)


def listing(folder: Path) -> Listing:
    """Return all images at or below a folder, and what is passed over. Links are followed, each folder once."""
    files = Listing([], [])
    _walk(folder, files, set())
    files.images.sort()
    return files


def _walk(folder: Path, files: Listing, seen: set[tuple[int, int]]) -> None:
    """Add the files at or below a folder."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        files.others.append((LOOP, folder))
        return
    seen.add((status.st_dev, status.st_ino))
    for entry in entries(folder):
        path = folder / entry.name
        if hides(entry.name):
            files.others.append((HIDDEN, path))
        elif path.is_dir():
            _walk(path, files, seen)
        elif reason := unreadable(path):
            files.others.append((reason, path))
        else:
            files.images.append(path)


def entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder, by name, so that every process meets links in the same order."""
    try:
        with os.scandir(folder) as iterator:
            return sorted(iterator, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot look into {str(folder)!r} ({error.strerror}): let it be read, or move it") from error


def unreadable(path: Path) -> str:
    """Return why a path is not read as an image; empty where it is."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return "no file" if path.exists() else BROKEN
    if suffix in readable():
        return ""
    return f"{suffix}, which Pillow cannot read here" if suffix in SUFFIXES else "named like no image"


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder that do not hide, by name."""
    return [folder / entry.name for entry in entries(folder) if entry.is_dir() and not hides(entry.name)]


def grouped(others: Iterable[tuple[str, Path]], folder: Path, most: int = 3) -> tuple[PassedOver, ...]:
    """Return what was passed over below a folder, reason by reason, those that concern most files first."""
    by_reason: dict[str, list[str]] = {}
    for reason, path in others:
        by_reason.setdefault(reason, []).append(str(path.relative_to(folder)))
    rows = [PassedOver(reason, len(paths), tuple(paths[:most])) for reason, paths in by_reason.items()]
    return tuple(sorted(rows, key=lambda row: -row.count))


def no_images(folder: Path, others: Sequence[tuple[str, Path]] = ()) -> DataError:
    """Return the error of a folder without an image, which names what it holds instead."""
    contents = "; ".join(
        f"{row.count} {row.reason} ({enumerated(row.examples, row.count)})" for row in grouped(others, folder)
    )
    instead = f", where there is {contents}" if contents else ""
    return DataError(f"no images in {str(folder)!r}{instead}: put some there ({', '.join(sorted(readable()))})")


def stamp(path: Path) -> int:
    """Return a number that changes when an image at or below `path` does; only for comparing within one process."""
    contents = Listing([path], []) if path.is_file() else listing(path) if path.is_dir() else Listing([], [])
    files = ((str(file), file.stat()) for file in contents.images)
    dated = ((name, status.st_mtime_ns, status.st_size) for name, status in files)
    return hash((frozenset(dated), frozenset((reason, str(other)) for reason, other in contents.others)))
