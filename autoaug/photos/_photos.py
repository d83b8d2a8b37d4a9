"""Photos of different heights and widths, as a dataset and as a minibatch: bytes one after the other in one buffer.

N photos, B of a minibatch, H height, W width of one, S side of what a network sees
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from autoaug.devices import to_device


class Holder(Protocol):
    """Where the bytes of photos are, and how a few of them are brought."""

    @property
    def device(self) -> torch.device:
        """Return where minibatches are wanted."""

    def brought(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return a flat buffer of bytes on the device, and where in it each photo begins: [B], int64, on the CPU.

        Args:
            rows: which of all photos that are held: [B], int64, on the CPU.
        """

    def ahead(self, minibatches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what `brought` returns for one minibatch after the other, and begin with the next ones meanwhile."""

    def to(self, device: torch.device) -> "Holder":
        """Return a holder that brings the same photos to a device."""


@dataclass(frozen=True, eq=False)
class Flat:
    """Hold the bytes of all photos in one buffer, on the device that they are wanted on."""

    bytes: Tensor
    starts: Tensor
    """Where each photo begins: [N], int64, on the CPU."""

    @property
    def device(self) -> torch.device:
        """Return where the buffer is."""
        return self.bytes.device

    def brought(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the whole buffer: nothing is copied."""
        return self.bytes, self.starts[rows]

    def ahead(self, minibatches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one minibatch after the other: they are there."""
        return map(self.brought, minibatches)

    def to(self, device: torch.device) -> Holder:
        """Return the photos on a device."""
        return self if device == self.device else Flat(to_device(self.bytes, device), self.starts)


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos that a network sees as [N, 3, S, S]; stands where a tensor of images stands, as a dataset or a minibatch.

    Indexing selects photos and moves no byte. `as_float` gives the view of an evaluation, and `resized_crop` boxes.
    """

    holder: Holder
    rows: Tensor
    """Which of the photos that are held these are: [N], int64, on the CPU."""
    looks: numpy.ndarray
    """What is known of each photo that is held, by row: records of `LOOK`."""
    side: int
    """S, in pixels."""

    def __len__(self) -> int:
        """Return N, the number of photos."""
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """Return [N, 3, S, S]: what a network sees of them."""
        return torch.Size((len(self), 3, self.side, self.side))

    @property
    def device(self) -> torch.device:
        """Return where minibatches are."""
        return self.holder.device

    @property
    def known(self) -> numpy.ndarray:
        """Return the records of `LOOK` of these photos: [N]."""
        return self.looks[self.rows.numpy()]

    @property
    def sizes(self) -> Tensor:
        """Return height and width of what is kept of each photo: [N, 2], int64, on the CPU."""
        known = self.known
        return torch.from_numpy(numpy.stack([known["rows"], known["columns"]], 1).astype(numpy.int64))

    @property
    def margin(self) -> bool:
        """Whether more is kept of them than an evaluation sees: photos, and no images that were small."""
        return bool((self.looks["rows"] > self.side).any())

    def __getitem__(self, index: Any) -> "Photos":
        """Return the photos of a slice, or of indices [B], int64, in that order."""
        chosen = index.cpu() if isinstance(index, Tensor) else index
        return replace(self, rows=self.rows[chosen])

    def split(self, size: int) -> "list[Photos]":
        """Return parts of `size` photos, the last of which may be smaller."""
        return [replace(self, rows=rows) for rows in self.rows.split(size)]

    def to(self, device: torch.device | str) -> "Photos":
        """Return the same photos, whose minibatches are on a device."""
        return replace(self, holder=self.holder.to(torch.device(device)))

    def minibatches(self, parts: Iterable[Tensor]) -> "Iterator[Photos]":
        """Yield the photos of each part of indices, [B], int64, on the CPU; the next ones are brought meanwhile."""
        chosen = [self.rows[part] for part in parts]
        for rows, (held, starts) in zip(chosen, self.holder.ahead(chosen), strict=True):
            yield Photos(Flat(held, starts), torch.arange(len(rows)), self.looks[rows.numpy()], self.side)

    def joined(self, others: "Photos") -> "Photos":
        """Return these photos, then others of the same dataset."""
        assert self.holder is others.holder, "all splits of a dataset are held together"
        return replace(self, rows=torch.cat([self.rows, others.rows]))

    def seen(self) -> Tensor:
        """Return what an evaluation sees, the centre of each photo: [N, 3, S, S], float32 in [0, 1]."""
        height, width = self.sizes.unbind(1)
        side = torch.full_like(height, self.side)
        boxes = torch.stack([(height - side) // 2, (width - side) // 2, side, side], 1)
        return self.crops(boxes, self.side, self.side).float().div_(255)

    def crops(self, boxes: Tensor, high: int, wide: int) -> Tensor:
        """Return boxes of the photos, brought to `high` x `wide` pixels, as bytes; see `resized_crop`."""
        held, starts = self.holder.brought(self.rows)
        crop = crops_one_by_one if held.device.type == "cpu" else crops_at_once
        return crop(held, starts, self.sizes, boxes, (high, wide))


def as_float(images: Tensor | Photos) -> Tensor:
    """Return images as float32 in [0, 1], whether they are bytes or floats; of photos what an evaluation sees."""
    if isinstance(images, Photos):
        return images.seen()
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def crops_one_by_one(held: Tensor, starts: Tensor, sizes: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes of photos at one height and width, [B, 3, *size], bytes, photo by photo.

    Pixels are rounded to bytes, as torchvision's are. On a CPU this is fastest: .19 ms for a crop of 224 pixels on one
    core, where the same in floats takes .36 ms, and grid_sample over a tensor of photos of one size .56 ms.
    """
    crops = torch.empty(len(starts), 3, *size, dtype=torch.uint8)
    for crop, start, (high, wide), (top, left, height, width) in zip(
        crops, starts.tolist(), sizes.tolist(), boxes.tolist(), strict=True
    ):
        photo = held[start : start + high * wide * 3].view(high, wide, 3)
        box = photo[top : top + height, left : left + width].permute(2, 0, 1)
        crop.copy_(box if (height, width) == size else interpolate(box[None], size, mode="bilinear")[0])
    return crops


def crops_at_once(held: Tensor, starts: Tensor, sizes: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what `crops_one_by_one` does, in a few operations for the whole minibatch, as a GPU is fast at.

    The two differ by one of 255 at most, at about one pixel in seven: a CPU rounds lines and columns, one after the
    other.
    """
    facts = torch.cat([starts[:, None], sizes[:, 1:], boxes], 1)
    start, wide, top, left, height, width = to_device(facts, held.device)[:, :, None, None].unbind(1)
    above, below, down = between(top, height, size[0], 1)
    before, after, across = between(left, width, size[1], 2)
    pixels = held.view(-1, 3)
    first = start // 3

    def row(y: Tensor) -> Tensor:
        """Return the pixels of one line of each photo between which columns lie: [B, *size, 3]."""
        left_of, right_of = (pixels[first + y * wide + x].float() for x in (before, after))
        return torch.lerp(left_of, right_of, across[..., None])

    crops = torch.lerp(row(above), row(below), down[..., None])
    return crops.round_().to(torch.uint8).permute(0, 3, 1, 2).contiguous()


def between(first: Tensor, length: Tensor, size: int, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return between which two pixels of a photo each pixel of the result lies along an axis, and how far from one.

    Args:
        first: where the box of each photo begins: [B, 1, 1].
        length: of each box: [B, 1, 1].
        size: pixels of the result.
        axis: 1 for height, 2 for width.
    """
    steps = torch.arange(size, device=first.device).view((1, -1, 1) if axis == 1 else (1, 1, -1))
    middle = ((steps + 0.5) * (length / size) - 0.5).clamp(min=0).minimum(length - 1)
    lower = middle.long()
    return first + lower, first + (lower + 1).minimum(length - 1), middle - lower
