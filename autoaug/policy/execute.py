"""Apply what was drawn for a batch: each operation once per stage, on the images that meet it.

B images, S stages
"""

from collections.abc import Sequence as Listing

import torch
from torch import Generator, Tensor

from autoaug.ops import Op, affine
from autoaug.ops import compose as composed
from autoaug.policy.plan import Draws


def execute(ops: Listing[Op], images: Tensor, draws: Draws, rng: Generator, *, compose: bool = False) -> Tensor:
    """Images [B, C, H, W] with what was drawn applied, stage after stage.

    Geometric operations need not even be told apart: they share one resampling per stage. Where the draws live on a
    GPU, the sizes of the groups are read back once, for all stages together.

    Args:
        ops: bucket k of the draws is ops[k - 1]; the geometric ones, which have a `matrix`, come first.
        rng: for operations that draw themselves.
        compose: join consecutive geometric draws of an image into one resampling. Away from the borders this is the
            same movement with fewer interpolations; what leaves the image and comes back is kept instead of black.
    """
    geometric = sum(op.matrix is not None for op in ops)
    bucket, matrix = draws.bucket, matrices(ops[:geometric], draws, images)
    if compose:
        bucket, matrix = join(bucket, matrix, geometric)
    bucket, order = bucket.sort(dim=1, stable=True)
    edges = torch.arange(1, len(ops) + 2, device=bucket.device).repeat(len(bucket), 1)
    starts = torch.searchsorted(bucket, edges).tolist()
    strength = draws.strength.gather(1, order).to(images.device)
    order, matrix = order.to(images.device), matrix.to(images.device)
    images = images.clone()
    for stage, edge in enumerate(starts):
        if edge[0] < edge[geometric]:
            rows = order[stage, edge[0] : edge[geometric]]
            moved = affine(images.index_select(0, rows), matrix[stage].index_select(0, rows))
            images.index_copy_(0, rows, moved)
        for k in range(geometric, len(ops)):
            if edge[k] < edge[k + 1]:
                rows = order[stage, edge[k] : edge[k + 1]]
                changed = ops[k](images.index_select(0, rows), strength[stage, edge[k] : edge[k + 1]], rng)
                images.index_copy_(0, rows, changed)
    return images


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
