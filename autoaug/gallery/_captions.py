"""What was drawn for a picture, in words."""

import math
from collections.abc import Callable, Sequence

from autoaug.policy import Applied

NOTHING = "nothing"
"""The caption of a picture that no operation met."""

AMOUNTS: dict[str, Callable[[float], str]] = {
    "degrees": lambda amount: f"{whole(amount)}°",
    "turns": lambda amount: f"{whole(360 * amount)}°",
    "tangent": lambda amount: f"{amount:.2f}",
    "factor - 1": lambda amount: f"×{1 + amount:.2g}",
    "log of the scale": lambda amount: f"×{math.exp(amount):.2g}",
    "log2 of the power": lambda amount: f"to the power {2**amount:.2f}",
    "bits removed": lambda amount: f"to {8 - round(amount)} bits",
}
"""How an amount is written in some units of `autoaug.ops`; in the others it is a number and the unit."""


def caption(met: Sequence[Applied]) -> str:
    """Return the operations that an image met, in turn, with their physical amounts.

    >>> from autoaug.gallery import caption
    >>> from autoaug.policy import Applied
    >>> caption([Applied("rotate", -13.2, "degrees"), Applied("brightness", 0.3, "factor - 1")])
    'rotate −13°, brightness ×1.3'
    """
    return ", ".join(map(in_words, met)) or NOTHING


def in_words(each: Applied) -> str:
    """Return an operation and its amount."""
    name = each.op.replace("_", " ")
    if each.amount is None:
        return name
    return f"{name} {amount_in_words(each.amount, each.unit)}".replace("-", "−")


def amount_in_words(amount: float, unit: str) -> str:
    """Return a physical amount; shares are percentages."""
    if unit in AMOUNTS:
        return AMOUNTS[unit](amount)
    if unit.startswith("of the "):
        return f"{whole(100 * amount)} % {unit}"
    return f"{amount:.2g} {unit}".rstrip()


def whole(number: float) -> str:
    """Return a rounded number; nothing is ever "-0"."""
    return f"{round(number)}"
