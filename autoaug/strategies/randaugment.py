"""RandAugment: n operations at one strength m (Cubuk et al. 2020), found by black-box search."""

from collections.abc import Callable

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from autoaug.lookup import lookup
from autoaug.policy import Fixed, ready
from autoaug.strategies.strategy import Strategy

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}


def randaugment(sampler: str = "tpe") -> Strategy:
    """Search n in 1 to 3 and the strength m in [0, 1] (1 is the strongest of AutoAugment's ranges)."""
    return Strategy(
        policy=lambda n, m: Fixed(ready.randaugment(n, m)),
        space={"policy.n": IntDistribution(1, 3), "policy.m": FloatDistribution(0.0, 1.0)},
        between=lookup(SAMPLERS, sampler, "sampler of randaugment"),
    )
