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
    """What lies at or below a folder."""

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
    """The suffixes of images that Pillow can read here."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix in SUFFIXES if known.get(suffix) in Image.OPEN)


def listing(folder: Path) -> Listing:
    """All images at or below a folder, and what is passed over there. Links are wants_graph, each folder once."""
    found = Listing([], [])
    _walk(folder, found, set())
    found.images.sort()
    return found


def _walk(folder: Path, found: Listing, seen: set[tuple[int, int]]) -> None:
    place = folder.stat()
    if (place.st_dev, place.st_ino) in seen:
        found.others.append((LOOP, folder))
        return
    seen.add((place.st_dev, place.st_ino))
    for entry in entries(folder):
        path = folder / entry.name
        if hides(entry.name):
            found.others.append((HIDDEN, path))
        elif path.is_dir():
            _walk(path, found, seen)
        elif reason := unreadable(path):
            found.others.append((reason, path))
        else:
            found.images.append(path)


def entries(folder: Path) -> list["os.DirEntry[str]"]:
    """What lies in a folder, by name, so that every process meets links in the same order."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot look into {str(folder)!r} ({error.strerror}): let it be read, or move it") from error


def unreadable(path: Path) -> str:
    """Why a path is not read as an image; empty where it is."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return "no file" if path.exists() else BROKEN
    if suffix in readable():
        return ""
    return f"{suffix}, which Pillow cannot read here" if suffix in SUFFIXES else "named like no image"


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that do not hide, by name."""
    return [folder / entry.name for entry in entries(folder) if entry.is_dir() and not hides(entry.name)]


def grouped(others: Iterable[tuple[str, Path]], folder: Path, most: int = 3) -> tuple[PassedOver, ...]:
    """What was passed over below a folder, reason by reason, those that concern most files first."""
    by_reason: dict[str, list[str]] = {}
    for reason, path in others:
        by_reason.setdefault(reason, []).append(str(path.relative_to(folder)))
    rows = [PassedOver(reason, len(paths), tuple(paths[:most])) for reason, paths in by_reason.items()]
    return tuple(sorted(rows, key=lambda row: -row.count))


def none_found(folder: Path, others: Sequence[tuple[str, Path]] = ()) -> DataError:
    """The error of a folder without an image, which names what lies there instead."""
    there = "; ".join(
        f"{row.count} {row.reason} ({enumerated(row.examples, row.count)})" for row in grouped(others, folder)
    )
    instead = f", where there is {there}" if there else ""
    return DataError(f"no images in {str(folder)!r}{instead}: put some there ({', '.join(sorted(readable()))})")


def stamp(path: Path) -> int:
    """A number that changes when an image at or below `path` does; only for comparing within one process."""
    found = Listing([path], []) if path.is_file() else listing(path) if path.is_dir() else Listing([], [])
    files = ((str(file), file.stat()) for file in found.images)
    dated = ((name, status.st_mtime_ns, status.st_size) for name, status in files)
    return hash((frozenset(dated), frozenset((reason, str(other)) for reason, other in found.others)))
