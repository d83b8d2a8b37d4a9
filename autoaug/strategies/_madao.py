"""MADAO: a policy that follows implicit hypergradients while the network trains.

Hataya et al. 2022, "Meta Approach to Data Augmentation Optimization": two stages of 14 operations (eq. 8 and 9), moved
by the implicit hypergradient with a Neumann series (eq. 5 and 6), conjugate gradients or the identity as inverse.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from autoaug.hypergrad import Hypergrad, conjugate_gradient, identity, neumann
from autoaug.lookup import lookup
from autoaug.models import Part
from autoaug.strategies._online import Scaling, Settings, online
from autoaug.strategies._strategy import Strategy, no_notes
from autoaug.text import counted
from autoaug.train import Task

PAPER = Settings(
    estimator="pathwise",
    every=60,
    warmup=30,
    optimiser=torch.optim.RMSprop,
    lr=1e-2,
    hyper_batch=128,
    val_batch=128,
    temperature=0.05,
)
"""The paper's numbers (sections 3.4 and 4). The temperature and the batches of an update are not public: these are
Faster AutoAugment's temperature and a usual batch."""

PAPER_EPOCHS = 300
"""Of the paper's trainings on CIFAR, of which the warm-up is a tenth."""

PAPER_UPDATES = 1580
"""Of such a training: 45,000 images in batches of 128 (the paper gives none) are 351 steps per epoch, and 270 epochs of
them hold one every 60 steps so many times."""

UPDATES = 72
"""That a training should bring at least, where it has as many steps: 144 of them cost twice as much in the planted task
that `madao` tells of, and brought no more (n = 3)."""

MOVED = {
    "short": "it is a strategy of its own, online_score()",
    "pathwise": "it was not the paper's method either; madao() has the paper's estimator",
}
"""Presets that were called MADAO and are not: what to use instead."""


def madao(
    preset: str = "scaled", *, part: Part = "all", mix: bool = False, search: Sequence[str] = (), **relaxed: Any
) -> Strategy:
    """Return MADAO (Hataya et al. 2022): the inverse Hessian by a Neumann series of 5 steps of 0.001 (eq. 6).

    Measured on 400 digits of 8 x 8, validated and tested rotated within ±30 degrees, in 160 steps (2026-11-27): mean
    test accuracy online, with its standard deviation; of a network that is trained from scratch with the last policy;
    and the share of images per stage that rotate takes, which begins at .04.

        none, never augmented                    .82          n = 3
        never moved                              .87          n = 3
        madao()                                  .93 ± .02    anew .94    rotate .09    13 CPU-seconds    n = 5
        madao(temperature=1.0)                   .95 ± .02    anew .96    rotate .14    12 CPU-seconds    n = 3
        madao_cg()                               .97 ± .01    anew .96    rotate .12    13 CPU-seconds    n = 3
        madao_first_order()                      .92 ± .06    anew .92    rotate .08     5 CPU-seconds    n = 3
        online_score()                           .96 ± .00    anew .97    rotate .29     5 CPU-seconds    n = 3
        madao("paper", ...) without warm-up      .87 ± .00    anew .86    rotate .04                      n = 3

    So in such a short training it learns, mostly the strength of rotate (26 to 29 of 30 degrees in its main stage, from
    15), and hardly which operation to select: rotate came first in 2 of 5 seeds, where it did in all with
    `online_score`. A series of 5 steps of 0.001 is nearly the identity, so that `madao` and `madao_first_order` differ
    by chance here. The temperature is not public, and of few seeds: 1 is worth a try.

    A loop of one's own says its length by `trial.epochs(..., steps=...)`; otherwise it is counted in the first epoch,
    which then is warm-up.

    Args:
        preset: a row of `PRESETS`. "paper" has the published numbers: RMSprop with learning rate 0.01, an update every
            60 steps, after 30 epochs of warm-up. "scaled" fits these three to the length of the training (`scaled`) and
            equals the paper's at the paper's length; a plan says what they are.
        part: what of the network the hypergradient goes through (`Updates.part`): the paper has all of it.
        mix: whether the hypergradient moves the mix too, by the optimiser of the policy: its α, and the ratio of hmix.
            It begins as `Strategy.mixed`, `Study.mix` or a point says, as mixup with α = 1 where none does, and the
            training loss of an update is then mixed. Not in the paper. An epoch's record has `mix_alpha`.
        search: rows of `SEARCHABLE` that vary between trials. What a point sets is not scaled.
        relaxed: arguments of `Relaxed`, such as `ops`, `stages` and `ranges`. It is built, and refuses what it cannot
            move, when a study is planned.

    Raises:
        ValueError: there is no such preset or dimension.

    >>> from autoaug import Task
    >>> from autoaug.strategies import madao
    >>> task = Task(data="digits-rotated", epochs=20, batch_size=50)
    >>> for note in madao().notes(task, 400):  # 400 training images
    ...     print(note.replace(", ", "\\n"))
    an update every 2 steps (paper: 60)
    warm-up 2 of 20 epochs (paper: 30 of 300)
    learning rate 0.0468 (paper: 0.01): scaled to 160 steps
    >>> madao("paper").notes(task, 400)
    ()
    """
    return with_solver(partial(neumann, 5, 1e-3), preset, search, part=part, mix=mix, **relaxed)


def madao_cg(
    preset: str = "scaled", *, steps: int = 5, damping: float = 1.0, search: Sequence[str] = (), **relaxed: Any
) -> Strategy:
    """Return MADAO-CG: the inverse by conjugate gradients, and all else as in `madao` (table 5 compares the three).

    The paper gives neither steps nor damping. The Hessian of a mini-batch is indefinite, hence the damping: without it,
    and with small batches, the update's direction is mostly noise.

    >>> from autoaug.strategies import madao_cg
    >>> strategy = madao_cg("paper", steps=3, search=("learner.every",))
    >>> learner = strategy.within(strategy.policy(), every=20)
    >>> learner.hypergrad.solver.steps, learner.updates.every, learner.updates.warmup
    (3, 20, 30)
    """
    return with_solver(partial(conjugate_gradient, steps, damping), preset, search, **relaxed)


def madao_first_order(preset: str = "scaled", *, search: Sequence[str] = (), **relaxed: Any) -> Strategy:
    """Return MADAO-FO: the identity in place of the inverse, which is the cheapest, and all else as in `madao`.

    >>> from autoaug import Task
    >>> from autoaug.strategies import madao_first_order
    >>> strategy = madao_first_order()
    >>> learner = strategy.within(strategy.policy())
    >>> learner.check(Task(data="digits", epochs=40, batch_size=50), 1000, 200)  # as a training does when it begins
    >>> learner.updates.every, learner.updates.warmup
    (10, 4)
    """
    return with_solver(identity, preset, search, **relaxed)


def with_solver(
    hypergrad: Callable[[], Hypergrad], preset: str, search: Sequence[str] = (), **relaxed: Any
) -> Strategy:
    """Return the paper's method with a solver: all that the three variants share."""
    if preset in MOVED:
        raise ValueError(f"preset {preset!r} of madao is gone: {MOVED[preset]}")
    scaling = lookup(PRESETS, preset, "preset of madao")
    return online(hypergrad, PAPER, search, scaling, partial(notes, search) if scaling else no_notes, **relaxed)


def scaled(settings: Settings, given: Mapping[str, Any], task: Task, images: int) -> Settings:
    """Return settings for a training of the task on so many images; those that are given stay.

    The warm-up is the paper's tenth of the epochs. An update is due as often as is needed for `UPDATES` of them, and
    every 60 steps in trainings of 60 times as many. What a random walk covers grows with the root of its steps, so the
    learning rate is the paper's times the root of how many fewer updates there are than in the paper.
    """
    steps = max(1, images // task.batch_size)
    warmup = given.get("warmup", min(PAPER.warmup, task.epochs * PAPER.warmup // PAPER_EPOCHS))
    every = given.get("every", min(PAPER.every, max(1, (task.epochs - warmup) * steps // UPDATES)))
    fitted = replace(settings, warmup=warmup, every=every)
    updates = max(1, fitted.updates().expected(task, images))
    return replace(fitted, lr=given.get("lr", PAPER.lr * max(1.0, PAPER_UPDATES / updates) ** 0.5))


def notes(search: Sequence[str], task: Task, images: int) -> Sequence[str]:
    """Return what a plan says of scaled settings, in one line; what is searched is left out."""
    fitted, steps = scaled(PAPER, {}, task, images), task.epochs * max(1, images // task.batch_size)
    epochs = counted(task.epochs, "epoch")
    texts = {
        "learner.every": f"an update every {counted(fitted.every, 'step')} (paper: {PAPER.every})",
        "learner.warmup": f"warm-up {fitted.warmup} of {epochs} (paper: {PAPER.warmup} of {PAPER_EPOCHS})",
        "learner.lr": f"learning rate {fitted.lr:.3g} (paper: {PAPER.lr:g})",
    }
    fixed = [text for name, text in texts.items() if name not in search]
    return [f"{', '.join(fixed)}: scaled to {counted(steps, 'step')}"] if fixed else []


PRESETS: dict[str, Scaling | None] = {"scaled": scaled, "paper": None}
"""How the paper's settings follow the length of a training; None is not at all."""
