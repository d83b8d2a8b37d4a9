"""The point in the middle of a space."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autoaug.strategies import Space


def middle(space: Space) -> dict[str, Any]:
    """Return the point in the middle of every range, and at the first of every choice."""
    return {name: midpoint(rule) for name, rule in space.items()}


def midpoint(rule: BaseDistribution) -> Any:
    """Return the middle of a range, on its scale, or the first choice."""
    if isinstance(rule, CategoricalDistribution):
        return rule.choices[0]
    low, high = rule.low, rule.high  # type: ignore[attr-defined]
    centre = (low * high) ** 0.5 if rule.log else (low + high) / 2  # type: ignore[attr-defined]
    return round(centre) if isinstance(low, int) else centre
