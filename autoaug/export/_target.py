"""What kornia and albumentations have in common: both nest their transforms as a policy nests its nodes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from autoaug.export._code import Code, assigned, braces, by_epoch, call, heading, literal, pair
from autoaug.export._export import Export, require_known
from autoaug.ops import RANGES, Op
from autoaug.policy import AnyNode, Apply, Choice, PolicyTree, Schedule, Sequence, bounds, children, stages


@dataclass(frozen=True)
class OpExport:
    """An operation in the words of another library, and what is lost."""

    code: Callable[[float, float, float], Code]
    """The amount's bounds in physical units (zeros where the operation has none), and the probability."""
    lost: str = ""
    lost_in_ranges: str = ""
    """Where the amount is drawn from a range."""
    lost_between: str = ""
    """Where other operations come before it, so that its images have values between the 8-bit levels."""
    splits: bool = False
    """Whether amounts below and above zero take different transforms."""


@dataclass(frozen=True)
class ExportTarget:
    """The terms of a library: its operations, its nesting, and what the file that it reads begins with."""

    rows: Mapping[str, OpExport]
    whole: Callable[[Code], Code]
    """What the outermost node stands in."""
    doc: str
    """The docstring of the file."""
    imports: str
    """Its imports, and its functions `in_turn(*transforms)` and `one_of(*pairs of weight and transform)`."""
    refused: Mapping[str, str]
    """The operations that it has no words for, and why."""
    lost_in_choices: str = ""
    lost_between: str = ""
    """Where an image can meet more than one operation."""


Range = tuple[float, float]

FACTOR = (-1.0, math.inf)
LIMITS: dict[str, Range] = {
    "brightness": FACTOR,
    "contrast": FACTOR,
    "color": FACTOR,
    "sharpness": FACTOR,
    "saturation": FACTOR,
    "hue": (-0.5, 0.5),
    "solarize": (0.0, 1.0),
    "posterize": (0.0, 8.0),
    "cutout": (0.0, 1.0),
    "perspective": (0.0, 0.65),
    "random_erasing": (0.0, 1.0),
    "jpeg": (0.0, 99.0),
    "salt_and_pepper": (0.0, 1.0),
    "planckian_jitter": (-1.0, 1.0),
    "plasma_brightness": (0.0, 1.0),
    "plasma_shadow": (0.0, 1.0),
}
"""Amounts beyond these are refused by other libraries. None of the ranges of autoaug.ops goes beyond them."""


def kelvin(way: float) -> float:
    """Return the temperature of light that an amount of planckian_jitter stands for."""
    return 6500 + way * (8500 if way > 0 else 3500)


def translate(tree: PolicyTree, target: ExportTarget) -> Export:
    """Return a policy as a file of Python that defines `policy`, or for a schedule `policies` by the first epoch."""
    require_known((node.op for node in walk(tree) if isinstance(node, Apply)), target.rows, target.refused)
    lost = losses(tree, target)
    policies = {str(epoch): target.whole(write(node, tree, target)) for epoch, node in by_epoch(tree).items()}
    is_schedule = isinstance(tree.root, Schedule)
    data = assigned("policies", braces(policies)) if is_schedule else assigned("policy", policies["1"])
    return Export(f"{heading(tree, target.doc, lost)}\n{target.imports}\n\n{data}\n", lost)


def write(node: AnyNode, tree: PolicyTree, target: ExportTarget) -> Code:
    """Return a node in the terms of the library."""
    match node:
        case Apply():
            return write_apply(node, RANGES[tree.ranges][node.op], target)
        case Sequence():
            return call("in_turn", *(write(child, tree, target) for child in node.nodes))
        case Choice():
            return one_of((option.weight, write(option.node, tree, target)) for option in node.options)


def write_apply(node: Apply, op: Op, target: ExportTarget) -> Code:
    """Return one transform, or a choice of several where the amount has a random sign."""
    row = target.rows[node.op]
    if node.amount == 0:
        return call("in_turn")
    options = [(weight, row.code(low, high, node.probability)) for weight, low, high in branches(node, op, row.splits)]
    return options[0][1] if len(options) == 1 else one_of(options)


def one_of(options: Iterable[tuple[float, Code]]) -> Code:
    """Return a choice of pairs of weight and code."""
    return call("one_of", *(pair(literal(weight), code) for weight, code in options))


def branches(node: Apply, op: Op, splits: bool = False) -> list[tuple[float, float, float]]:
    """Return the ranges from one of which a signed amount is drawn: weight, low, high."""
    low, high = bounds(node.amount or 0.0)
    signs = [(low, high), (-high, -low)] if op.signed and node.mirror else [(low, high)]
    if splits:
        signs = [half for branch in signs for half in halves(branch)]
    elif low == 0 and len(signs) == 2:
        signs = [(-high, high)]
    return [(high - low or 1.0, cut(node.op, low), cut(node.op, high)) for low, high in signs]


def halves(branch: Range) -> list[Range]:
    """Return a range cut at zero, where it reaches over it."""
    low, high = branch
    return [(low, 0.0), (0.0, high)] if low < 0 < high else [branch]


def cut(op: str, amount: float) -> float:
    """Return the nearest amount that other libraries take."""
    least, most = LIMITS.get(op, (-math.inf, math.inf))
    return min(max(amount, least), most)


def losses(tree: PolicyTree, target: ExportTarget) -> tuple[str, ...]:
    """Return what the library cannot express of a policy, each loss once, in the order of the policy."""
    several = stages(tree.root) > 1
    lost = [target.lost_between if several else ""]
    for node in walk(tree):
        if isinstance(node, Apply):
            lost += apply_losses(node, RANGES[tree.ranges][node.op], target, several)
        elif isinstance(node, Choice) and sum(option.weight > 0 for option in node.options) > 1:
            lost.append(target.lost_in_choices)
    return tuple(dict.fromkeys(filter(None, lost)))


def apply_losses(node: Apply, op: Op, target: ExportTarget, several: bool) -> list[str]:
    """Return what the library cannot express of an operation; "" where a loss does not apply."""
    row = target.rows[node.op]
    low, high = bounds(node.amount or 0.0)
    mirrored = -high if op.signed and node.mirror else low
    beyond = any(cut(node.op, amount) != amount for amount in (low, high, mirrored))
    return [
        row.lost,
        row.lost_in_ranges if low < high else "",
        row.lost_between if several else "",
        target.lost_in_choices if len(branches(node, op, row.splits)) > 1 else "",
        f"{node.op} goes no further than {LIMITS[node.op]}" if beyond else "",
    ]


def walk(tree: PolicyTree) -> Iterator[AnyNode]:
    """Return all nodes of a policy, each before those below it."""
    stack = list(by_epoch(tree).values())
    while stack:
        node = stack.pop()
        yield node
        stack += reversed([child for _, child in children(node)])
