"""What may vary, dimension by dimension."""

from optuna.distributions import BaseDistribution

Space = dict[str, BaseDistribution]
"""What may vary, by names such as `policy.m`, `mix.alpha` or `task.refine_epochs`: the noun, and what of it is set."""
