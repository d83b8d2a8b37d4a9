"""Rows of the user's own: how a metric becomes one, and what of it is stored with a study.

A stored study is read where its file is not: what a reader must know of a metric, all but its function, is stored in
the definition of the study.
"""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from autoaug.metrics._table import BUILT_IN, METRICS, Direction, Metric, given_by_the_loop, parts

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_NAME = 60
"""Characters of the name of a row, which stands after its split and its training."""


def adopted(metric: Metric) -> str:
    """Return the name of the row that a metric is. Where it is none yet it becomes one, called after its label.

    One that was made anew of the same function, as when a cell of a notebook is run again, takes the place of its row.

    Raises:
        ValueError: its label makes no name, or another row has that name.
    """
    for name, row in METRICS.items():
        if row == metric:
            return name
    name = re.sub(r"\W+", "_", metric.label).strip("_").lower()
    if not name or len(name) > LONGEST_NAME or parts(name)[0]:
        fix = f"give one of 1 to {LONGEST_NAME} letters and digits that does not begin with the name of a split"
        raise ValueError(f"Metric(label={metric.label!r}) cannot name a metric: {fix}")
    if name in BUILT_IN or (name in METRICS and origin(METRICS[name]) != origin(metric)):
        raise ValueError(f"Metric(label={metric.label!r}): METRICS has another row {name!r}: give another label")
    METRICS[name] = metric
    return name


def declare(name: str, direction: Direction) -> None:
    """Make a row of a metric that a loop of the user's own gives, where there is none.

    Args:
        name: of the row, or of the metric on a split.

    Raises:
        ValueError: it makes no name, or there is such a row with another direction.
    """
    row = parts(name)[1]
    if row in METRICS and (METRICS[row].measured or METRICS[row].direction == direction):
        if METRICS[row].direction != direction:
            raise ValueError(f"the metric {name!r} is one to {METRICS[row].direction}: leave the direction out")
        return
    if not re.fullmatch(rf"\w{{1,{LONGEST_NAME}}}", row):
        raise ValueError(f"{name!r} cannot name a metric: give letters, digits and '_', at most {LONGEST_NAME}")
    METRICS[row] = Metric(function=given_by_the_loop, direction=direction, label=row.replace("_", " "))


def origin(metric: Metric) -> tuple[str, str]:
    """Return the module and the name under which the function of a metric was defined, or its type was."""
    function: Any = metric.function
    named = function if hasattr(function, "__qualname__") else type(function)
    return named.__module__, named.__qualname__


def own_metrics() -> dict[str, Metric]:
    """Return the rows of `METRICS` that this release does not have."""
    return {name: metric for name, metric in METRICS.items() if BUILT_IN.get(name) != metric}


def facts_of(metric: Metric) -> dict[str, Any]:
    """Return what a reader must know of a metric, as plain data: all but its function. An end at infinity is None."""
    ends = [end if math.isfinite(end) else None for end in metric.range]
    facts = {"direction": metric.direction, "label": metric.label, "words": metric.words, "range": ends}
    unit = {"unit": metric.unit} if metric.unit else {}  # a stored study of an earlier version has none
    return {**facts, "proportion": metric.proportion, **unit}


def stored_table(definition: Mapping[str, Any]) -> dict[str, Metric]:
    """Return the rows of `METRICS`, and over them those that a stored study has of its own, which only describe.

    Raises:
        TypeError: the facts of a row are none.
    """
    stored = definition.get("metrics", {})
    try:
        return {**METRICS, **{str(name): described(facts) for name, facts in stored.items()}}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TypeError(f"metrics is {stored!r}") from error


def described(facts: Mapping[str, Any]) -> Metric:
    """Return the metric of `facts_of`; its function is in the file of its study, and cannot be called."""
    if facts["direction"] not in get_args(Direction):
        raise ValueError(facts["direction"])
    low, high = facts["range"]
    within = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return Metric(
        function=elsewhere,
        direction=facts["direction"],
        label=str(facts["label"]),
        words=str(facts["words"]),
        unit=str(facts.get("unit", "")),
        range=within,
        proportion=bool(facts["proportion"]),
    )


def elsewhere(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Raise a RuntimeError: a storage describes metrics, and has no code."""
    raise RuntimeError("the function of this metric is in the file of its study: import it")
