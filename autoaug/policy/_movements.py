"""The affine maps that an image went through by its draws, for masks and boxes that go with it.

C channels, H height, W width
"""

from collections.abc import Iterator
from collections.abc import Sequence as Listing

import torch
from torch import Generator, Tensor

from autoaug.ops import Op
from autoaug.ops import compose as composed
from autoaug.policy._compiled import Draws
from autoaug.policy._errors import PolicyError
from autoaug.policy._execute import amounts


def movements(
    ops: Listing[Op], draws: Draws, shape: tuple[int, int, int], rng: Generator, *, compose: bool = False
) -> list[Tensor]:
    """Return the maps [2, 3] of the image of a shape (C, H, W) that was drawn for, in turn, as `execute` moves it.

    Raises:
        PolicyError: an operation moves pixels by what is no affine map, whether it was drawn or not.
    """
    if bent := sorted({op.name for op in ops if op.bends}):
        raise PolicyError(
            f"masks and boxes cannot follow {' and '.join(bent)}, which is no affine map: leave it out of the policy, "
            "or give images alone"
        )
    strengths = amounts(ops, draws.bucket, draws.strength)
    pairs = zip(draws.bucket[:, 0].tolist(), strengths.unbind(), strict=True)
    maps: list[Tensor] = []
    waits = False
    for op, matrix in met([(ops[bucket - 1], amount) for bucket, amount in pairs if bucket], shape, rng):
        if matrix is not None and waits and op.matrix:
            maps[-1:] = composed(maps[-1][None], matrix[None])
        elif matrix is not None:
            maps.append(matrix)
        waits = compose and op.matrix is not None
    return maps


def met(
    ops: Listing[tuple[Op, Tensor]], shape: tuple[int, int, int], rng: Generator
) -> Iterator[tuple[Op, Tensor | None]]:
    """Yield the operations that an image meets by their amounts [1], and the map [2, 3] of those that move it."""
    last = max((k for k, (op, _) in enumerate(ops) if op.moves and op.random), default=-1)
    for k, (op, amount) in enumerate(ops):
        matrix = None
        if op.matrix:
            matrix = op.matrix(amount, *shape[1:])[0]
        elif op.moves:
            matrix = op.moves(amount, *shape[1:], rng)[0]
        elif op.random and k < last:
            op.at(torch.zeros(1, *shape), amount, rng)  # the generator goes on as it does for the image
        yield op, matrix
