"""Photos that are decoded once for all trials of a machine, into a file that every process maps."""

import errno
import fcntl
import json
import mmap
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from autoaug.photos._cache_folder import (
    ABOUT,
    BUILDING,
    LOOKS,
    PIXELS,
    Lock,
    NoRoom,
    is_whole,
    made_folder,
    make_room,
    no_space,
)
from autoaug.photos._decoding import Found, Looks, Order, decoded, starts_of
from autoaug.photos._photos import Flat, Holder
from autoaug.photos._pixels import Unreadable


def cached(order: Order, folder: Path) -> Found:
    """Return the photos of an entry, which is built where there is none: once, whoever else asks for it meanwhile.

    Raises:
        NoRoom: the cache cannot be written, or has no room; nothing is left of what was begun.
    """
    path = made_folder(folder) / order.key
    lock = Lock(path)
    wait = f"waiting for another process, which decodes {order.what} into the cache"
    try:
        while True:
            lock.acquire_patiently(fcntl.LOCK_SH, wait)
            if is_whole(path):
                return opened(path, lock)
            if not path.exists():
                lock.acquire_patiently(fcntl.LOCK_EX, wait)
            elif not lock.acquire(fcntl.LOCK_EX | fcntl.LOCK_NB):  # those who use it would be waited for
                raise NoRoom(f"{str(path)!r} is damaged, and in use: end the processes that use it, and begin again")
            if not is_whole(path):
                make_room(folder, order.bytes)
                build(order, path)
    except BaseException:  # who looks at the error holds on to what was in reach of it
        lock.release()
        raise


def build(order: Order, path: Path) -> None:
    """Decode all photos into an entry, which gets its name once it is whole. The caller holds its lock."""
    begun = path.with_name(path.name + BUILDING)
    for left in (path, begun):  # damaged, or of a builder that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        begun.mkdir()
        write(order, begun)
        os.replace(begun, path)
        synchronise(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            shutil.rmtree(begun, ignore_errors=True)
            raise no_space(path.parent, order.bytes) from error
        raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def write(order: Order, begun: Path) -> None:
    """Write the files of an entry into a folder, and wait until the disk has them."""
    looks = Looks(len(order.encoded))
    with (begun / PIXELS).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, order.bytes or 1)  # a disk that is too full says so now
        for pixels in looks.watched(decoded(order.encoded, order.frame)):
            if order.pixels:
                file.write(pixels.data)
        file.truncate()
        size = file.tell()
        file.flush()
        os.fsync(file.fileno())
    order.refuse(looks.bad)
    numpy.save(begun / LOOKS, looks.table, allow_pickle=False)
    about = {
        "what": order.what,
        "images": int(looks.table["readable"].sum()),
        "shorter": order.frame.shorter,
        "bytes": size,
        "bad": [list(each) for each in looks.bad],
        "changes": dict(looks.changes),
    }
    (begun / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    for name in (LOOKS, ABOUT):
        synchronise(begun / name)
    synchronise(begun)


def synchronise(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def opened(path: Path, lock: Lock) -> Found:
    """Return the photos of a whole entry, whose lock is held shared for as long as they are used."""
    about: dict[str, Any] = json.loads((path / ABOUT).read_text(encoding="utf-8"))
    with suppress(OSError):  # another user's, which this one does not take away either
        os.utime(path / ABOUT)  # used now
    looks = numpy.load(path / LOOKS, allow_pickle=False)
    bad = [Unreadable(*each) for each in about["bad"]]
    holder = Mapped(mapped(path / PIXELS), torch.from_numpy(starts_of(looks)), lock)
    return Found(holder, looks, bad, about["changes"])


def mapped(path: Path) -> Tensor:
    """Return the bytes of a file as a tensor whose memory all processes share that read it; never write to it."""
    if not path.stat().st_size:
        return torch.empty(0, dtype=torch.uint8)
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with warnings.catch_warnings():  # that it cannot be written is what is wanted
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        return torch.frombuffer(view, dtype=torch.uint8)


CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Mapped:
    """Hold photos in a file that is mapped into memory; minibatches go to a device from there."""

    bytes: Tensor
    """Of the whole file, on the CPU. Its pages are read when they are used, and are shared by all processes."""
    starts: Tensor
    """Where each photo begins: [N], int64, on the CPU."""
    lock: Lock
    """Held for as long as the file is used."""
    device: torch.device = CPU
    may_move: bool = True
    """Whether all may be copied to a GPU that has room for them."""
    moved: dict[torch.device, Holder] = field(default_factory=dict)
    """What was made for other devices, so that splits and trainings share it."""

    def brought(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the whole buffer, or for a GPU a copy of these photos alone."""
        if self.device.type == "cpu":
            return self.bytes, self.starts[rows]
        ends = torch.cat([self.starts, torch.tensor([len(self.bytes)])])[rows + 1]
        first, lengths = self.starts[rows], ends - self.starts[rows]
        starts = lengths.cumsum(0) - lengths
        packed = torch.empty(int(lengths.sum()), dtype=torch.uint8, pin_memory=True)
        for begin, start, length in zip(starts.tolist(), first.tolist(), lengths.tolist(), strict=True):
            packed[begin : begin + length] = self.bytes[start : start + length]
        return packed.to(self.device, non_blocking=True), starts

    def ahead(self, minibatches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one minibatch after the other; for a GPU the next one is packed meanwhile."""
        if self.device.type == "cpu":
            yield from map(self.brought, minibatches)
            return
        with ThreadPoolExecutor(1) as pool:
            waiting = None
            for rows in minibatches:
                following = pool.submit(self.brought, rows)
                if waiting:
                    yield waiting.result()
                waiting = following
            if waiting:
                yield waiting.result()

    def to(self, device: torch.device) -> Holder:
        """Return the photos on a GPU that has room for twice as much; else there is a copy of each minibatch."""
        if device == self.device:
            return self
        if device not in self.moved:
            room = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
            if self.may_move and 2 * len(self.bytes) < room:
                self.moved[device] = Flat(self.bytes.to(device), self.starts)
            else:
                self.moved[device] = replace(self, device=device, moved={})
        return self.moved[device]
