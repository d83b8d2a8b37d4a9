"""The online augmenter: a warp that is moved by the gradient through the next steps of training, and no further.

Mounsaveng et al. 2021, "Learning Data Augmentation with Online Bilevel Optimization for Image Classification", eq. 8.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autoaug.hypergrad import unrolled
from autoaug.learners import Bilevel, Updates
from autoaug.lookup import lookup
from autoaug.models import PARTS, Part
from autoaug.policy import Policy, Warp
from autoaug.strategies._space import Space
from autoaug.strategies._strategy import Strategy, no_notes
from autoaug.train import Task

RATES = {"range": 0.3, "odd": 0.01, "mlp": 0.003, "paper": 0.2}
"""Learning rates by form, of Adam and of the paper's SGD: a half-width has to move by units, a network's weights by
parts."""

PAPER_MOMENTUM, PAPER_DECAY = 0.9, 0.01
"""Of the published SGD, whose learning rate has no schedule."""

DEFAULTS: dict[str, Any] = {"steps": 1, "every": 5, "part": "all", "reuse_graph": False}
PAPER: dict[str, Any] = {"steps": 1, "every": 1, "part": "all", "reuse_graph": True}
"""The published K and J, and what is differentiated: the training step itself, by all weights."""

SEARCHABLE: dict[str, BaseDistribution] = {
    "learner.warmup": IntDistribution(0, 10),
    "learner.every": IntDistribution(1, 20, log=True),
    "learner.lr": FloatDistribution(0.001, 0.5, log=True),
    "learner.part": CategoricalDistribution(PARTS),
}
"""What Optuna may search around the augmenter. Each dimension costs trials, so none is searched unless asked for."""


def truncated(
    form: Literal["mlp", "odd", "range", "paper"] = "range",
    transforms: Literal["translation", "affine", "color", "affine+color"] = "affine",
    size: Literal["small", "medium", "large"] = "small",
    *,
    steps: int | None = None,
    every: int | None = None,
    part: Part | None = None,
    reuse_graph: bool | None = None,
    search: Sequence[str] = (),
) -> Strategy:
    """Return a `Warp` that follows the derivative of the validation loss after `steps` more steps of training.

    The online augmenter of Mounsaveng et al. 2021, eq. 8.

    The look-ahead steps are those of the classifier's own optimiser, SGD or AdamW, with its buffers, weight decay and
    learning rate as they stand, and with gradients clipped as in training; several of them use one and the same batch
    and draws. Of a point it reads `learner.every`, `learner.warmup` (epochs), `learner.lr`, `learner.weight_decay` and
    `learner.batch` (images).

    `truncated("paper")` is what was published: the form "mlp", steps = every = 1 on the graph of the training step, and
    SGD with learning rate 0.2, momentum 0.9 and weight decay 0.01, without a schedule (0.1 and 0.1 on ImageNet). It
    belongs with `Task(resplit="per_epoch")`, which splits the training images anew in each epoch; a plan says so. The
    validation scores are then of a third part, which neither the network nor the augmenter has seen.

    Measured on 400 upright digits, tested rotated within ±50 degrees: 160 training steps of a network of 17,754
    parameters, batches of 200, mean test accuracy, the rotations between which 90 % of the samples lie at the end.

        none                                     .62   n = 5
        range, never updated                     .73   n = 5    ±8 degrees
        range, every 5 steps                     .95   n = 8    ±44 to ±60, of half-widths of 49 to 67
        range, every 5 steps, steps = 2          .96   n = 3    ±43 to ±52
        odd, every step                          .90   n = 3    about -35 to 39
        odd, every 5 steps                       .75   n = 3    about -28 to 33, with shears beyond 1
        mlp, every step                          .72   n = 3    -30 to 19, -13 to 8, 0 to 26
        mlp, every 5 steps                       .68   n = 3    -5 to 14, -21 to -1, 2 to 38
        paper                                    .18   n = 5    within 1 degree of each other, from -10 to 0
        paper, learner.lr = 0.02                 .34   n = 5    -30 to -23, -19 to -12, -16 to -15, 7 to 15, 17 to 32
        paper, learner.lr = 0.002                .67   n = 5    -19 to 0, -16 to -5, -12 to 3, -12 to 4, -1 to 12

    The three of "paper" (2026-11-27) have batches of 50 to train on. Its learning rate is of longer trainings: here, in
    the first seed, all images are moved nearly out of sight in the third of 20 epochs, and the result is worse than
    `none`.

    So the published network turns all images one way rather than each its own way: nothing ties its mean to the
    identity, and a shift of the mean is easier to learn than a spread. Use it to compare, not to train.

    In a loop of one's own the updates have the batches that `Trial.learn` is given: `learner.batch` and `reuse_graph`
    have no part there.

    What "range" found is worth as much to a network that is trained from scratch, if it is run as one resampling
    (`Warp.compose`): .95 within ±50 degrees (n = 3). Its operations in turn blur these small images: .92.

    Args:
        form: of the warp (`Warp`), or "paper", which fixes the next four and the optimiser too.
        steps: K, of the look-ahead; None is 1.
        every: J, training steps from one update to the next; None is 5.
        part: what of the network the look-ahead moves (`Updates.part`); None is all of it, as in the paper.
        reuse_graph: differentiate the training step itself (`Updates.reuse_graph`), as the paper does, not a further
            one. Its batch is then that of the task, and `learner.batch` only counts validation images. Needs steps = 1.
        search: rows of `SEARCHABLE` that vary between trials.

    Raises:
        ValueError: a name is unknown, or "paper" is asked for with other settings than the paper's.

    >>> from autoaug.strategies import truncated
    >>> strategy = truncated(every=4, search=("learner.lr",))
    >>> learner = strategy.within(strategy.policy(), lr=0.1)
    >>> learner.updates.every, learner.updates.estimator, learner.hypergrad.steps
    (4, 'pathwise', 1)
    """
    rate = lookup(RATES, form, "form of truncated")
    paper = form == "paper"
    settings = {"steps": steps, "every": every, "part": part, "reuse_graph": reuse_graph}
    given = {name: value for name, value in settings.items() if value is not None}
    if paper:
        check_published(given, search)
    chosen = {**(PAPER if paper else DEFAULTS), **given}

    def learner(
        policy: Policy,
        *,
        every: int = chosen["every"],
        warmup: int = 0,
        lr: float = rate,
        weight_decay: float = PAPER_DECAY if paper else 0.0,
        batch: int = 200,
        part: Part = chosen["part"],
    ) -> Bilevel:
        updates = Updates(
            estimator="pathwise",
            every=every,
            warmup=warmup,
            optimiser=partial(published if paper else adam, lr=lr, weight_decay=weight_decay),
            hyper_batch=batch,
            val_batch=batch,
            part=part,
            reuse_graph=chosen["reuse_graph"],
        )
        return Bilevel(policy, unrolled(chosen["steps"], lr=0.0), updates)

    space: Space = {name: lookup(SEARCHABLE, name, "dimension of truncated") for name in search}
    warp = partial(Warp, transforms, "mlp" if form == "paper" else form, size)
    return Strategy(policy=lambda: warp(), space=space, within=learner, notes=notes if paper else no_notes)


adam = partial(torch.optim.Adam, betas=(0.5, 0.99))
published = partial(torch.optim.SGD, momentum=PAPER_MOMENTUM)


def check_published(given: Mapping[str, Any], search: Sequence[str]) -> None:
    """Refuse settings that are not the paper's.

    Raises:
        ValueError: names the first, and how to have it.
    """
    for name, value in given.items():
        if value != PAPER[name]:
            raise ValueError(
                f"truncated('paper', {name}={value!r}): the paper has {name}={PAPER[name]!r}; leave it out, or give "
                f"form='mlp', the same network without the published settings"
            )
    for name in search:
        if name.removeprefix("learner.") in PAPER:
            value = PAPER[name.removeprefix("learner.")]
            raise ValueError(
                f"truncated('paper', search=[{name!r}]): the paper has {value!r}; leave it out, or give form='mlp'"
            )


def notes(task: Task, images: int) -> Sequence[str]:
    """Return what a plan says where the training images are not split anew in each epoch, as the paper's are."""
    if task.resplit == "per_epoch":
        return ()
    return (
        "the paper splits the training images anew in each epoch, a fifth for the augmenter: where the data bring no "
        "validation images of their own, that is Task(resplit='per_epoch', val_fraction=0.2)",
    )
