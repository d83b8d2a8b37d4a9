"""What a stored policy does to images: how many of them meet each operation, and how far it then goes.

A policy is the plain data of a `PolicyTree`, as studies keep it; nothing here makes a policy, which would need torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

UNITS = {"degrees": "°", "bits removed": " bits", "turns": " turns", "points of quality": " points"}
"""How a unit is written behind its amount, where it is not left out as 1/4 of what an image has is: "25 %"."""


class Met(NamedTuple):
    """Hold one operation of a policy as a share of all images meets it."""

    op: str
    reached: float
    """Share of images that come to its node, in [0, 1]."""
    applied: float
    """Share of images to which it is applied, in [0, 1]: `reached` times its probability."""
    strength: float
    """Mean of its absolute value, in [0, 1]."""
    amount: float | None
    """Mean of its absolute value in `unit`; None of an operation without a strength."""
    unit: str
    most: float | None
    """The amount at strength 1, as far as it can be told: not of a strength of 0."""


@dataclass(frozen=True)
class Use:
    """What a policy makes of one operation, over all its nodes."""

    share: float
    """Of images that meet it at least once, in [0, 1]."""
    strength: float
    """Mean of its absolute value where it is applied, in [0, 1] of the range of the policy."""
    amount: float | None
    unit: str
    most: float | None


def mean_size(value: float | list[float]) -> float:
    """Return the mean absolute value of a fixed number, or of one that is uniform between two ends."""
    if not isinstance(value, list | tuple):
        return abs(value)
    low, high = value
    if low >= 0 or high <= 0:
        return abs(low + high) / 2
    return (low**2 + high**2) / (2 * (high - low))


def met(node: Mapping[str, Any], reached: float = 1.0) -> Iterator[Met]:
    """Yield the operations of a node that a share of all images reaches."""
    if node["kind"] == "apply":
        strength, amount = node["strength"], node.get("amount")
        size = mean_size(strength)
        physical = None if amount is None else mean_size(amount)
        most = physical / size if physical is not None and size else node.get("most")
        yield Met(node["op"], reached, reached * node["probability"], size, physical, node.get("unit") or "", most)
    elif node["kind"] == "sequence":
        for child in node["nodes"]:
            yield from met(child, reached)
    else:
        for weight, child in options(node):
            yield from met(child, reached * weight)


def options(choice: Mapping[str, Any]) -> list[tuple[float, Mapping[str, Any]]]:
    """Return the nodes of a choice, each with its probability."""
    total = sum(option["weight"] for option in choice["options"])
    return [(option["weight"] / total, option["node"]) for option in choice["options"]]


def share_met(node: Mapping[str, Any], op: str) -> float:
    """Return the share of images that meet an operation at least once below a node, in [0, 1]."""
    if node["kind"] == "apply":
        return node["probability"] if node["op"] == op else 0.0
    if node["kind"] == "choice":
        return sum(weight * share_met(child, op) for weight, child in options(node))
    spared = 1.0
    for child in node["nodes"]:
        spared *= 1 - share_met(child, op)  # what follows is drawn anew
    return 1 - spared


def in_force(root: Mapping[str, Any], epochs: int) -> list[tuple[float, Mapping[str, Any]]]:
    """Return the nodes of a policy, each with the share of the epochs 1 to `epochs` in which it is in force."""
    if root["kind"] != "schedule":
        return [(1.0, root)]
    steps, epochs = root["steps"], max(1, epochs)
    ends = [step["epoch"] - 1 for step in steps[1:]] + [epochs]
    lasting = [max(0, min(end, epochs) - step["epoch"] + 1) for step, end in zip(steps, ends, strict=True)]
    return [(last / epochs, step["node"]) for last, step in zip(lasting, steps, strict=True) if last]


def uses(tree: Mapping[str, Any], epochs: int) -> dict[str, Use]:
    """Return what a policy makes of each operation that it names, in the mean over the epochs of a training.

    Args:
        tree: the plain data of a `PolicyTree`.
        epochs: of the training in which the policy is on; only a schedule depends on it.
    """
    found: dict[str, list[Met]] = {}
    shares: dict[str, float] = {}
    for time, node in in_force(tree["root"], epochs):
        below = list(met(node, time))
        for each in below:
            found.setdefault(each.op, []).append(each)
        for op in dict.fromkeys(each.op for each in below):
            shares[op] = shares.get(op, 0.0) + time * share_met(node, op)
    return {op: together(each, shares[op]) for op, each in found.items()}


def together(nodes: list[Met], share: float) -> Use:
    """Return the mean of one operation over its nodes, each as often as it is applied."""
    total = sum(each.applied for each in nodes)
    weights = [each.applied / total if total else 1 / len(nodes) for each in nodes]
    strength = sum(weight * each.strength for weight, each in zip(weights, nodes, strict=True))
    amounts = [each.amount for each in nodes if each.amount is not None]
    amount = sum(weight * each for weight, each in zip(weights, amounts, strict=True)) if amounts else None
    most = max((each.most for each in nodes if each.most is not None), default=None)
    return Use(share, strength, amount, nodes[0].unit, most)


def physical(amount: float | None, unit: str) -> str:
    """Return an amount as one reads it: "13°", "25 %" of what has a size, "0.4" of all else; empty without one.

    >>> from dashboards.trees import physical
    >>> physical(13.2, "degrees"), physical(0.25, "of the width"), physical(0.4321, "tangent"), physical(None, "")
    ('13°', '25 %', '0.43', '')
    """
    if amount is None:
        return ""
    if unit.startswith("of "):
        return f"{100 * amount:.2g} %" if amount < 0.1 else f"{100 * amount:.0f} %"
    return f"{amount:.0f}" + UNITS.get(unit, "") if amount >= 10 else f"{amount:.2g}" + UNITS.get(unit, "")
