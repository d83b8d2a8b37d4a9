"""Samplers by name: what proposes the points of a black-box search.

All of them are made anew for every trial from a seed (`SeededByTrial`) and know nothing but the stored trials.

Of a conditional dimension, which only some points have, TPE learns from the points that have it. Grid, CMA-ES and PPO
decide it in all of them, and where it does not apply the value is dropped; to them a point without it is one with the
middle value, and the grid counts it as visited at all levels. The Gaussian process leaves it to chance.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from autoaug.lazy import lazily
from autoaug.strategies.samplers._evolution import CmaEsSampler
from autoaug.strategies.samplers._gaussian import CappedGPSampler
from autoaug.strategies.samplers._grid import GridSampler
from autoaug.strategies.samplers._history import value_of
from autoaug.strategies.samplers._scale import in_support

if TYPE_CHECKING:
    from autoaug.strategies.samplers._ppo import PPOSampler
else:  # its controller is a network, and the others need no torch
    __getattr__, __dir__ = lazily(__name__, {"_ppo": "PPOSampler"})


def ppo(seed: int) -> BaseSampler:
    """Return the controller of AutoAugment as a sampler."""
    from autoaug.strategies.samplers._ppo import PPOSampler

    return PPOSampler(seed)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "grid": GridSampler,
    "gp": CappedGPSampler,
    "cmaes": CmaEsSampler,
    "ppo": ppo,
}

__all__ = [
    "SAMPLERS",
    "CappedGPSampler",
    "CmaEsSampler",
    "GridSampler",
    "PPOSampler",
    "in_support",
    "value_of",
]
