"""A policy that follows the score function: online learning that compares operations, in short trainings.

Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning". The policy
is that of Hataya et al. 2022 (MADAO), and the first-order hypergradient that of Luketina et al. 2016.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from autoaug.hypergrad import Hypergrad, identity
from autoaug.strategies._online import Settings, online
from autoaug.strategies._strategy import Strategy

SCORE = Settings(
    estimator="score",
    every=5,
    warmup=0,
    optimiser=partial(torch.optim.Adam, betas=(0.5, 0.999)),
    lr=0.2,
    hyper_batch=400,
    val_batch=600,
    temperature=1.0,
)
"""What learns within a few dozen updates: many draws per update, large steps, and a gradient of the selection that
compares operations."""


def online_score(
    hypergrad: Callable[[], Hypergrad] = identity, *, mix: bool = False, search: Sequence[str] = (), **relaxed: Any
) -> Strategy:
    """Return the online strategy that learns within a few dozen updates: MADAO's policy, moved by a policy gradient.

    It owes to Hataya et al. 2022 the policy, two stages of 14 operations, and that it is moved by the validation loss
    while the network trains. Selection and gates move by the score function of what was drawn (Williams 1992), where
    MADAO differentiates the draws; each image's credit is the first-order hypergradient of its weight, with the
    identity in place of the inverse Hessian (Luketina et al. 2016). Adam, every 5 steps and without warm-up, takes the
    place of RMSprop, every 60 steps after 30 epochs. `madao` is the paper's method.

    Measured on 400 digits of 8 x 8 with 32 updates in 160 steps (`benchmarks/planted.py`): mean test accuracy online,
    and of a network that is trained from scratch with the last policy; n = 3.

        planted              none   never moved   online   anew   known
        rotation by ±30°      .82           .87      .96    .97     .97
        rotation by ±50°      .62           .65      .92    .95     .96
        inversion             .17           .88      .97    .95     .98
        translation           .55           .83      .88    .88     .96
        darkness              .57           .93      .97    .98     .98
        nothing               .98           .97      .98    .99

    It does not find the translation by up to 1.6 pixels on each axis. The two stages begin equal and both climb
    `translate_y`, which alone is worth .62. The policy that is needed exists: both stages half x, half y at 1.35 pixels
    are worth .94. At the strength it starts with, 1.8 pixels for every image, x and then y are worth .85.

    Choose `every` so that there are 30 to 60 updates; 5 is for 160 steps.

    Args:
        hypergrad: makes the solver, such as `functools.partial(conjugate_gradient, 5, 1.0)` of `autoaug.hypergrad`.
        search: rows of `SEARCHABLE` that vary between trials: "learner.every" (steps), "learner.warmup" (epochs),
            "learner.lr" (of Adam).
        mix: whether α of the mix, and the ratio of hmix, are moved too, as with `madao`.
        relaxed: arguments of `Relaxed`, such as `ops`, `stages` and `ranges`. It is built, and refuses what it cannot
            move, when a study is planned.

    >>> from autoaug.strategies import online_score
    >>> strategy = online_score(ops=("rotate", "invert"), search=("learner.every",))
    >>> sorted(strategy.space)
    ['learner.every']
    >>> learner = strategy.within(strategy.policy(), every=10)
    >>> learner.updates.estimator, learner.updates.every, learner.updates.warmup
    ('score', 10, 0)
    """
    return online(hypergrad, SCORE, search, mix=mix, **relaxed)
