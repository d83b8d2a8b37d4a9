"""All images of a dataset, decoded in threads: Pillow lets other threads work while it does."""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import numpy

from autoaug.data._encoded import Encoded
from autoaug.data._errors import DataError
from autoaug.data._pixels import LOOK, Frame, Taken, Unreadable, size_of, take
from autoaug.text import LOG, enumerated

AHEAD = 4
"""Images for each thread that are decoded before they are asked for, at most."""

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


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
