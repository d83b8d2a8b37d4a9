"""A strategy is a product: what happens between trials, and what happens within one."""

from collections.abc import Callable
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler

from autoaug.policy import Policy

Space = dict[str, BaseDistribution]
"""What may vary, by names such as `policy.m`, `mix.alpha` or `task.refine_epochs`: the noun, and what of it is set."""


class Strategy(NamedTuple):
    """What is searched, and how.

    RandAugment with TPE is (TPE, nothing); MADAO is (TPE over its few remaining knobs, implicit gradient).
    """

    policy: Callable[..., Policy]
    """Built anew for each trial from the `policy.*` part of a point."""
    space: Space
    """The dimensions of this strategy's own, beside those that the study shares."""
    between: Callable[[int], BaseSampler] = lambda seed: TPESampler(seed=seed)
    """Seed to sampler: proposes a point from the finished trials."""
    within: Callable[..., Any] | None = None
    """`(policy, **learner part of a point) -> Learner`; None where the policy stays as it was built."""
    pruner: BasePruner = NopPruner()
    """Stops trials that fall behind."""
