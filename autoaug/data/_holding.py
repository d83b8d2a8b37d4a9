"""The images of a dataset, from what a reader gives to what is trained on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from autoaug.data._checks import check_counts
from autoaug.data._source import Reading, Source
from autoaug.data._splits import DataError, Split
from autoaug.photos import (
    Encoded,
    Flat,
    Found,
    Frame,
    Photos,
    Together,
    Unreadable,
    Wanted,
    as_float,
    brought_in,
    refuse_unreadable,
)


def held(source: Source, wanted: Wanted, data_name: str) -> Source:
    """Return a source whose images can be trained on: tensors, or photos that are held as is wanted.

    Raises:
        DataError: some image cannot be read, or the data cannot be held so; the message says what to do.
    """
    parts = source.parts()
    refuse_larger(wanted.size, source.side, data_name)
    side = source.side if wanted.size is None else wanted.size
    files = [split.images for split in parts.values() if isinstance(split.images, Encoded)]
    if source.kind == "features" and side is not None:
        raise DataError(f"{data_name} are rows of features, which have no size in pixels: leave Task.size out")
    if not files:
        whole: dict[str, Any] = {name: at_side(split, side) for name, split in parts.items()}
        return replace(source, **whole, holding="in memory, as tensors")
    if len(files) < len(parts):
        raise DataError(f"{data_name} has tensors in some splits and files in others: give all splits in one way")
    encoded, names = Together(tuple(files)), [name for split in parts.values() for name in named(split)]

    def refuse(bad: Sequence[Unreadable]) -> None:
        """Raise DataError for images that cannot be read, unless they are to be left out."""
        if not wanted.skip_bad:
            refuse_unreadable(called(bad, names), len(encoded), data_name)

    found, frame, holding = brought_in(encoded, wanted, side, data_name, refuse)
    refuse(found.bad)
    splits: dict[str, Any] = in_parts(parts, found, frame)
    if found.bad:
        check_counts(splits, source.classes, data_name)
    reading = completed(source.reading or Reading(), found, called(found.bad, names))
    return replace(source, **splits, reading=reading, frame=frame, holding=holding)


def named(split: Split) -> tuple[str, ...]:
    """Return the names of the images of a split; empty ones where it has none."""
    return split.names or ("",) * len(split)


def called(bad: Sequence[Unreadable], names: Sequence[str]) -> list[Unreadable]:
    """Return images that cannot be read by the names that their splits give them."""
    return [each._replace(name=names[each.number] or each.name) for each in bad]


def refuse_larger(size: int | None, most: int | None, data_name: str) -> None:
    """Raise DataError where a size is asked for that data were made smaller than."""
    if size is not None and most is not None and size > most:
        raise DataError(
            f"Task.size={size} is larger than the {most} pixels that {data_name} is resized to: give {most} at most, "
            "or leave `resized` out"
        )


def in_parts(parts: dict[str, Split], found: Found, frame: Frame) -> dict[str, Split]:
    """Return the splits with the images that could be read, as tensors where they are small and in memory."""
    splits, offset = {}, 0
    for name, split in parts.items():
        readable = torch.from_numpy(found.looks["readable"][offset : offset + len(split)].nonzero()[0])
        photos = Photos(found.holder, readable + offset, found.looks, frame.side)
        images = as_tensor(photos) if frame.square and isinstance(found.holder, Flat) else photos
        splits[name] = replace(split.at(readable), images=images)
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
    """Return a split of tensors whose images have `side` x `side` pixels: of others the centre, resized.

    Smaller by the mean of areas, larger by bilinear weights.
    """
    height, width = split.images.shape[2:]
    if side is None or (height, width) == (side, side):
        return split
    square = min(height, width)
    top, left = (height - square) // 2, (width - square) // 2
    centre = split.images[:, :, top : top + square, left : left + square]
    return replace(split, images=interpolated(centre, side, "area" if side < square else "bilinear"))


def interpolated(images: Tensor, side: int, mode: str) -> Tensor:
    """Return images [N, C, H, W] at `side` x `side` pixels by a mode of torch's `interpolate`; bytes stay bytes."""
    # as floats, all at once would not fit
    chunks = (interpolate(as_float(chunk), (side, side), mode=mode) for chunk in images.split(1000))
    if images.dtype == torch.uint8:
        chunks = (chunk.mul_(255).round_().to(torch.uint8) for chunk in chunks)
    return torch.cat(list(chunks))
