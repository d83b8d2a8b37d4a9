"""What a policy did to each image of a batch, beside the images: from the same draws."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from autoaug.policy._execute import amounts, as_floats
from autoaug.policy._fixed import Fixed


class Applied(NamedTuple):
    """One operation that an image met.

    >>> from autoaug.policy import Applied
    >>> Applied("rotate", -13.0, "degrees").amount
    -13.0
    """

    op: str
    """Its row of `autoaug.ops.RANGES`."""
    amount: float | None
    """Physical, in `unit`; None where the operation has none."""
    unit: str


@torch.no_grad()
def applied(policy: Fixed, images: Tensor, rng: Generator) -> tuple[Tensor, list[tuple[Applied, ...]]]:
    """Return what the policy makes of images [B, C, H, W], and the operations that each of them met, in turn.

    Images and generator are after it as after `policy(images, rng)`.

    >>> import torch
    >>> from autoaug.policy import Fixed, applied, apply, policy_tree
    >>> policy = Fixed(policy_tree(apply("posterize", 0.5)))
    >>> applied(policy, torch.zeros(1, 1, 2, 2), torch.Generator().manual_seed(0))[1]
    [(Applied(op='posterize', amount=2.0, unit='bits removed'),)]
    """
    compiled = policy.compiled(rng.device)
    if not len(compiled.base):  # nothing is drawn
        return as_floats(images), [()] * len(images)
    ops = compiled.ops
    draws = policy.draw(len(images), rng)
    buckets, numbers = draws.bucket.t().tolist(), amounts(ops, draws.bucket, draws.strength).t().tolist()
    met = [
        tuple(
            Applied(ops[k - 1].name, None if ops[k - 1].most is None else amount, ops[k - 1].unit)
            for k, amount in zip(row, values, strict=True)
            if k
        )
        for row, values in zip(buckets, numbers, strict=True)
    ]
    return policy.apply_draws(images, draws, rng), met
