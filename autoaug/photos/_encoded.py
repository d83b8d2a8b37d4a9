"""Images that are not decoded yet: files on a disk, or the items of somebody's dataset."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image, UnidentifiedImageError

from autoaug.photos._errors import DataError


@runtime_checkable
class Encoded(Protocol):
    """Images that can be opened one by one. A reader gives them as the `images` of a split, and decodes nothing.

    They travel to the processes that decode, so they can be pickled, and small: what they refer to stays where it is.
    """

    def __len__(self) -> int:
        """Return N, the number of images."""

    def open(self, index: int) -> Image.Image:
        """Return an image, open, as it is held: of any mode, not turned upright yet. The caller closes it.

        Raises:
            Exception: whatever Pillow, or the dataset, has to say of one that cannot be read.
        """

    def name(self, index: int) -> str:
        """Return what an error calls an image."""

    def version(self) -> str | None:
        """Return a text that is another one as soon as an image is; None where nothing can say so.

        What is decoded from images that have none is kept nowhere.
        """

    def taken(self, indices: Sequence[int]) -> "Encoded":
        """Return the images at these indices, in that order."""


@dataclass(frozen=True)
class ImageFiles:
    """Files of images."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        """Return N, the number of files."""
        return len(self.paths)

    def open(self, index: int) -> Image.Image:
        """Return the image of a file, open: its pixels are read when they are asked for."""
        path = self.paths[index]
        try:
            return Image.open(path)
        except UnidentifiedImageError:
            raise DataError("no image inside" if path.stat().st_size else "empty") from None

    def name(self, index: int) -> str:
        """Return the path of a file."""
        return str(self.paths[index])

    def version(self) -> str:
        """Return a digest of the paths, sizes and dates of all files."""
        digest = hashlib.sha256()
        for path in self.paths:
            entry = path.stat()
            digest.update(f"{path}\0{entry.st_size}\0{entry.st_mtime_ns}\0".encode())
        return digest.hexdigest()

    def taken(self, indices: Sequence[int]) -> "ImageFiles":
        """Return the files at these indices."""
        return ImageFiles(tuple(self.paths[index] for index in indices))


@dataclass(frozen=True)
class Together:
    """The images of several splits, one after the other, so that all are decoded and kept in one go."""

    parts: tuple[Encoded, ...]

    def __len__(self) -> int:
        """Return the number of images of all parts."""
        return sum(map(len, self.parts))

    def at(self, index: int) -> tuple[Encoded, int]:
        """Return the part that has an image, and its index there."""
        for part in self.parts:
            if index < len(part):
                return part, index
            index -= len(part)
        raise IndexError(index)

    def open(self, index: int) -> Image.Image:
        """Return an image, open."""
        part, within = self.at(index)
        return part.open(within)

    def name(self, index: int) -> str:
        """Return what an error calls an image."""
        part, within = self.at(index)
        return part.name(within)

    def version(self) -> str | None:
        """Return a digest of what the parts say; None where one of them cannot say anything."""
        versions = [part.version() for part in self.parts]
        return None if None in versions else hashlib.sha256("\0".join(map(str, versions)).encode()).hexdigest()

    def taken(self, indices: Sequence[int]) -> "Together":
        """Return the images at these indices, each as a part of its own."""
        pairs = (self.at(index) for index in indices)
        return Together(tuple(part.taken([within]) for part, within in pairs))
