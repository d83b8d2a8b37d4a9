"""How the images of a dataset are held while it is trained on: chosen by what they take and what is free, and said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from autoaug.data._checks import check_counts
from autoaug.data._decoding import Looks, decoded, refuse_unreadable, sizes_of, starts_of
from autoaug.data._encoded import Encoded, Together
from autoaug.data._photos import Flat, Holder, Photos
from autoaug.data._pixels import MARGIN, Frame, Unreadable, photo_frame
from autoaug.data._source import Reading, Source
from autoaug.data._splits import DataError, Split, as_float

Hold = Literal["auto", "memory", "cache", "stream"]

SMALL_SIDE = 128
"""Images of which none is longer than so many pixels are seen whole, at their own size: they are no photos."""

PHOTO_SIDE, STEP = 224, 32
"""What a network sees of photos unless asked; of smaller ones, the multiple of 32 that leaves the usual margin."""


@dataclass(frozen=True)
class Wanted:
    """How a task wants its images."""

    size: int | None = None
    """Of what a network sees, in pixels; None: what fits the images."""
    hold: Hold = "auto"
    skip_bad: bool = False
    """Leave out what cannot be read, and say so."""


@dataclass(frozen=True, eq=False)
class Found:
    """All images of a dataset, looked at once, and where they are now."""

    holder: Holder
    looks: numpy.ndarray
    """Records of `LOOK`."""
    bad: Sequence[Unreadable]
    changes: dict[str, int]
    """How many images each change was done to."""


def held(source: Source, wanted: Wanted, data_name: str) -> Source:
    """Return a source whose images can be trained on: tensors, or photos that are held as is wanted.

    Raises:
        DataError: some image cannot be read, or the data cannot be held so; the message says what to do.
    """
    parts = source.parts()
    refuse_larger(wanted.size, source.side, data_name)
    side = source.side if wanted.size is None else wanted.size
    files = [split.images for split in parts.values() if isinstance(split.images, Encoded)]
    if not files:
        whole: dict[str, Any] = {name: at_side(split, side) for name, split in parts.items()}
        return replace(source, **whole, holding="in memory, as tensors")
    if len(files) < len(parts):
        raise DataError(f"{data_name} has tensors in some splits and files in others: give all splits in one way")
    encoded = Together(tuple(files))
    sizes = sizes_of(encoded)
    frame = frame_of(sizes, side)
    found = in_memory(encoded, frame, sizes)
    names = [name for split in parts.values() for name in split.names or [""] * len(split)]
    bad = [each._replace(name=names[each.number] or each.name) for each in found.bad]
    if not wanted.skip_bad:
        refuse_unreadable(bad, len(encoded), data_name)
    splits: dict[str, Any] = in_parts(parts, found, frame)
    if bad:
        check_counts(splits, source.classes, data_name)
    return replace(source, **splits, reading=completed(source.reading or Reading(), found, bad), frame=frame)


def refuse_larger(size: int | None, most: int | None, data_name: str) -> None:
    """Raise DataError where a size is asked for that data were made smaller than."""
    if size is not None and most is not None and size > most:
        raise DataError(
            f"Task.size={size} is larger than the {most} pixels that {data_name} is resized to: give {most} at most, "
            "or leave `resized` out"
        )


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


def in_memory(encoded: Encoded, frame: Frame, sizes: numpy.ndarray) -> Found:
    """Decode all images into memory. `sizes`, [N, 2], are their heights and widths: (0, 0) is none that can be read."""
    lengths = [3 * rows * columns for rows, columns in (frame.kept(*size) for size in sizes.tolist() if all(size))]
    buffer, looks, end = numpy.empty(sum(lengths), dtype=numpy.uint8), Looks(len(encoded)), 0
    for pixels in looks.watched(decoded(encoded, frame)):
        buffer[end : end + pixels.size] = pixels.reshape(-1)
        end += pixels.size
    starts = torch.from_numpy(starts_of(looks.table))
    return Found(Flat(torch.from_numpy(buffer)[:end], starts), looks.table, looks.bad, dict(looks.changes))


def in_parts(parts: dict[str, Split], found: Found, frame: Frame) -> dict[str, Split]:
    """Return the splits with the images that could be read, as tensors where they are small and in memory."""
    splits, offset = {}, 0
    for name, split in parts.items():
        readable = torch.from_numpy(found.looks["readable"][offset : offset + len(split)].nonzero()[0])
        photos = Photos(found.holder, readable + offset, found.looks, frame.side)
        splits[name] = replace(split.at(readable), images=as_tensor(photos) if frame.square else photos)
        offset += len(split)
    return splits


def as_tensor(photos: Photos) -> Tensor:
    """Return square images that lie one after the other as a tensor of bytes [N, 3, S, S]."""
    assert isinstance(photos.holder, Flat), "small images are in memory"
    count, _, side, _ = photos.shape
    if not count:
        return torch.empty(photos.shape, dtype=torch.uint8)
    starts, length = photos.holder.starts[photos.rows], side * side * 3
    whole = photos.holder.bytes[int(starts[0]) : int(starts[0]) + count * length]
    return whole.view(count, side, side, 3).permute(0, 3, 1, 2).contiguous()


def completed(reading: Reading, found: Found, bad: Sequence[Unreadable]) -> Reading:
    """Return what was found in files, with what was found in the images themselves."""
    seen = found.looks[found.looks["readable"]]
    areas = seen["height"].astype(numpy.int64) * seen["width"]
    small, large = seen[areas.argmin()], seen[areas.argmax()]
    return replace(
        reading,
        files=len(seen),
        smallest=(int(small["height"]), int(small["width"])),
        largest=(int(large["height"]), int(large["width"])),
        notes=(*(f"{count} {change}" for change, count in sorted(found.changes.items())), *reading.notes),
        left_out=tuple(f"{image.name} ({image.reason})" for image in bad),
    )


def at_side(split: Split, side: int | None) -> Split:
    """Return a split of tensors whose images have `side` x `side` pixels: of others the centre, resized."""
    height, width = split.images.shape[2:]
    if side is None or (height, width) == (side, side):
        return split
    square = min(height, width)
    top, left = (height - square) // 2, (width - square) // 2
    chunks = split.images[:, :, top : top + square, left : left + square].split(1000)  # as floats, all would not fit
    return replace(split, images=torch.cat([to_side(chunk, side) for chunk in chunks]))


def to_side(images: Tensor, side: int) -> Tensor:
    """Return square images [N, C, H, H] at another size: smaller by the mean of areas, larger by bilinear weights."""
    mode = "area" if side < images.shape[2] else "bilinear"
    resized = interpolate(as_float(images), (side, side), mode=mode)
    return resized.mul_(255).round_().to(torch.uint8) if images.dtype == torch.uint8 else resized
