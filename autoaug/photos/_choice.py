"""How the images of a dataset are held while it is trained on: chosen by what they take and what is free, and said."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy

from autoaug.artifacts import write_atomically
from autoaug.photos._cache import Mapped, cached
from autoaug.photos._cache_folder import NoRoom, cache_folder, gigabytes, is_whole
from autoaug.photos._decoding import Found, Order, in_memory, looked_at, sizes_of
from autoaug.photos._encoded import Encoded
from autoaug.photos._photos import Flat
from autoaug.photos._pixels import MARGIN, Frame, Unreadable, photo_frame
from autoaug.photos._streaming import Crew, Streamed
from autoaug.text import LOG, counted

Hold = Literal["auto", "memory", "cache", "stream"]

SMALL_SIDE = 128
"""Images of which none is longer than so many pixels are seen whole, at their own size: they are no photos."""

PHOTO_SIDE, STEP = 224, 32
"""What a network sees of photos unless asked; of smaller ones, the multiple of 32 that leaves the usual margin."""

SMALL_BYTES, SMALL_PIXELS = 64 * 2**20, 10**8
"""What takes no more, and has no more pixels in its files, is decoded into the memory of each trial: in a second or
two."""

MEMORY_SHARE = 0.25
"""Of the memory that is free, for images that each trial holds on its own."""


@dataclass(frozen=True)
class Wanted:
    """How a task wants its images."""

    size: int | None = None
    """Of what a network sees, in pixels; None: what fits the images."""
    hold: Hold = "auto"
    skip_bad: bool = False
    """Leave out what cannot be read, and say so."""


def brought_in(
    encoded: Encoded, wanted: Wanted, side: int | None, what: str, refuse: Callable[[Sequence[Unreadable]], None]
) -> tuple[Found, Frame, str]:
    """Return the images as they are held, what is kept of each, and a line that says how they are held.

    Args:
        side: what a network is to see of them, in pixels; None is what fits.
        what: the data, for people.
        refuse: raises where images that cannot be read are not to be left out.
    """
    version = encoded.version()
    sizes = known_sizes(encoded, version)
    order = Order(encoded, what, version, frame_of(sizes, side), sizes, refuse)
    found, how = chosen(order, wanted.hold)
    decoded = f"{counted(len(encoded), 'image')}, {gigabytes(order.bytes)} decoded"
    holding = f"{decoded}, {how}" + (" (as asked)" if wanted.hold != "auto" else "")
    LOG.info("%s: %s", what, holding)
    return found, order.frame, holding


def chosen(order: Order, hold: Hold) -> tuple[Found, str]:
    """Return the images as they are to be held, and how that is, in words."""
    if hold == "memory":
        return in_memory_of_each(order)
    if hold == "cache":
        found, how = in_cache(order)
        assert isinstance(found.holder, Mapped)
        return replace(found, holder=replace(found.holder, may_move=False)), how
    if hold == "stream":
        return streamed(order)
    small = order.bytes <= SMALL_BYTES and order.sizes.astype(numpy.int64).prod(1).sum() <= SMALL_PIXELS
    fits = order.bytes <= MEMORY_SHARE * free_memory()
    if small:
        return in_memory_of_each(order)
    try:
        return in_cache(order, to_memory=order.frame.square and fits)
    except NoRoom as error:
        LOG.warning("%s", error)
    return in_memory_of_each(order) if fits else streamed(order)


def in_memory_of_each(order: Order) -> tuple[Found, str]:
    """Return the images in memory, from the cache where they are there."""
    folder = cache_folder()
    if order.version is not None and is_whole(folder / order.key):
        return in_cache(order, to_memory=True)
    return in_memory(order), "in the memory of each trial"


def in_cache(order: Order, to_memory: bool = False) -> tuple[Found, str]:
    """Return the images in the cache, or copied from there into memory.

    Raises:
        NoRoom: the cache cannot be used, or nothing says when these images change.
    """
    if order.version is None:
        raise NoRoom(
            f"{order.what} cannot be kept in the cache, for nothing says when its images change: give "
            "Task.hold='memory' or 'stream', or a folder of files"
        )
    found = cached(order, cache_folder())
    if not to_memory:
        return found, "in the cache on disk, decoded once for all trials of this machine"
    assert isinstance(found.holder, Mapped)
    flat = Flat(found.holder.bytes.clone(), found.holder.starts)
    return replace(found, holder=flat), "in the memory of each trial, copied from the cache"


def streamed(order: Order) -> tuple[Found, str]:
    """Return images that are decoded whenever they are needed; what is known of them is in the cache where it can be.

    Where it cannot be, every process decodes all of them once before it begins.
    """
    shapes = replace(order, pixels=False)
    try:
        found, _ = in_cache(shapes)
    except NoRoom:
        found = looked_at(shapes)
    holder = Streamed(Crew(order.encoded, order.frame), found.looks)
    return replace(found, holder=holder), "decoded anew in every epoch, by other processes"


def frame_of(sizes: numpy.ndarray, side: int | None) -> Frame:
    """Return what is kept of images of these heights and widths, [N, 2], and what a network sees of them.

    Small images are seen whole. Of photos the shorter side is resized, and enlarged too, to side / 0.875, as the field
    does it, and the centre of it is what an evaluation sees.
    """
    known = sizes[(sizes > 0).all(1)]
    if not len(known):
        return Frame(side or 1, side or 1)  # none can be read: that will be said
    usual = int(numpy.median(known.min(1)))
    if known.max() <= SMALL_SIDE:
        return Frame(side or usual, side or usual)
    if side is None:
        side = min(PHOTO_SIDE, max(STEP, int(MARGIN * usual) // STEP * STEP))
    return photo_frame(side)


def known_sizes(encoded: Encoded, version: str | None) -> numpy.ndarray:
    """Return height and width of each image, [N, 2]. Of many they are kept in the cache, where that is possible."""
    if version is None or len(encoded) < MANY:
        return sizes_of(encoded)
    path = cache_folder() / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.sizes.npy"
    with suppress(OSError, ValueError):
        known = numpy.load(path, allow_pickle=False)
        if known.shape == (len(encoded), 2):
            return known
    sizes = sizes_of(encoded)
    with suppress(OSError):
        write_atomically(path, lambda file: numpy.save(file, sizes, allow_pickle=False))
    return sizes


MANY = 1000
"""Images from which on their sizes are worth to be kept."""


def free_memory() -> float:
    """Return how many bytes of memory are free, for this process and its kind; infinity where nothing says it."""
    free = [float("inf")]
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free += [1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):  # of a container
        most, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text(encoding="ascii") for name in ("max", "current"))
        free.append(float(most) - float(used))
    return min(free)
