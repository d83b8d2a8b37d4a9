"""A whole policy as plain data: what policy.json holds, and what can be read off it."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from autoaug.fields import short
from autoaug.lookup import suggest
from autoaug.ops import RANGES, Op
from autoaug.policy._errors import PolicyError, one_line
from autoaug.policy._nodes import (
    FROZEN,
    AnyNode,
    Apply,
    Choice,
    Name,
    Schedule,
    Sequence,
    bounds,
    children,
    is_number,
    with_children,
)

SCHEMA: Literal["autoaug.policy/1"] = "autoaug.policy/1"
MAX_DEPTH = 20
"""Levels of nodes in a tree."""
MAX_NODES = 10_000
MAX_STAGES = 100
"""Operations that one image can meet."""
APPROXIMATION = "approximation"
"""The fact of the provenance that says what a tree does differently from the policy that it was read off."""
MAX_FACT = 1_000
"""Characters of a fact of the provenance."""


def check_fact(value: Any) -> Any:
    """Return a fact of the provenance: a finite number, or a text of up to MAX_FACT characters."""
    if is_number(value) or (isinstance(value, str) and len(value) <= MAX_FACT):
        return value
    raise ValueError(f"{short(value)} is neither a finite number nor a text of up to {MAX_FACT} characters")


Fact = Annotated[str | int | float, BeforeValidator(check_fact)]
Root = Annotated[Apply | Sequence | Choice | Schedule, Field(discriminator="kind")]


class PolicyTree(BaseModel):
    """A whole policy as plain data: what policy.json holds.

    Its operations know their physical amounts. `policy_tree` builds one from a node.

    >>> from autoaug.policy import PolicyTree
    >>> PolicyTree.model_validate({"root": {"kind": "apply", "op": "rotate", "strength": 0.5}}).root.amount
    15.0
    """

    model_config = FROZEN | ConfigDict(json_schema_extra={"$id": SCHEMA, "required": ["schema", "root"]})
    version: Annotated[Literal["autoaug.policy/1"], Field(alias="schema")] = SCHEMA
    ranges: Annotated[Name, Field(json_schema_extra={"enum": sorted(RANGES)})] = "autoaugment"
    """Which table of `autoaug.ops.RANGES` the strengths refer to."""
    root: Root
    provenance: Annotated[dict[Name, Fact], Field(max_length=100)] = {}
    """Where the policy comes from: study, strategy, seed, fingerprint of the data, versions."""

    @field_validator("ranges")
    @classmethod
    def known(cls, name: str) -> str:
        if name not in RANGES:
            raise ValueError(f"unknown ranges {name!r}: {suggest(name, RANGES)}")
        return name

    @field_validator("root")
    @classmethod
    def measured(cls, root: "AnyNode | Schedule", info: Any) -> "AnyNode | Schedule":
        """Bound the size of the tree, and fill in physical amounts; `ranges` is unknown if it was itself wrong."""
        check_size(root)
        return measure(root, RANGES[info.data["ranges"]], "root") if "ranges" in info.data else root

    def _repr_html_(self) -> str:
        """Return the policy as a notebook shows it: in words, and as a table."""
        from autoaug.policy._words import policy_html  # it reads trees

        return policy_html(self)

    def at(self, epoch: int) -> AnyNode:
        """Return the node in force in an epoch; epochs count from 1."""
        if epoch < 1:
            raise PolicyError(f"epoch {epoch}: epochs count from 1")
        if isinstance(self.root, Schedule):
            return [step.node for step in self.root.steps if step.epoch <= epoch][-1]
        return self.root


def policy_tree(
    root: AnyNode | Schedule,
    ranges: str = "autoaugment",
    provenance: Mapping[str, str | int | float] | None = None,
) -> PolicyTree:
    """Make a whole policy of a node, with physical amounts in all its operations.

    Args:
        ranges: the table of `autoaug.ops.RANGES` that gives strengths their physical meaning.
        provenance: where the policy comes from, for the reader of its file.

    Raises:
        PolicyError: unknown ranges, a tree that is too large, or amounts that disagree with the strengths.

    >>> from autoaug.policy import apply, policy_tree
    >>> policy_tree(apply("rotate", 0.5)).root.amount, policy_tree(apply("rotate", 0.5), ranges="wide").root.amount
    (15.0, 67.5)
    """
    with one_line("policy"):
        return PolicyTree(ranges=ranges, root=root, provenance=dict(provenance or {}))


def check_size(root: AnyNode | Schedule) -> None:
    """Refuse a tree that is too deep, too large or too long to be run. No recursion: the tree may be hostile."""
    stack, count = [("root", root, 1)], 0
    while stack:
        path, node, depth = stack.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise PolicyError(f"{path}: more than {MAX_DEPTH} levels of nodes: flatten the tree")
        if count > MAX_NODES:
            raise PolicyError(f"{path}: more than {MAX_NODES} nodes: use fewer")
        stack += [(path + step, child, depth + 1) for step, child in children(node)]
    if stages(root) > MAX_STAGES:
        raise PolicyError(f"root: an image could meet {stages(root)} operations: allow at most {MAX_STAGES}")


def stages(node: AnyNode | Schedule) -> int:
    """Return the most operations that one image can meet.

    >>> from autoaug.policy import ready, stages
    >>> stages(ready.randaugment(n=3).root), stages(ready.autoaugment_cifar10().root)
    (3, 2)
    """
    if isinstance(node, Apply):
        return 1
    below = [stages(child) for _, child in children(node)]
    return sum(below) if isinstance(node, Sequence) else max(below)


def measure(node: Any, table: Mapping[str, Op], path: str) -> Any:
    """Return the node with physical amounts in all its operations; amounts that are there already must agree."""
    if isinstance(node, Apply):
        return measure_apply(node, table, path)
    return with_children(node, [measure(child, table, path + step) for step, child in children(node)])


def measure_apply(node: Apply, table: Mapping[str, Op], path: str) -> Apply:
    """Return an operation with its physical amount and unit filled in."""
    if node.op not in table:
        raise PolicyError(f"{path}.op: {node.op!r} is not among these ranges: {suggest(node.op, table)}")
    op = table[node.op]
    most = op.most if node.most is None else node.most
    amount = None if most is None else scale(node.strength, most)
    measured = {"amount": amount, "unit": op.unit if amount is not None else None}
    if node.unit not in (None, measured["unit"]):
        raise PolicyError(f"{path}.unit: {node.unit!r} is not the unit of {node.op}: write {measured['unit']!r}")
    if node.amount is not None and not agree(node.amount, amount):
        raise PolicyError(
            f"{path}.amount: {short(node.amount)} disagrees with strength {short(node.strength)}, "
            f"which is {short(amount)} {op.unit}: correct one of them"
        )
    return node.model_copy(update=measured)


def scale(strength: float | tuple[float, float], most: float) -> float | tuple[float, float]:
    """Return a strength in physical units."""
    return (strength[0] * most, strength[1] * most) if isinstance(strength, tuple) else strength * most


def agree(first: float | tuple[float, float], second: float | tuple[float, float] | None) -> bool:
    """Whether two amounts are the same but for rounding; a range never equals a fixed value."""
    if second is None or isinstance(first, tuple) != isinstance(second, tuple):
        return False
    pairs = zip(bounds(first), bounds(second), strict=True)
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in pairs)


def op_masses(tree: PolicyTree, epoch: int = 1) -> dict[str, float]:
    """Return how often each operation is applied to an image, on average, in an epoch.

    One choice with probabilities π over operations with probabilities p gives π p; stages add up. All operations
    that the tree names are there, also those with mass 0.

    >>> from autoaug.policy import apply, op_masses, policy_tree, sequence
    >>> nodes = [apply("rotate", 0.5, probability=0.5), apply("rotate", 1.0, probability=0.25)]
    >>> op_masses(policy_tree(sequence(nodes)))
    {'rotate': 0.75}
    """
    masses: defaultdict[str, float] = defaultdict(float)
    weigh(tree.at(epoch), 1.0, masses)
    return dict(masses)


def weigh(node: AnyNode, share: float, masses: defaultdict[str, float]) -> None:
    """Add what a node contributes that a share of all images reaches."""
    match node:
        case Apply():
            masses[node.op] += share * node.probability
        case Sequence():
            for child in node.nodes:
                weigh(child, share, masses)
        case Choice():
            total = sum(option.weight for option in node.options)
            for option in node.options:
                weigh(option.node, share * option.weight / total, masses)
