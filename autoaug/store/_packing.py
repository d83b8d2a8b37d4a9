"""How the metrics of an epoch are stored: names once for each training, values as a list in their order, bit by bit.

Most of what a network computes has single precision, and nine digits at most; as the number of double precision that
Python makes of it it has seventeen. It is stored as the number with the nine, and what needs more as a text.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

Value = float | str | None
"""A value as it is stored: a number of single precision, the digits of another, None for a metric that is not there."""


def pack(metrics: Mapping[str, float], names: Sequence[str]) -> tuple[list[Value], list[str]]:
    """Return the values of an epoch, and the names of its training, which new ones join at the end."""
    known = [*names, *(name for name in metrics if name not in names)]
    values = [shortest(metrics[name]) if name in metrics else None for name in known]
    while values and values[-1] is None:
        values.pop()
    return values, known


def unpack(values: Any, names: Any) -> dict[str, Any]:
    """Return the metrics of an epoch from its values and the names of its training: `pack` the other way.

    Raises:
        TypeError: one of them is not what was stored.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names is {names!r}")
    if not isinstance(values, list) or len(values) > len(names):
        raise TypeError(f"metrics is {values!r}")
    return {name: number(value) for name, value in zip(names, values, strict=False) if value is not None}


def shortest(value: float) -> Value:
    """Return a number as it takes least room."""
    if isinstance(value, int):
        return value
    if not math.isfinite(value) or single(value) != value:
        return repr(float(value))
    rounded = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next(each for each in rounded if single(each) == value)


def number(value: Any) -> Any:
    """Return a stored value as the number that it was; what is no number stays as it is."""
    try:
        return single(value) if isinstance(value, float) else float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def single(value: float) -> float | None:
    """Return the number of single precision that is nearest; None where there is none."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return None
