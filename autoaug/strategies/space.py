"""What may vary, dimension by dimension."""

import operator

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autoaug.fields import plain

Space = dict[str, BaseDistribution]
"""What may vary, by names such as `policy.m`, `mix.alpha` or `task.refine_epochs`: the noun, and what of it is set."""


def ends(rule: BaseDistribution) -> tuple[float, ...]:
    """The lowest and the highest value of a range; of choices by name none."""
    return (rule.low, rule.high) if isinstance(rule, FloatDistribution | IntDistribution) else ()


def in_plain_python(space: Space) -> Space:
    """The same space with Python's own values in place of numpy's, which cannot be stored.

    Only choices have any: the ends of its ranges Optuna turns into Python's numbers itself.
    """
    return {name: plain_choices(rule) for name, rule in space.items()}


def plain_choices(rule: BaseDistribution) -> BaseDistribution:
    if not isinstance(rule, CategoricalDistribution):
        return rule
    choices = tuple(map(plain, rule.choices))
    return rule if all(map(operator.is_, choices, rule.choices)) else CategoricalDistribution(choices)
