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
from autoaug.strategies._space import Space
from autoaug.strategies._strategy import Condition, Strategy


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


def madao(preset: str = "short", *, search: Sequence[str] = (), **relaxed: Any) -> Strategy:
    """MADAO with the inverse Hessian of the preset: in "paper" a Neumann series of 5 steps (eq. 6).

    Measured on 400 digits of 8 x 8 with 32 updates in 160 steps (`benchmarks/planted.py`): mean test accuracy online,
    and of a network that is trained from scratch with the last policy; n = 2. "paper" makes 2 updates there and stays
    at the start policy.

        planted              none   never moved   "short"   anew   "pathwise"   anew   known
        rotation by ±30°      .81           .87       .96    .97          .96    .96     .96
        rotation by ±50°      .61           .66       .92    .95          .90    .95     .96
        inversion             .16           .88       .97    .95          .91    .66     .98
        translation           .56           .84       .86    .87          .88    .84     .96
        darkness              .60           .95       .97    .97          .97    .97     .98
        nothing               .98           .97       .98    .99          .98    .98

    It does not find the translation by up to 1.6 pixels on each axis. The two stages begin equal and both climb
    `translate_y`, which alone is worth .62. The policy that is needed exists: both stages half x, half y at 1.35 pixels
    are worth .94. At the strength it starts with, 1.8 pixels for every image, x and then y are worth .85.
    "pathwise" does not find the inversion of digits (of CIFAR-10 it does): its gradient weighs the pixels of an
    inverted image, where "short" compares inverted images with others. Choose `every` so that there are 30 to 60
    updates; 5 is for 160 steps.

    Args:
        preset: a row of `PRESETS`. "short" learns within a few dozen updates, "pathwise" does so with the paper's own
            estimator, "paper" has the published numbers.
        search: rows of `SEARCHABLE` that vary between trials. The temperature is of use to "pathwise" and "paper" only.
        relaxed: arguments of `Relaxed`, such as `ops`, `stages` and `ranges`. It is built, and refuses what it cannot
            move, when a study is planned.
    """
    return online(lookup(PRESETS, preset, "preset of madao").hypergrad, preset, search, **relaxed)


def madao_cg(
    preset: str = "short", *, steps: int = 5, damping: float = 1.0, search: Sequence[str] = (), **relaxed: Any
) -> Strategy:
    """MADAO-CG: the inverse by conjugate gradients (table 5 of the paper compares the three).

    The Hessian of a mini-batch is indefinite, hence the damping: without it, and with small batches, the update's
    direction is mostly noise. `preset`, `search` and `relaxed` are those of `madao`.
    """
    return online(partial(conjugate_gradient, steps, damping), preset, search, **relaxed)


def madao_first_order(preset: str = "short", *, search: Sequence[str] = (), **relaxed: Any) -> Strategy:
    """MADAO-FO: the identity in place of the inverse, the cheapest. The preset "short" of `madao` has it as well.

    `preset`, `search` and `relaxed` are those of `madao`.
    """
    return online(identity, preset, search, **relaxed)


def online(
    hypergrad: Callable[[], Hypergrad], preset: str = "short", search: Sequence[str] = (), **relaxed: Any
) -> Strategy:
    """A Relaxed policy and the learner that moves it, from a way to take hypergradients and a preset for the rest."""
    chosen = lookup(PRESETS, preset, "preset of madao")

    def policy(temperature: float = relaxed.pop("temperature", chosen.temperature)) -> Relaxed:
        return Relaxed(temperature=temperature, **relaxed)

    def learner(
        policy: Relaxed, *, warmup: int = chosen.warmup, every: int = chosen.every, lr: float = chosen.lr
    ) -> Bilevel:
        return Bilevel(policy, hypergrad(), chosen.updates(warmup=warmup, every=every, lr=lr))

    space: Space = {name: lookup(SEARCHABLE, name, "dimension of madao") for name in search}
    unused = {"policy.temperature": Condition((), lambda point: "estimator='score' draws operations without it")}
    conditions = unused if chosen.estimator == "score" and "policy.temperature" in search else {}
    return Strategy(policy=policy, space=space, within=learner, conditions=conditions)
