"""Which points of a space are tried before any time is spent."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from optuna.distributions import CategoricalDistribution

from autoaug.strategies import Condition, Space
from autoaug.study._conditions import extremes


def probes(space: Space, conditions: Mapping[str, Condition]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield points to try, each after the name of the dimension that was changed to get there.

    They are the lowest; from there both ends or every choice of each dimension, one at a time; the highest. The lowest
    and the highest come with an empty name. A dimension that means something in some points only is tried in one of
    those.
    """
    low = lowest(space)
    yield "", low
    for name, rule in space.items():
        base = {**low, **enabling_changes(name, low, space, conditions)}
        for value in extremes(rule):
            if (point := {**base, name: value}) != low:
                yield name, point
    ranges = {name: rule for name, rule in space.items() if not isinstance(rule, CategoricalDistribution)}
    high = {**low, **{name: extremes(rule)[-1] for name, rule in ranges.items()}}
    if high != low:
        yield "", high


def enabling_changes(
    name: str, low: Mapping[str, Any], space: Space, conditions: Mapping[str, Condition]
) -> dict[str, Any]:
    """Return what has to change of the lowest point so that a dimension means something."""
    if name not in conditions:
        return {}
    deciders = [decider for decider in conditions[name].on if decider in space]
    for values in product(*(extremes(space[decider]) for decider in deciders)):
        changes = dict(zip(deciders, values, strict=True))
        if not conditions[name].inert({**low, **changes}):
            return changes
    return {}


def lowest(space: Space) -> dict[str, Any]:
    """Return a point of the space that is cheap to try: low ends and first choices."""
    return {name: extremes(rule)[0] for name, rule in space.items()}


def tried(changed: str, point: Mapping[str, Any]) -> str:
    """Return the point at which something failed; what was changed to get there comes first."""
    first = {changed: point[changed]} if changed else {}
    values = [f"{name}={value!r}" for name, value in {**first, **point}.items()]
    return f" (tried: {', '.join(values)})" if values else ""
