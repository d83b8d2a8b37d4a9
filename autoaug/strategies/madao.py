"""MADAO: a policy that follows implicit hypergradients while the network trains.

Hataya et al. 2022, "Meta Approach to Data Augmentation Optimization": two stages of 14 operations (eq. 8 and 9), moved
by the implicit hypergradient with a Neumann series (eq. 5 and 6), conjugate gradients or the identity as inverse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from autoaug.hypergrad import Hypergrad, conjugate_gradient, identity, neumann
from autoaug.learners import Bilevel, Updates
from autoaug.lookup import lookup
from autoaug.policy import Relaxed
from autoaug.strategies.strategy import Space, Strategy


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings that belong together."""

    hypergrad: Callable[[], Hypergrad]
    estimator: str
    every: int
    warmup: int
    optimiser: Callable[..., torch.optim.Optimizer]
    lr: float
    hyper_batch: int
    val_batch: int | None
    temperature: float

    def updates(self, **changed: Any) -> Updates:
        """The learner's settings, some of them changed."""
        lr = changed.pop("lr", self.lr)
        shared = {name: getattr(self, name) for name in ("estimator", "every", "warmup", "hyper_batch", "val_batch")}
        return Updates(optimiser=partial(self.optimiser, lr=lr), **{**shared, **changed})


SHORT = Preset(
    hypergrad=identity,
    estimator="score",
    every=5,
    warmup=0,
    optimiser=partial(torch.optim.Adam, betas=(0.5, 0.999)),
    lr=0.2,
    hyper_batch=400,
    val_batch=600,
    temperature=1.0,
)
PAPER = Preset(
    hypergrad=partial(neumann, 5, 1e-3),
    estimator="pathwise",
    every=60,
    warmup=30,
    optimiser=torch.optim.RMSprop,
    lr=1e-2,
    hyper_batch=128,
    val_batch=128,
    temperature=0.05,
)

PRESETS: dict[str, Preset] = {
    # What learns within a few dozen updates: many draws per update, large steps, and a gradient of the selection that
    # compares operations.
    "short": SHORT,
    # The paper's estimator with these settings.
    "pathwise": replace(SHORT, estimator="pathwise"),
    # The paper's numbers, which need about 1,000 updates: in 30 epochs of a small dataset the policy does not move.
    # Its temperature and batch sizes are not public, so these are Faster AutoAugment's and a usual one.
    "paper": PAPER,
}

SEARCHABLE: dict[str, BaseDistribution] = {
    "learner.warmup": IntDistribution(0, 10),
    "learner.every": IntDistribution(2, 60, log=True),
    "learner.lr": FloatDistribution(0.01, 0.4, log=True),
    "policy.temperature": FloatDistribution(0.05, 2.0, log=True),
}
"""What Optuna may search around MADAO. Each dimension costs trials, so none is searched unless it is asked for."""


def madao(preset: str = "short", *, search: Sequence[str] = ()) -> Strategy:
    """MADAO with the inverse Hessian of the preset: in "paper" a Neumann series of 5 steps (eq. 6).

    Args:
        preset: a row of `PRESETS`. "short" learns within a few dozen updates, "pathwise" does so with the paper's own
            estimator, "paper" has the published numbers.
        search: rows of `SEARCHABLE` that vary between trials.
    """
    return online(preset, lookup(PRESETS, preset, "preset of madao").hypergrad, search)


def madao_cg(preset: str = "short", *, steps: int = 5, damping: float = 1.0, search: Sequence[str] = ()) -> Strategy:
    """MADAO-CG: the inverse by conjugate gradients (table 5 of the paper compares the three).

    The Hessian of a mini-batch is indefinite, hence the damping: without it, and with small batches, the update's
    direction is mostly noise.
    """
    return online(preset, partial(conjugate_gradient, steps, damping), search)


def madao_first_order(preset: str = "short", *, search: Sequence[str] = ()) -> Strategy:
    """MADAO-FO: the identity in place of the inverse, the cheapest. The preset "short" of `madao` has it as well."""
    return online(preset, identity, search)


def online(preset: str, hypergrad: Callable[[], Hypergrad], search: Sequence[str]) -> Strategy:
    """A Relaxed policy and the learner that moves it, from a preset and a way to take hypergradients."""
    chosen = lookup(PRESETS, preset, "preset of madao")

    def policy(temperature: float = chosen.temperature) -> Relaxed:
        return Relaxed(temperature=temperature)

    def learner(
        policy: Relaxed, *, warmup: int = chosen.warmup, every: int = chosen.every, lr: float = chosen.lr
    ) -> Bilevel:
        return Bilevel(policy, hypergrad(), chosen.updates(warmup=warmup, every=every, lr=lr))

    space: Space = {name: lookup(SEARCHABLE, name, "dimension of madao") for name in search}
    return Strategy(policy=policy, space=space, within=learner)
