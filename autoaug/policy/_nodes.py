"""The portable form of a policy: a tree of three kinds of node, checked when it is built.

    apply(op, strength or (low, high), probability)    one operation
    sequence([node, ...])                              one after the other; empty, it is the identity
    choice([(weight, node), ...])                      one of them, drawn for every image

    RandAugment(n, m)   = sequence of n times choice(uniform, apply(op, m))
    AutoAugment         = choice(uniform, 25 times sequence(apply, apply))
    MADAO               = sequence of K times choice(π, apply(op, μ, p))
    TrivialAugment      = choice(uniform, apply(op, (0, 1)))

At the root a `schedule` may stand instead: trees, each with the epoch from which it is in force.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from autoaug.fields import finite, plain, short
from autoaug.lookup import suggest
from autoaug.ops import OPS
from autoaug.policy._errors import one_line

MAX_LIST = 1_000
MAX_NAME = 100

FROZEN = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


def is_number(value: Any) -> bool:
    """Whether this is a finite real number; a bool is none.

    >>> from autoaug.policy import is_number
    >>> [is_number(value) for value in (1, 0.5, True, float("nan"), "1")]
    [True, True, False, False, False]
    """
    return finite(value) is not None


def check_amount(value: Any) -> Any:
    """Return a finite number as a float, or a pair (low, high) of them."""
    value = plain(value)
    if is_number(value):
        return float(value)
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = map(plain, value)
        if is_number(low) and is_number(high) and low <= high:
            return float(low), float(high)
    raise ValueError(f"{short(value)} is neither a finite number nor a pair [low, high] with low <= high")


Name = Annotated[str, Field(max_length=MAX_NAME)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Amount = Annotated[float | tuple[float, float], BeforeValidator(check_amount)]


class Apply(BaseModel):
    """One operation, at a strength that is fixed or uniform over (low, high), with a probability."""

    model_config = FROZEN
    kind: Literal["apply"] = "apply"
    op: Annotated[Name, Field(json_schema_extra={"enum": sorted(OPS)})]
    strength: Amount = 1.0
    """In [0, 1], where 0 is the identity; of a signed operation without `mirror`, in [-1, 1].
    Operations without a strength (invert, equalize, auto_contrast, flips) ignore it."""
    probability: Annotated[Number, Field(ge=0, le=1)] = 1.0
    mirror: Annotated[bool, Field(strict=True)] = True
    """Give a signed operation a fair random sign for every image. Others ignore it."""
    most: Annotated[Number, Field(gt=0)] | None = None
    """The physical amount at strength 1, where it is not the one of the table of ranges."""
    amount: Amount | None = None
    """The strength in `unit`, without the random sign. Filled in, and checked where given, by PolicyTree."""
    unit: Name | None = None

    @field_validator("op")
    @classmethod
    def known(cls, name: str) -> str:
        if name not in OPS:
            raise ValueError(f"unknown op {name!r}: {suggest(name, OPS)}")
        return name

    @model_validator(mode="after")
    def within_range(self) -> Self:
        op, (low, high) = OPS[self.op], bounds(self.strength)
        least = -1.0 if op.signed and not self.mirror else 0.0
        if low < least or high > 1.0:
            hint = "; mirror=False allows a sign" if op.signed and self.mirror else ""
            raise ValueError(f"strength {self.strength} of {self.op} is outside [{least:g}, 1]{hint}")
        if self.most is not None and op.most is None:
            raise ValueError(f"most {self.most} is given to {self.op}, which has no strength: remove it")
        return self


class Sequence(BaseModel):
    """Nodes one after the other."""

    model_config = FROZEN
    kind: Literal["sequence"] = "sequence"
    nodes: Annotated[tuple["Node", ...], Field(max_length=MAX_LIST)]


class Option(BaseModel):
    """One of the nodes of a choice."""

    model_config = FROZEN
    weight: Annotated[Number, Field(ge=0)]
    """Probability up to a common factor."""
    node: "Node"


class Choice(BaseModel):
    """One of several nodes, drawn for every image."""

    model_config = FROZEN
    kind: Literal["choice"] = "choice"
    options: Annotated[tuple[Option, ...], Field(min_length=1, max_length=MAX_LIST)]

    @field_validator("options")
    @classmethod
    def drawable(cls, options: tuple[Option, ...]) -> tuple[Option, ...]:
        total = sum(option.weight for option in options)
        if not 0 < total < math.inf:
            raise ValueError(f"the weights sum to {total}: make at least one positive, and none huge")
        return options


class ScheduleStep(BaseModel):
    """One tree of a schedule, in force from `epoch` on."""

    model_config = FROZEN
    epoch: Annotated[int, Field(strict=True, ge=1)]
    node: "Node"


class Schedule(BaseModel):
    """Trees that follow each other while a network trains. Epochs count from 1."""

    model_config = FROZEN
    kind: Literal["schedule"] = "schedule"
    steps: Annotated[tuple[ScheduleStep, ...], Field(min_length=1, max_length=MAX_LIST)]

    @field_validator("steps")
    @classmethod
    def in_order(cls, steps: tuple[ScheduleStep, ...]) -> tuple[ScheduleStep, ...]:
        epochs = [step.epoch for step in steps]
        if epochs[0] != 1 or any(earlier >= later for earlier, later in pairwise(epochs)):
            raise ValueError(f"epochs {short(epochs)} must begin with 1 and increase")
        return steps


Node = Annotated[Apply | Sequence | Choice, Field(discriminator="kind")]
AnyNode = Apply | Sequence | Choice


Sequence.model_rebuild()
Option.model_rebuild()
ScheduleStep.model_rebuild()
Choice.model_rebuild()
Schedule.model_rebuild()


def apply(
    op: str,
    strength: float | tuple[float, float] = 1.0,
    probability: float = 1.0,
    *,
    mirror: bool = True,
    most: float | None = None,
) -> Apply:
    """Make a node of one operation; see `Apply` for the ranges. A pair as strength is drawn uniformly for every image.

    Raises:
        PolicyError: an unknown operation, or a number outside its range.

    >>> from autoaug.policy import apply, policy_tree
    >>> node = policy_tree(apply("rotate", (0.0, 0.5), probability=0.8)).root
    >>> node.amount, node.unit, node.mirror  # up to 15 degrees, to either side
    ((0.0, 15.0), 'degrees', True)
    """
    with one_line("apply()"):
        arguments = {"strength": strength, "probability": probability, "mirror": mirror, "most": most}
        return Apply.model_validate({"op": op, **{name: plain(value) for name, value in arguments.items()}})


def sequence(nodes: Iterable[AnyNode] = ()) -> Sequence:
    """Make a node that runs nodes one after the other; without any, it is the identity.

    Raises:
        PolicyError: an entry is no node, or there are more than 1,000.

    >>> from autoaug.policy import apply, policy_tree, sequence, stages
    >>> stages(sequence([apply("shear_x", 0.3), apply("color", 0.5)]))  # an image meets both
    2
    """
    with one_line("sequence()"):
        return Sequence(nodes=tuple(nodes))


def choice(options: Iterable[tuple[float, AnyNode]]) -> Choice:
    """Make a node that runs one of its nodes, drawn for every image with a probability proportional to its weight.

    Raises:
        PolicyError: a weight is negative, all are 0, or there is no option.

    >>> from autoaug.policy import apply, choice, op_masses, policy_tree
    >>> op_masses(policy_tree(choice([(3.0, apply("rotate", 0.5)), (1.0, apply("invert"))])))
    {'rotate': 0.75, 'invert': 0.25}
    """
    with one_line("choice()"):
        return Choice.model_validate({"options": [{"weight": plain(weight), "node": node} for weight, node in options]})


def schedule(steps: Iterable[tuple[int, AnyNode]]) -> Schedule:
    """Make a root of trees in force from an epoch on: pairs (first epoch, node), of which the first has epoch 1.

    Raises:
        PolicyError: the epochs do not begin with 1, or do not increase.

    >>> from autoaug.policy import apply, policy_tree, schedule, sequence
    >>> tree = policy_tree(schedule([(1, sequence()), (10, apply("rotate", 0.5))]))
    >>> [getattr(tree.at(epoch), "op", None) for epoch in (9, 10)]
    [None, 'rotate']
    """
    with one_line("schedule()"):
        return Schedule.model_validate({"steps": [{"epoch": plain(epoch), "node": node} for epoch, node in steps]})


def bounds(value: float | tuple[float, float]) -> tuple[float, float]:
    """Return a pair as it is, and a fixed value as a range of width zero.

    >>> from autoaug.policy import bounds
    >>> bounds(0.5), bounds((0.0, 1.0))
    ((0.5, 0.5), (0.0, 1.0))
    """
    return value if isinstance(value, tuple) else (value, value)


def children(node: AnyNode | Schedule) -> list[tuple[str, AnyNode]]:
    """Return the nodes right below a node, each with its path from there.

    >>> from autoaug.policy import apply, children, sequence
    >>> [path for path, _ in children(sequence([apply("invert"), sequence()]))]
    ['.nodes[0]', '.nodes[1]']
    """
    match node:
        case Sequence():
            return [(f".nodes[{k}]", child) for k, child in enumerate(node.nodes)]
        case Choice():
            return [(f".options[{k}].node", option.node) for k, option in enumerate(node.options)]
        case Schedule():
            return [(f".steps[{k}].node", step.node) for k, step in enumerate(node.steps)]
        case _:
            return []


def with_children(node: AnyNode | Schedule, nodes: list[AnyNode]) -> AnyNode | Schedule:
    """Return the same node over other nodes, in the order of `children`."""
    match node:
        case Sequence():
            return node.model_copy(update={"nodes": tuple(nodes)})
        case Choice():
            pairs = zip(node.options, nodes, strict=True)
            return node.model_copy(
                update={"options": tuple(option.model_copy(update={"node": new}) for option, new in pairs)}
            )
        case Schedule():
            steps = zip(node.steps, nodes, strict=True)
            return node.model_copy(
                update={"steps": tuple(step.model_copy(update={"node": new}) for step, new in steps)}
            )
        case _:
            return node
