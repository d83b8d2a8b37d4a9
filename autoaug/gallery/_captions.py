"""What was drawn for a picture, in words."""

import math
from collections.abc import Callable, Sequence

from autoaug.policy import Applied

NOTHING, HARDLY = "nothing", "hardly anything"
"""The captions of a picture that no operation met, and of one whose operations all did too little to be written."""

AMOUNTS: dict[str, Callable[[float], str]] = {
    "degrees": lambda amount: f"{whole(amount)}°",
    "turns": lambda amount: f"{whole(360 * amount)}°",
    "tangent": lambda amount: f"{round(amount, 2) + 0.0:.2f}",
    "factor - 1": lambda amount: f"×{1 + amount:.2g}",
    "log of the scale": lambda amount: f"×{math.exp(amount):.2g}",
    "log2 of the power": lambda amount: f"to the power {2**amount:.2f}",
    "bits removed": lambda amount: f"to {8 - round(amount)} bits",
}
"""How an amount is written in some units of `autoaug.ops`; in the others it is a number and the unit."""


def caption(met: Sequence[Applied]) -> str:
    """Return the operations that an image met, in turn, with their physical amounts; what rounds to none is left out.

    >>> from autoaug.gallery import caption
    >>> from autoaug.policy import Applied
    >>> caption([Applied("rotate", -13.2, "degrees"), Applied("brightness", 0.3, "factor - 1")])
    'rotate −13°, brightness ×1.3'
    """
    return ", ".join(filter(None, map(in_words, met))) or (HARDLY if met else NOTHING)


def in_words(each: Applied) -> str:
    """Return an operation and its amount; empty where so little of it is written like none of it."""
    name = each.op.replace("_", " ")
    if each.amount is None:
        return name
    amount = amount_in_words(each.amount, each.unit)
    return "" if amount == amount_in_words(0.0, each.unit) else f"{name} {amount}".replace("-", "−")


def amount_in_words(amount: float, unit: str) -> str:
    """Return a physical amount; shares, of the width, the height or the range of values, are percentages."""
    if unit in AMOUNTS:
        return AMOUNTS[unit](amount)
    if unit.startswith("of the "):
        return f"{whole(100 * amount)} %"
    return f"{amount:.2g} {unit}".rstrip()


def whole(number: float) -> str:
    """Return a rounded number; nothing is ever "-0"."""
    return f"{round(number)}"
