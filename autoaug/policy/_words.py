"""A policy as a person reads it: a table of its operations, and what it does in one line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from autoaug.ops import OPS
from autoaug.policy._nodes import AnyNode, Apply, Choice, Schedule, Sequence, bounds
from autoaug.policy._tree import PolicyTree, stages
from autoaug.table import Table, as_text, to_table
from autoaug.text import counted

MOST_WORDS = 200
"""Characters of what a policy does in one line."""

ALIKE = 1.01
"""Operations are drawn alike whose shares differ by no more than this factor."""

NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

NOTHING = "–"


@dataclass(frozen=True)
class Met:
    """Hold an operation that images can meet, or with no name that they meet none."""

    stage: str
    node: Apply | None
    share: float
    """Of all images, those that are changed by it, in [0, 1]."""


def policy_table(tree: PolicyTree, epoch: int | None = None) -> Table:
    """Return the operations of a policy with their physical amounts, the most frequent of each stage first.

    The probability is that of an operation once it is chosen, and the share counts all images. Stages that are the same
    are one line each, "1 to 3". A sub-policy is a choice of several operations in turn: "sub-policy 4, 2" is the second
    of the fourth.

    Args:
        epoch: of a schedule; None is its last.

    >>> from autoaug.policy import apply, choice, policy_table, policy_tree, sequence
    >>> nodes = [choice([(3.0, apply("rotate", 0.5, probability=0.8)), (1.0, apply("invert"))]), apply("color", (0, 1))]
    >>> for cells in policy_table(policy_tree(sequence(nodes))).cells:
    ...     print(cells)
    ['1', 'rotate', '±15°', '80 %', '60 %']
    ['1', 'invert', '–', '100 %', '25 %']
    ['2', 'color', 'up to ±90 %', '100 %', '100 %']
    """
    return Table(
        ["stage", "operation", "amount", "probability", "share of images"],
        [
            [
                each.stage,
                each.node.op if each.node else "nothing",
                (show_amount(each.node) if each.node else "") or NOTHING,
                percent(each.node.probability) if each.node else NOTHING,
                percent(each.share),
            ]
            for each in met(node_of(tree, epoch))
        ],
    )


def policy_html(tree: PolicyTree) -> str:
    """Return a policy as a notebook shows it: what it does in a line, its table, and where it comes from."""
    study, strategy = tree.provenance.get("study"), tree.provenance.get("strategy")
    found = f" ({strategy} in {study})" if study and strategy else ""
    heading = f"<p><strong>{as_text(f'policy{found}: {in_words(tree)}')}</strong></p>"
    said = str(tree.provenance.get("sentence", ""))
    return "\n".join([heading, *([f"<p>{as_text(said)}</p>"] if said else []), to_table(policy_table(tree))])


def in_words(tree: PolicyTree, most: int = MOST_WORDS, epoch: int | None = None) -> str:
    """Return what a policy does to images in one line, the most frequent operations first.

    Args:
        most: characters of the line, at least 80; operations that have no room are counted.
        epoch: of a schedule; None is its last.

    >>> from autoaug.policy import in_words, policy_tree, ready, sequence
    >>> in_words(ready.randaugment(n=2, m=0.5))
    'up to two of 13 operations per image, all alike, at 50 % of their strength'
    >>> in_words(policy_tree(sequence()))
    'images stay as they are'
    """
    node = node_of(tree, epoch)
    before, drawn = fixed_first(node)
    head = f"{', '.join(before)}, then " if before else ""
    line = head + of_node(drawn, most - len(head))
    return line if len(line) <= most else of_node(node, most)


def fixed_first(node: AnyNode) -> tuple[list[str], AnyNode]:
    """Return in words what stands before all choices, such as a standard flip, and the choices; else no words."""
    nodes = node.nodes if isinstance(node, Sequence) else ()
    fixed = list(takewhile(lambda each: isinstance(each, Apply), nodes))
    rest = nodes[len(fixed) :]
    drawn = Sequence(nodes=tuple(rest)) if len(rest) > 1 else next(iter(rest), node)
    if not any(isinstance(each, Choice) for each in rest) or not any(each.node and each.share for each in met(drawn)):
        return [], node
    words = []
    for each in fixed:
        assert isinstance(each, Apply), "they were taken as such"
        amount = in_brackets([Met("", each, 1.0)])
        words.append(f"{each.op}{amount}" + (f" of {percent(each.probability)}" if each.probability < 1 else ""))
    return words, drawn


def of_node(node: AnyNode, most: int) -> str:
    """Return what a node does to images in one line."""
    every = [each for each in met(node) if each.node and each.share > 0]
    by_op: dict[str, list[Met]] = {}
    for each in every:
        assert each.node, "the others were left out"
        by_op.setdefault(each.node.op, []).append(each)
    if not by_op:
        return "images stay as they are"
    masses = {op: sum(each.share * times(each) for each in some) for op, some in by_op.items()}
    total, depth = sum(masses.values()), stages(node)
    if depth == len(by_op) and min(masses.values()) > 1 - 1e-6:
        return listed("every image: ", [f"{op}{in_brackets(by_op[op])}" for op in masses], most)
    count = NUMBERS[depth] if depth < len(NUMBERS) else str(depth)
    of = f"{'' if total > depth - 1e-6 else 'up to '}{count} of {counted(len(by_op), 'operation')} per image"
    if len(by_op) > 1 and max(masses.values()) < ALIKE * min(masses.values()):
        return f"{of}, all alike, {at_strength(every)}"
    ranked = sorted(masses, key=lambda op: -masses[op])
    parts = [f"{percent(masses[op] / total)} {op}{in_brackets(by_op[op])}" for op in ranked]
    return listed(f"{of}: ", parts, most)


def listed(head: str, parts: list[str], most: int) -> str:
    """Return parts after a head, as many as have room, and how many more there are."""
    for count in range(len(parts), 0, -1):
        more = f" and {len(parts) - count} more" if count < len(parts) else ""
        if len(line := head + ", ".join(parts[:count]) + more) <= most:
            return line
    return f"{head}{counted(len(parts), 'operation')}"[:most]


def at_strength(every: list[Met]) -> str:
    """Return at which strength operations are applied that are drawn alike."""
    strengths = {each.node.strength for each in every if each.node}
    if len(strengths) > 1:
        return "each at a strength of its own"
    low, high = bounds(strengths.pop())
    if low == high:
        return f"at {percent(high)} of their strength"
    return "at any strength" if (low, high) == (0.0, 1.0) else f"at {percent(low)} to {percent(high)} of their strength"


def in_brackets(some: list[Met]) -> str:
    """Return the amounts of an operation, wherever it stands: " (±13°)"; nothing where it has none."""
    nodes = [each.node for each in some if each.node and each.node.amount is not None]
    if not nodes:
        return ""
    ends = [bounds(node.amount) for node in nodes if node.amount is not None]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return f" ({show_amount(nodes[0].model_copy(update={'amount': high if low == high else (low, high)}))})"


def node_of(tree: PolicyTree, epoch: int | None) -> AnyNode:
    """Return the node in force in an epoch, or in the last one."""
    if epoch is not None:
        return tree.at(epoch)
    return tree.root.steps[-1].node if isinstance(tree.root, Schedule) else tree.root


def met(node: AnyNode) -> Iterator[Met]:
    """Yield the operations that images can meet, stage by stage, the most frequent first; equal stages are joined."""
    nodes = node.nodes if isinstance(node, Sequence) else (node,)
    begin = 0
    while begin < len(nodes):
        end = begin + 1
        while end < len(nodes) and nodes[end] == nodes[begin]:
            end += 1
        stage = str(end) if end == begin + 1 else f"{begin + 1} to {end}"
        found = sorted(walk(nodes[begin], 1.0), key=lambda each: 0.0 if each.stage else -each.share)
        for each in found:
            before = stage if len(nodes) > 1 or not each.stage else ""
            yield replace(each, stage=", ".join(filter(None, [before, each.stage])))
        begin = end


def walk(node: AnyNode, share: float) -> Iterator[Met]:
    """Yield what a share of all images meets at a node, without the stage of a plain choice."""
    match node:
        case Apply():
            yield Met("", node, share * node.probability)
        case Choice():
            total = sum(option.weight for option in node.options)
            for k, option in enumerate(node.options, start=1):
                several = isinstance(option.node, Sequence) and len(option.node.nodes) > 1
                for each in walk(option.node, share * option.weight / total):
                    yield replace(each, stage=f"sub-policy {k}, {each.stage}") if several else each
        case Sequence() if not node.nodes:
            yield Met("", None, share)
        case Sequence():
            for k, child in enumerate(node.nodes, start=1):
                for each in walk(child, share):
                    yield replace(each, stage=", ".join(filter(None, [str(k), each.stage])) if node.nodes[1:] else "")


def times(each: Met) -> int:
    """Return in how many equal stages an operation stands: 3 of "1 to 3"."""
    first, _, rest = each.stage.partition(" to ")
    return int(rest.split(",")[0]) - int(first) + 1 if rest else 1


def percent(share: float) -> str:
    """Return a share in percent, with a decimal below 10: "78 %", "2.1 %", "<0.1 %"."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def show_amount(node: Apply) -> str:
    """Return the physical amount of an operation with its unit: "±26°", "up to ±20 % of the width"; "" without one.

    >>> from autoaug.policy import apply, policy_tree, show_amount
    >>> show_amount(policy_tree(apply("rotate", (0.0, 0.5))).root)
    'up to ±15°'
    """
    if node.amount is None:
        return ""
    scale, suffix = scale_of(node.unit or "")
    low, high = (scale * end for end in bounds(node.amount))
    signed = OPS[node.op].signed
    sign = "±" if signed and node.mirror else ""
    plus = "+" if signed and not node.mirror else ""
    if low == high:
        return f"{sign}{high:{plus}{digits(high)}}{suffix}"
    if low == 0 and not plus:
        return f"up to {sign}{high:{digits(high)}}{suffix}"
    return f"{sign}{low:{plus}{digits(high)}} to {sign}{high:{plus}{digits(high)}}{suffix}"


def scale_of(unit: str) -> tuple[float, str]:
    """Return what an amount is multiplied with to be read, and what stands after it."""
    if unit == "degrees":
        return 1.0, "°"
    if unit == "factor - 1":
        return 100.0, " %"
    return (100.0, f" % {unit}") if unit.startswith("of ") else (1.0, f" {unit}".rstrip())


def digits(value: float) -> str:
    """Return the format of a figure: whole from 10 on, else two digits."""
    return ".0f" if abs(value) >= 9.95 else ".2g"
