"""Apply what was drawn for a batch: each operation once per stage, on the images that meet it.

Before a stage the images are put in the order of their operations, so that each operation finds its images side by
side. The batch is copied twice per stage, backwards as well, however many operations there are.

B images, S stages
"""

from collections.abc import Sequence as Listing

import torch
from torch import Generator, Tensor

from autoaug.ops import Op, affine
from autoaug.ops import compose as composed
from autoaug.policy.plan import Draws
from autoaug.policy.stage import relaxed, reordered

LARGE = 3 * 128 * 128
"""Numbers in an image from which on a CPU spends less on one more call than on moving it (measured)."""


def execute(ops: Listing[Op], images: Tensor, draws: Draws, rng: Generator, *, compose: bool = False) -> Tensor:
    """Images [B, C, H, W] with what was drawn applied, stage after stage.

    Geometric operations need not even be told apart: they share one resampling per stage. Where the draws live on a
    GPU, the sizes of the groups are read back once, for all stages together. Large images on a CPU go one by one.

    Args:
        ops: bucket k of the draws is ops[k - 1]; the geometric ones, which have a `matrix`, come first.
        rng: for operations that draw themselves.
        compose: join consecutive geometric draws of an image into one resampling. Away from the borders this is the
            same movement with fewer interpolations; what leaves the image and comes back is kept instead of black.
    """
    geometric = sum(op.matrix is not None for op in ops)
    matrix = matrices(ops[:geometric], draws, images)
    if compose:
        bucket, matrix = join(draws.bucket, matrix, geometric)
        draws = draws._replace(bucket=bucket)
    if alone(ops, images):
        return one_by_one(ops, images, draws, matrix)
    return together(ops, images, draws, matrix, rng)


def alone(ops: Listing[Op], images: Tensor) -> bool:
    """Whether images go one by one. Not where an operation draws: it would draw in another order than on a GPU."""
    large = images.device.type == "cpu" and images[:1].numel() >= LARGE
    return large and not any(op.random for op in ops)


def together(ops: Listing[Op], images: Tensor, draws: Draws, matrix: Tensor, rng: Generator) -> Tensor:
    """All stages, with the movements [S, B, 2, 3] of the geometric draws."""
    geometric = sum(op.matrix is not None for op in ops)
    bucket, order = draws.bucket.sort(dim=1, stable=True)
    place = order.argsort(dim=1)
    steps = torch.cat([order[:1], place[:-1].gather(1, order[1:]), place[-1:]]).to(images.device)
    strength, *relaxing = (each.gather(1, order).to(images.device) for each in draws[1:] if each is not None)
    matrix = matrix.gather(1, order[..., None, None].expand_as(matrix)).to(images.device)
    numbers = zip(*(each.unbind() for each in (matrix, strength, *relaxing)), strict=True)
    sizes = group_sizes(bucket, geometric, len(ops))
    for stage, (movement, level, *relaxing_now) in enumerate(numbers):
        parts = reordered(images, steps[stage]).split(sizes[stage])
        still, moving, *groups = parts
        rows = zip(ops[geometric:], groups, level.split(sizes[stage])[2:], strict=True)
        moved = affine(moving, movement.narrow(0, len(still), len(moving))) if len(moving) else moving
        after = [still, moved, *(op(group, own, rng) if len(group) else group for op, group, own in rows)]
        images = relaxed(parts, after, *relaxing_now) if relaxing else torch.cat(after)
    return reordered(images, steps[-1]) if len(steps) else images


def group_sizes(bucket: Tensor, geometric: int, count: int) -> list[list[int]]:
    """How many images of each stage meet nothing, something geometric, and each of the other operations.

    Args:
        bucket: sorted, [S, B].
        geometric: the number of geometric operations, of `count` altogether.
    """
    least = torch.tensor([1, *range(geometric + 1, count + 2)], device=bucket.device).repeat(len(bucket), 1)
    ends = torch.searchsorted(bucket, least)
    return ends.diff(dim=1, prepend=ends.new_zeros(len(ends), 1)).tolist()


def one_by_one(ops: Listing[Op], images: Tensor, draws: Draws, matrix: Tensor) -> Tensor:
    """What `together` gives, without sorting images; without a graph they go straight to where they stay."""
    numbers = [each.to(images.device).split(1, dim=1) for each in (*draws[1:], matrix) if each is not None]
    rows = zip(images.split(1), draws.bucket.t().tolist(), zip(*numbers, strict=True), strict=True)
    done = (single(ops, *row) for row in rows)
    if torch.is_grad_enabled():
        return torch.cat(list(done))
    whole = torch.empty_like(images)
    for place, image in zip(whole.split(1), done, strict=True):
        place.copy_(image)
    return whole


def single(ops: Listing[Op], image: Tensor, bucket: list[int], numbers: tuple[Tensor, ...]) -> Tensor:
    """All stages of one image [1, C, H, W], with its strengths, its movements and between them what relaxes it."""
    strength, *relaxing, matrix = numbers
    for stage, k in enumerate(bucket):
        if k:
            op, before = ops[k - 1], image
            image = op(image, strength[stage]) if op.matrix is None else affine(image, matrix[stage])
            if relaxing:
                image = relaxed([before], [image], *(each[stage] for each in relaxing))
    return image


def matrices(ops: Listing[Op], draws: Draws, images: Tensor) -> Tensor:
    """The movement of each image at each stage, [S, B, 2, 3]; the identity where nothing geometric happens."""
    height, width = images.shape[2:]
    bucket, strength = draws.bucket.flatten(), draws.strength.flatten()
    matrix = torch.eye(2, 3, dtype=strength.dtype, device=strength.device).repeat(len(bucket), 1, 1)
    for k, op in enumerate(ops, start=1):
        assert op.matrix is not None, f"{op.name} moves no pixels"
        own = op.matrix(strength * (op.most or 0.0), height, width)
        matrix = torch.where((bucket == k)[:, None, None], own, matrix)
    return matrix.unflatten(0, draws.bucket.shape)


def join(bucket: Tensor, matrix: Tensor, geometric: int) -> tuple[Tensor, Tensor]:
    """Let a geometric draw wait for the next stage, and join it there, unless something else happens to its image."""
    buckets, movements = list(bucket), list(matrix)
    for stage in range(len(buckets) - 1):
        here, after = buckets[stage], buckets[stage + 1]
        waits = (here > 0) & (here <= geometric) & (after <= geometric)
        both = composed(movements[stage], movements[stage + 1])
        movements[stage + 1] = torch.where(waits[:, None, None], both, movements[stage + 1])
        buckets[stage], buckets[stage + 1] = here.where(~waits, 0), after.where(~waits, 1)
    return torch.stack(buckets), torch.stack(movements)
