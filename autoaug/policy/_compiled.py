"""A tree of nodes as tables of numbers, from which a whole batch is drawn at once.

Every node has a fixed index in the order of operations, its *stage*: in AutoAugment the first operations of all
sub-policies share stage 0 and the second ones stage 1. So a batch needs one draw per choice, one table look-up per
choice, and then at each stage one call for each *distinct* operation, whichever leaves of the tree it came from.

    B images, S stages, L leaves (leaf 0 applies nothing), P choices
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from autoaug.devices import to_device
from autoaug.ops import Op
from autoaug.policy._nodes import AnyNode, Apply, Choice, Sequence, bounds, children


class ChoiceTable(NamedTuple):
    """The options of a choice node as numbers."""

    edges: Tensor
    """Cumulative probabilities of the n options, n numbers."""
    leaves: Tensor
    """Which leaf an option puts into which stage, [stages of this choice, n + 1]; the last column puts none."""
    first: int
    """The stage at which the choice begins."""
    parent: tuple[int, int] | None
    """The choice and the option under which this one stands."""


@dataclass(frozen=True)
class CompiledPolicy:
    """A compiled tree."""

    choices: tuple[ChoiceTable, ...]
    """Choices, each after the one under which it stands."""
    ops: tuple[Op, ...]
    """The distinct operations, geometric ones first. Bucket k holds the images that meet ops[k - 1]; bucket 0 those
    that meet none."""
    base: Tensor
    """The leaves that stand under no choice, [S]."""
    bucket: Tensor
    """Of the leaves, [L], as are those below."""
    probability: Tensor
    low: Tensor
    span: Tensor
    mirror: Tensor

    def to(self, device: torch.device) -> "CompiledPolicy":
        """Return the same policy with its tables on a device."""
        names = ("base", "bucket", "probability", "low", "span", "mirror")
        choices = (
            c._replace(edges=to_device(c.edges, device), leaves=to_device(c.leaves, device)) for c in self.choices
        )
        tables: dict[str, Any] = {name: to_device(getattr(self, name), device) for name in names}
        return replace(self, choices=tuple(choices), **tables)


class Draws(NamedTuple):
    """What a batch meets at each stage: numbers [S, B]."""

    bucket: Tensor
    strength: Tensor
    gate: Tensor | None = None
    """The share of the changed image in the result of a stage, where it is not all of it."""
    factor: Tensor | None = None
    """Goes with the gate, see `_passes.relaxed`."""


def draw(plan: CompiledPolicy, batch: int, rng: Generator) -> Draws:
    """Draw options, gates, strengths and signs for a batch, all independent between images.

    How many random numbers are taken depends on the tree and the batch size alone, never on what is drawn.
    """
    stages = len(plan.base)
    numbers = torch.rand(len(plan.choices) + 3 * stages, batch, generator=rng, device=rng.device)
    choosing, gate, level, sign = numbers.split([len(plan.choices), stages, stages, stages])
    leaf = draw_leaves(plan, choosing)
    bucket = plan.bucket[leaf] * (gate < plan.probability[leaf])
    strength = torch.addcmul(plan.low[leaf], plan.span[leaf], level)
    return Draws(bucket, torch.where(plan.mirror[leaf] & (sign < 0.5), -strength, strength))


def draw_leaves(plan: CompiledPolicy, choosing: Tensor) -> Tensor:
    """Return the leaf that each image meets at each stage, [S, B], from uniform numbers [P, B]."""
    leaf = plan.base[:, None].repeat(1, choosing.shape[1])
    options: list[Tensor] = []
    for table, uniform in zip(plan.choices, choosing, strict=True):
        option = torch.searchsorted(table.edges, uniform, right=True)
        if table.parent is not None:
            parent, parent_option = table.parent
            option = torch.where(options[parent] == parent_option, option, -1)  # not reached: the column of no leaves
        options.append(option)
        leaf[table.first : table.first + len(table.leaves)] += table.leaves[:, option]
    return leaf


def compile_policy(node: AnyNode, table: Mapping[str, Op]) -> CompiledPolicy:
    """Return the tables of a node; its strengths refer to a table of operations."""
    builder = Builder()
    base = builder.compile_node(node, 0, None)
    leaves = list(builder.leaves)
    keys = sorted({(leaf.op, leaf.most) for leaf in leaves}, key=lambda key: rank(table, *key))
    buckets = {key: k for k, key in enumerate(keys, start=1)}
    ranges = [bounds(leaf.strength) for leaf in leaves]
    return CompiledPolicy(
        choices=tuple(builder.choices[k] for k in range(len(builder.choices))),
        ops=tuple(with_most(table[name], most) for name, most in keys),
        base=torch.tensor(base, dtype=torch.long),
        bucket=torch.tensor([0] + [buckets[leaf.op, leaf.most] for leaf in leaves]),
        probability=torch.tensor([0.0] + [leaf.probability for leaf in leaves]),
        low=torch.tensor([0.0] + [low for low, _ in ranges]),
        span=torch.tensor([0.0] + [high - low for low, high in ranges]),
        mirror=torch.tensor([False] + [leaf.mirror and table[leaf.op].signed for leaf in leaves]),
    )


def with_most(op: Op, most: float | None) -> Op:
    """Return the operation with its physical range replaced."""
    return op if most is None else replace(op, most=most)


def rank(table: Mapping[str, Op], name: str, most: float | None) -> tuple[bool, int, float]:
    """Return a sort key: geometric operations first, then the order of the table, whatever the tree looks like."""
    return table[name].matrix is None, list(table).index(name), most or 0.0


class Builder:
    """The leaves and choices of a tree, numbered while it is walked."""

    def __init__(self) -> None:
        self.leaves: dict[Apply, int] = {}
        self.choices: dict[int, ChoiceTable] = {}

    def compile_node(self, node: AnyNode, first: int, parent: tuple[int, int] | None) -> list[int]:
        """Return the leaves of a node for the stages from `first` on; 0 where a choice will put them."""
        match node:
            case Apply():
                return [self.leaves.setdefault(node, len(self.leaves) + 1)]
            case Sequence():
                row: list[int] = []
                for _, child in children(node):
                    row += self.compile_node(child, first + len(row), parent)
                return row
            case Choice():
                return self.compile_choice(node, first, parent)

    def compile_choice(self, node: Choice, first: int, parent: tuple[int, int] | None) -> list[int]:
        """Add a choice and those below it to the tables, and return the leaf 0 for each of its stages."""
        index = len(self.choices)
        self.choices[index] = ChoiceTable(
            torch.empty(0), torch.empty(0), first, parent
        )  # keeps its place before those below
        rows = [self.compile_node(child, first, (index, k)) for k, (_, child) in enumerate(children(node))]
        leaves = torch.zeros(max(map(len, rows)), len(rows) + 1, dtype=torch.long)
        for k, row in enumerate(rows):
            leaves[: len(row), k] = torch.tensor(row, dtype=torch.long)
        self.choices[index] = ChoiceTable(edges(node), leaves, first, parent)
        return [0] * len(leaves)


def edges(node: Choice) -> Tensor:
    """Return the cumulative probabilities of the options.

    They are summed in float64, so that the last one is 1 in float32, which no uniform number reaches.
    """
    weights = torch.tensor([option.weight for option in node.options], dtype=torch.float64)
    return (weights / weights.sum()).cumsum(0).float()
