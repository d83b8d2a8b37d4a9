"""Apply what was drawn for a batch: each operation once per stage, on the images that meet it.

Where a gradient is wanted, and on a GPU, the images are put in the order of their operations before a stage, so that
each operation finds its images side by side. The batch is copied twice per stage, backwards as well, however many
operations there are. Otherwise, on a CPU, each group is taken from its batch, changed, and put back, while it is
small enough to stay in the cache.

B images, S stages
"""

from collections.abc import Callable
from collections.abc import Sequence as Listing
from functools import partial
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from autoaug.devices import all_to_device, to_device
from autoaug.ops import Op, affine, unmoved
from autoaug.ops import compose as composed
from autoaug.policy._compiled import Draws
from autoaug.policy._passes import relaxed, reordered

FEW = 8
"""Images that a CPU augments faster one by one than it sorts them into groups (measured)."""
LARGE = 3 * 128 * 128
"""Numbers in an image from which on a CPU spends less on one more call than on moving it (measured)."""
WORD = torch.complex128
"""The widest type."""


class Groups(NamedTuple):
    """The images of each stage, sorted by what they meet: nothing, something geometric, each other operation."""

    order: Tensor
    """Which image comes next, [S, B]."""
    sizes: list[list[int]]
    """How many images are in each group, for each stage."""
    numbers: list[Tensor]
    """In this order: the movements [S, B, 2, 3], the physical amounts [S, B], and what relaxes a stage, if any does."""


def execute(ops: Listing[Op], images: Tensor, draws: Draws, rng: Generator, *, compose: bool = False) -> Tensor:
    """Return images [B, C, H, W] with what was drawn applied, stage after stage; uint8 becomes float32.

    Geometric operations need not even be told apart: they share one resampling per stage. Where the buckets live
    on a GPU, the sizes of the groups are read back once, for all stages together; nothing else is waited for.

    Args:
        ops: bucket k of the draws is ops[k - 1]; the geometric ones, which have a `matrix`, come first.
        rng: for operations that draw themselves.
        compose: join consecutive geometric draws of an image into one resampling. Away from the borders this is the
            same movement with fewer interpolations; what leaves the image and comes back is kept instead of black.
    """
    geometric = sum(op.matrix is not None for op in ops)
    drawn, bucket = draws.bucket, to_device(draws.bucket, draws.strength.device)
    amount = amounts(ops, bucket, draws.strength)
    in_cache = images.device.type == "cpu" and not differentiated(images, draws)
    if in_cache and not compose and apart(ops, images):
        return one_by_one(ops, images, bucket, amount, rng)
    matrix = matrices(ops[:geometric], bucket, amount, images)
    if compose:
        drawn, matrix = join(bucket, matrix, geometric)
    relaxation = [part for part in (draws.gate, draws.factor) if part is not None]
    groups = grouped(drawn, [matrix, amount, *relaxation], geometric, len(ops))
    if in_cache:
        return group_by_group(ops[geometric:], images, groups, rng)
    return side_by_side(ops[geometric:], as_floats(images), groups, rng)


def as_floats(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1], and floats as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def amounts(ops: Listing[Op], bucket: Tensor, strength: Tensor) -> Tensor:
    """Return the strengths in the physical units of their operations, [S, B]."""
    most = torch.tensor([0.0, *(op.most or 0.0 for op in ops)], dtype=torch.float64)
    return strength * to_device(most, strength.device, strength.dtype)[bucket]


def grouped(bucket: Tensor, numbers: Listing[Tensor], geometric: int, count: int) -> Groups:
    """Return the groups of buckets [S, B], with numbers [S, B, ...] of each image; see `group_sizes`.

    They are counted where the buckets are, and put in order where the numbers are.
    """
    bucket, order = bucket.sort(dim=1, stable=True)
    order = to_device(order, numbers[0].device)
    indices = (order.view(*order.shape, *[1] * (number.ndim - 2)).expand_as(number) for number in numbers)
    in_order = [number.gather(1, index) for number, index in zip(numbers, indices, strict=True)]
    return Groups(order, group_sizes(bucket, geometric, count), in_order)


def differentiated(images: Tensor, draws: Draws) -> bool:
    """Whether something is relaxed, or a gradient wanted."""
    requires_grad = images.requires_grad or draws.strength.requires_grad
    return draws.gate is not None or (torch.is_grad_enabled() and requires_grad)


def side_by_side(ops: Listing[Op], images: Tensor, groups: Groups, rng: Generator) -> Tensor:
    """Return the images after all stages, in groups that lie side by side; `ops` are those that move no pixels."""
    inverse = groups.order.argsort(dim=1)
    steps = torch.cat([groups.order[:1], inverse[:-1].gather(1, groups.order[1:]), inverse[-1:]])
    steps, *columns = all_to_device([steps, *groups.numbers], images.device)
    numbers = zip(*(column.unbind() for column in columns), strict=True)
    for step, sizes, (movement, amount, *relaxation) in zip(steps, groups.sizes, numbers, strict=False):
        images = reordered(images, step)
        unmoved_images, moving, *others = images.split(sizes)
        moved = affine(moving, movement.narrow(0, len(unmoved_images), len(moving))) if len(moving) else moving
        rows = zip(ops, others, amount.split(sizes)[2:], strict=True)
        after = [
            unmoved_images,
            moved,
            *(op.at(group, amounts, rng) if len(group) else group for op, group, amounts in rows),
        ]
        images = relaxed(images, after, *relaxation) if relaxation else torch.cat(after)
    return reordered(images, steps[-1]) if len(steps) else images


def group_by_group(ops: Listing[Op], images: Tensor, groups: Groups, rng: Generator) -> Tensor:
    """Return what `side_by_side` returns, with the images kept in their order."""
    before, after = images, room_for(images)
    changes: list[Callable[[Tensor, Tensor], Tensor]] = [still, affine, *(partial(op.at, rng=rng) for op in ops)]
    columns = (column.to(images.device) for column in (groups.order, *groups.numbers))
    for sizes, order, movement, amount in zip(groups.sizes, *columns, strict=True):
        first, _, *others = amount.split(sizes)
        numbers = (first, movement.split(sizes)[1], *others)
        for change, indices, argument in zip(changes, order.split(sizes), numbers, strict=True):
            if len(indices) and not (change is still and before is after):
                put(change(as_floats(before.index_select(0, indices)), argument), indices, after)
        before = after
    return before


def room_for(images: Tensor) -> Tensor:
    """Return uninitialised memory for these images as floats."""
    dtype = torch.float32 if images.dtype == torch.uint8 else images.dtype
    return torch.empty_like(images, dtype=dtype, memory_format=torch.contiguous_format)


def still(images: Tensor, _: Tensor) -> Tensor:
    """Return the images as they are: the change of those that meet nothing."""
    return images


def put(images: Tensor, indices: Tensor, whole: Tensor) -> None:
    """Set whole[indices] = images. A CPU copies number by number, and twice as fast in words of four."""
    images, numbers_per_word = images.contiguous(), WORD.itemsize // images.element_size()
    if images[0].numel() % numbers_per_word == 0 and images.storage_offset() % numbers_per_word == 0:
        images, whole = images.flatten(1).view(WORD), whole.flatten(1).view(WORD)
    whole.index_copy_(0, indices, images)


def apart(ops: Listing[Op], images: Tensor) -> bool:
    """Whether a CPU is faster with one image after the other.

    Not where an operation draws: it would draw in another order than on a GPU.
    """
    few_or_large = 0 < len(images) <= FEW or images[:1].numel() >= LARGE
    return len(images) == 1 or (few_or_large and not any(op.random for op in ops))


def one_by_one(ops: Listing[Op], images: Tensor, bucket: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    """Return what `group_by_group` returns: each image goes through all its stages while it is in the cache."""
    after = room_for(images)
    columns = bucket.t().tolist(), amount.to(images.device).split(1, dim=1)
    for image, target, stages, numbers in zip(images.split(1), after.split(1), *columns, strict=True):
        image = as_floats(image)
        for k, strength in zip(stages, numbers, strict=True):
            image = ops[k - 1].at(image, strength, rng) if k else image
        target.copy_(image)
    return after


def group_sizes(bucket: Tensor, geometric: int, count: int) -> list[list[int]]:
    """Return how many images of each stage meet nothing, something geometric, and each other operation.

    Args:
        bucket: sorted, [S, B].
        geometric: the number of geometric operations, of `count` altogether.
    """
    least = torch.arange(geometric, count + 2, device=bucket.device)
    least[:1].fill_(1)  # made on the GPU: a list, or a number into one place, would be sent there
    ends = torch.searchsorted(bucket, least.repeat(len(bucket), 1))
    return ends.diff(dim=1, prepend=ends.new_zeros(len(ends), 1)).tolist()


def matrices(ops: Listing[Op], bucket: Tensor, amount: Tensor, images: Tensor) -> Tensor:
    """Return the movement of each image at each stage, [S, B, 2, 3]; the identity where nothing moves it."""
    flat = amount.flatten()
    choices = [unmoved(flat).expand(len(flat), 2, 3)]
    for op in ops:
        assert op.matrix is not None, f"{op.name} moves no pixels"
        choices.append(op.matrix(flat, *images.shape[2:]))
    chosen = bucket.where(bucket <= len(ops), 0).view(1, -1, 1, 1).expand(1, -1, 2, 3)
    return torch.stack(choices).gather(0, chosen).view(*bucket.shape, 2, 3)


def join(bucket: Tensor, matrix: Tensor, geometric: int) -> tuple[Tensor, Tensor]:
    """Let a geometric draw wait for the next stage, and join it there, unless something else happens to its image."""
    buckets, movements = list(bucket), list(matrix)
    for stage in range(len(buckets) - 1):
        before, after = buckets[stage], buckets[stage + 1]
        waits = (before > 0) & (before <= geometric) & (after <= geometric)
        joined = composed(movements[stage], movements[stage + 1])
        movements[stage + 1] = torch.where(waits[:, None, None], joined, movements[stage + 1])
        buckets[stage], buckets[stage + 1] = before.where(~waits, 0), after.where(~waits, 1)
    return torch.stack(buckets), torch.stack(movements)
