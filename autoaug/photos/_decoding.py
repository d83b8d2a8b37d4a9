"""All images of a dataset, decoded in threads: Pillow lets other threads work while it does."""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

import numpy
import PIL
import torch

from autoaug.photos._encoded import Encoded
from autoaug.photos._errors import DataError
from autoaug.photos._photos import Flat, Holder
from autoaug.photos._pixels import LOOK, Frame, Taken, Unreadable, size_of, take
from autoaug.processes import cores
from autoaug.text import LOG, enumerated

AHEAD = 4
"""Images for each thread that are decoded before they are asked for, at most."""

FORMAT = 1
"""Of what is kept in the cache. What another release has kept in another one is decoded again."""

PATIENCE = 2.0
"""Seconds of decoding after which it is said how far it is."""

Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much: ("decoding", 1200, 9469)."""


def log_tenths(what: str, done: int, total: int) -> None:
    """Log a line at every tenth."""
    if done * 10 // total > (done - 1) * 10 // total:
        LOG.info("%s: %s of %s images", what, f"{done:,}", f"{total:,}")


PROGRESS: ContextVar[Progress] = ContextVar("PROGRESS", default=log_tenths)
"""Who is told of what takes long: a command line sets its own."""


def decoded(encoded: Encoded, frame: Frame) -> Iterator[Taken | Unreadable]:
    """Yield each image as it is kept, in order, or why it cannot be read; few are in memory at once."""
    tell, began, total = PROGRESS.get(), time.monotonic(), len(encoded)
    with ThreadPoolExecutor(cores()) as pool:
        waiting = deque(pool.submit(take, encoded, index, frame) for index in range(min(total, AHEAD * cores())))
        for done in range(1, total + 1):
            yield waiting.popleft().result()
            if done + len(waiting) < total:
                waiting.append(pool.submit(take, encoded, done + len(waiting), frame))
            if time.monotonic() - began > PATIENCE:
                tell("decoding", done, total)


def sizes_of(encoded: Encoded) -> numpy.ndarray:
    """Return height and width of each image, as its header says: [N, 2], int32; zeros where it has none."""
    if not len(encoded):
        return numpy.zeros((0, 2), dtype=numpy.int32)
    with ThreadPoolExecutor(cores()) as pool:
        found = pool.map(lambda index: size_of(encoded, index), range(len(encoded)))
        return numpy.array(list(found), dtype=numpy.int32)


class Looks:
    """Gather what is known of images while they are decoded."""

    def __init__(self, images: int) -> None:
        self.table = numpy.zeros(images, dtype=LOOK)
        self.bad: list[Unreadable] = []
        self.changes = Counter[str]()
        """How many images each change was done to, see `Taken`."""

    def watched(self, found: Iterator[Taken | Unreadable]) -> Iterator[numpy.ndarray]:
        """Yield the pixels of each image that can be read, and note what is known of it."""
        for index, each in enumerate(found):
            if isinstance(each, Unreadable):
                self.bad.append(each)
            else:
                self.table[index] = each.look
                self.changes.update(each.changes)
                yield each.pixels


@dataclass(frozen=True, eq=False)
class Found:
    """All images of a dataset, looked at once, and where they are now."""

    holder: Holder
    looks: numpy.ndarray
    """Records of `LOOK`."""
    bad: Sequence[Unreadable]
    changes: dict[str, int]
    """How many images each change was done to."""


def starts_of(looks: numpy.ndarray) -> numpy.ndarray:
    """Return where the bytes of each image begin, where all are kept one after the other: [N], int64."""
    lengths = looks["rows"].astype(numpy.int64) * looks["columns"] * 3
    return numpy.cumsum(lengths) - lengths


def refuse_unreadable(bad: Sequence[Unreadable], total: int, data_name: str, most: int = 1000) -> None:
    """Raise a DataError that names all images that cannot be read."""
    if bad:
        examples = [f"{image.name!r} ({image.reason})" for image in bad]
        named = enumerated(examples, len(bad), most)
        count = f"{len(bad)} of {total} images" if total > 1 else "its image"
        raise DataError(
            f"{data_name}: {count} cannot be read: {named}: replace or remove them, or leave them out with "
            "Task.skip_bad=True"
        )


@dataclass(frozen=True, eq=False)
class Order:
    """What is to be decoded, and how."""

    encoded: Encoded
    what: str
    """The data, as a task names them: for people."""
    version: str | None
    frame: Frame
    sizes: numpy.ndarray
    """Height and width of each image, as its header says: [N, 2]; zeros where it has none."""
    refuse: Callable[[Sequence[Unreadable]], None]
    """Raises where images that cannot be read are not to be left out."""
    pixels: bool = True
    """Whether pixels are kept, or only what is known of each image."""

    @cached_property
    def bytes(self) -> int:
        """Return how many bytes are kept."""
        if not self.pixels:
            return 0
        kept = (self.frame.kept(*size) for size in self.sizes.tolist() if all(size))
        return 3 * sum(rows * columns for rows, columns in kept)

    @property
    def key(self) -> str:
        """Return the name of what is kept: another one for other files, sizes, dates, crops and versions of Pillow."""
        said = f"{FORMAT} {PIL.__version__} {tuple(self.frame)} {self.pixels} {self.version}"
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def in_memory(order: Order) -> Found:
    """Decode all images into memory."""
    buffer, looks, end = numpy.empty(order.bytes, dtype=numpy.uint8), Looks(len(order.encoded)), 0
    for pixels in looks.watched(decoded(order.encoded, order.frame)):
        buffer[end : end + pixels.size] = pixels.reshape(-1)
        end += pixels.size
    holder = Flat(torch.from_numpy(buffer)[:end], torch.from_numpy(starts_of(looks.table)))
    return Found(holder, looks.table, looks.bad, dict(looks.changes))


def looked_at(order: Order) -> Found:
    """Decode all images and keep what is known of them."""
    looks = Looks(len(order.encoded))
    for _ in looks.watched(decoded(order.encoded, order.frame)):
        pass
    return Found(NOWHERE, looks.table, looks.bad, dict(looks.changes))


NOWHERE = Flat(torch.empty(0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
"""Where images are whose pixels were not kept."""
