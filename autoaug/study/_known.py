"""Known defaults, which every search tries first: it then cannot end below them by accident."""

import inspect
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autoaug.lookup import suggest
from autoaug.strategies import Space, Strategy
from autoaug.strategies.samplers import in_support
from autoaug.study._conditions import AMOUNTS
from autoaug.train import MIX_WHEN, Task


def first_points(strategy: Strategy, task: Task, shared: Space) -> tuple[dict[str, Any], ...]:
    """Return the points that a search tries first: those of the strategy, completed by what holds without a search.

    Such a value is the task's own, the default of the policy's or the learner's argument, or no mixing. Where there is
    none, or where it lies outside the space, the dimension is left open.

    Raises:
        ValueError: a point of the strategy names no dimension of the space, or gives it an impossible value.
    """
    space = {**shared, **strategy.space}
    for point in strategy.first:
        for name, value in point.items():
            if name not in space:
                raise ValueError(f"{name!r} of a first point is no dimension: {suggest(name, space)}")
            if not contains(space[name], value):
                raise ValueError(f"{name}={value!r} of a first point lies outside {space[name]}")
    usual = {name: default(name, rule, strategy, task) for name, rule in space.items()}
    inside = {name: value for name, value in usual.items() if contains(space[name], value)}
    points = [{**inside, **point} for point in strategy.first or ({},)]
    return tuple(point for point in points if point)


def default(name: str, rule: BaseDistribution, strategy: Strategy, task: Task) -> Any:
    """Return the value of a dimension where it is not searched; None where nothing is known."""
    noun, _, what = name.partition(".")
    match noun:
        case "task":
            return known_rate(rule, task) if what == "refine_lr" else getattr(task, what)
        case "mix" if what == "kind":
            return "none"
        case "mix" if what in AMOUNTS:
            return getattr(rule, "low", None)
        case "mix" if what in MIX_WHEN:
            return getattr(task, MIX_WHEN[what])
        case "policy" | "learner":
            return argument(strategy.policy if noun == "policy" else strategy.within, what)
    return None


def known_rate(rule: BaseDistribution, task: Task) -> Any:
    """Return the learning rate of refinement, as a number where a range has to hold it."""
    return task.refine_lr if isinstance(rule, CategoricalDistribution) else task.refining_lr


def argument(function: Any, name: str) -> Any:
    """Return the default of an argument; None where it has none."""
    known: Mapping[str, inspect.Parameter] = inspect.signature(function).parameters
    value = known[name].default if name in known else inspect.Parameter.empty
    return None if value is inspect.Parameter.empty else value


def contains(rule: BaseDistribution, value: Any) -> bool:
    """Whether a distribution can propose a value."""
    if isinstance(rule, CategoricalDistribution):
        return any(value is choice or (type(value) is type(choice) and value == choice) for choice in rule.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return in_support(rule, value)
