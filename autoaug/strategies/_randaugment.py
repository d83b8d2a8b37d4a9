"""RandAugment: n operations at one strength m (Cubuk et al. 2020), found by black-box search."""

from collections.abc import Sequence

from optuna.distributions import FloatDistribution, IntDistribution

from autoaug.lookup import lookup
from autoaug.policy import Fixed, ready
from autoaug.strategies._strategy import Strategy
from autoaug.strategies.samplers import SAMPLERS


def randaugment(sampler: str = "tpe", ops: Sequence[str] = ready.RANDAUGMENT_OPS) -> Strategy:
    """Return RandAugment (Cubuk et al. 2020): n in 1 to 3, the strength m in [0, 1], which is the magnitude / 30.

    The first point is n = 2 and m = 0.3, magnitude 9: what the authors' code has as its defaults.

    Args:
        sampler: a row of `SAMPLERS`.
        ops: the operations to choose from, rows of `autoaug.ops.OPS` or "identity"; the paper's 14 if not given.

    Raises:
        ValueError: there is no such sampler, an operation is unknown, or there is none.

    >>> from autoaug.strategies import randaugment
    >>> strategy = randaugment(sampler="random")
    >>> sorted(strategy.space), strategy.first
    (['policy.m', 'policy.n'], ({'policy.n': 2, 'policy.m': 0.3},))
    >>> len(strategy.policy(n=3, m=0.5).tree().root.nodes)
    3
    """
    ready.randaugment(ops=ops)  # refuses what no trial could run
    return Strategy(
        policy=lambda n, m: Fixed(ready.randaugment(n, m, ops)),
        space={"policy.n": IntDistribution(1, 3), "policy.m": FloatDistribution(0.0, 1.0)},
        between=lookup(SAMPLERS, sampler, "sampler of randaugment"),
        first=({"policy.n": 2, "policy.m": 0.3},),
    )
