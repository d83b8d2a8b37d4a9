"""What a study reads of a space: the ends of its ranges, and its choices as they are stored."""

import operator

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autoaug.fields import plain
from autoaug.strategies import Space


def ends(rule: BaseDistribution) -> tuple[float, ...]:
    """Return the lowest and the highest value of a range; nothing for choices."""
    return (rule.low, rule.high) if isinstance(rule, FloatDistribution | IntDistribution) else ()


def in_plain_python(space: Space) -> Space:
    """Return a space with Python's own values in place of numpy's, which cannot be stored.

    Only choices have any: the ends of its ranges Optuna turns into Python's numbers itself.
    """
    return {name: plain_choices(rule) for name, rule in space.items()}


def plain_choices(rule: BaseDistribution) -> BaseDistribution:
    """Return a distribution whose choices are Python's own values, the very same where they are already."""
    if not isinstance(rule, CategoricalDistribution):
        return rule
    choices = tuple(map(plain, rule.choices))
    return rule if all(map(operator.is_, choices, rule.choices)) else CategoricalDistribution(choices)
