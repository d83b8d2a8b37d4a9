"""Distributions as an interval and as a handful of levels, for samplers that know nothing else."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Numeric = FloatDistribution | IntDistribution

LEVELS = 11
"""Into how many levels a continuous dimension is cut: AutoAugment's number for probabilities."""

ROUNDING = 1e-8
"""So far from a whole number of steps a value may lie: rounding moves the last digits of a sum of steps."""


def in_support(rule: BaseDistribution, value: Any) -> bool:
    """Whether a distribution can propose a value."""
    try:
        number = rule.to_internal_repr(value)  # a choice is known by its index
    except ValueError:  # no number, or no choice
        return False
    if isinstance(rule, IntDistribution):
        return rule.low <= number <= rule.high and (number - rule.low) % rule.step == 0
    if isinstance(rule, FloatDistribution):
        steps = (number - rule.low) / rule.step if rule.step else 0
        return rule.low <= number <= rule.high and abs(steps - round(steps)) < ROUNDING
    return True


def ends(rule: Numeric) -> tuple[float, float]:
    """Return the two values of a dimension that become 0 and 1, as logarithms where its scale is one.

    Half a step is added at either end, so that every value of a dimension with steps has a cell of the same width.
    """
    half = (rule.step or 0.0) / 2
    low, high = rule.low - half, rule.high + half
    return (math.log(low), math.log(high)) if rule.log else (low, high)


def to_unit(rule: Numeric, value: float) -> float:
    """Return the position of a value in [0, 1], on the logarithmic scale where the distribution has one."""
    low, high = ends(rule)
    position = math.log(value) if rule.log else value
    return (position - low) / (high - low) if high > low else 0.5


def from_unit(rule: Numeric, share: float) -> Any:
    """Return the value at a position in [0, 1], rounded to the distribution's steps."""
    low, high = ends(rule)
    position = low + share * (high - low)
    value = math.exp(position) if rule.log else position
    if rule.step:
        value = rule.low + round((value - rule.low) / rule.step) * rule.step
    value = min(max(value, rule.low), rule.high)
    return int(value) if isinstance(rule, IntDistribution) else float(value)


@lru_cache(maxsize=1000)
def levels(rule: BaseDistribution) -> tuple[Any, ...]:
    """Return all values of a dimension that has few, or else `LEVELS` of them, evenly spread, both ends among them."""
    if isinstance(rule, CategoricalDistribution):
        return tuple(rule.choices)
    assert isinstance(rule, Numeric)
    if rule.step and not rule.log and (rule.high - rule.low) / rule.step < LEVELS - 0.5:
        count = round((rule.high - rule.low) / rule.step) + 1
        return tuple(from_unit(rule, (k + 0.5) / count) for k in range(count))
    return tuple(dict.fromkeys(from_unit(rule, k / (LEVELS - 1)) for k in range(LEVELS)))


def nearest_level(rule: BaseDistribution, value: Any) -> int:
    """Return the number of the level that is closest to a value of the distribution."""
    known = levels(rule)
    if isinstance(rule, CategoricalDistribution):
        return known.index(value)
    assert isinstance(rule, Numeric)
    position = to_unit(rule, value)
    return int(np.abs(unit_levels(rule) - position).argmin())


@lru_cache(maxsize=1000)
def unit_levels(rule: Numeric) -> np.ndarray:
    """Return the positions of a dimension's levels in [0, 1]."""
    return np.array([to_unit(rule, level) for level in levels(rule)])
