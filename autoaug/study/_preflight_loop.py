"""What a study with a loop of the user's own needs, tried once and small before any time is spent."""

import time
from collections.abc import Mapping
from typing import Any

from autoaug.data import Data
from autoaug.mixing import refuse_in_loops
from autoaug.origin import origin
from autoaug.study._conditions import part
from autoaug.study._definition import Study
from autoaug.study._draws import refuse_ops, try_draws
from autoaug.study._loading import Loader, read_data
from autoaug.study._measure_loop import FIRST
from autoaug.study._observer import Rehearsal, updates_of
from autoaug.study._probes import probes, tried
from autoaug.study._rehearse import rehearsed
from autoaug.study._setup import Setup, set_up
from autoaug.text import counted, read
from autoaug.train import Diverged
from autoaug.trial import Command

SECONDS = 10.0
"""By the clock, after which no more values of the loop's own dimensions are tried: a rehearsal may take long."""

SHAPE, CLASSES = (3, 32, 32), 10
"""Of the noise that a policy and a mix are shown where the loop has its own data."""


def preflight_loop(study: Study, load: Loader) -> None:
    """Draw from the policy and the mix of every point that is tried, and rehearse the loop at some of them.

    Those are the lowest point of each strategy, on its proxy too; and for `SECONDS` points where one of the loop's own
    dimensions has another value, each value once. The first of all goes on to its first report where that comes within
    `FIRST` seconds, so that what it yields is looked at. A command is not run: it may take all GPUs, and write where
    it likes.

    Raises:
        ValueError: something cannot work; the message names strategy, point and line.
    """
    if study.task.data is not None:
        read_data(study, load)
    if isinstance(study.train, Command):
        study.train.check()
    deadline, own_values = time.monotonic() + SECONDS, list[Mapping[str, Any]]()
    for name, strategy in study.strategies.items():
        for k, (changed, point) in enumerate(probes(study.space_of(name), study.conditions_of(name))):
            own = part("train", point)
            wanted = k == 0 or (own not in own_values and time.monotonic() < deadline)
            try:
                for search in (False, True) if strategy.proxy else (False,):
                    try_point(study, name, point, load, search)
                    if wanted and not isinstance(study.train, Command):
                        patience = 0.0 if own_values else FIRST  # what the loop yields is seen once, where that is soon
                        try_loop(study, name, point, load, search, cheap=k == 0, patience=patience)
            except Exception as error:  # whatever a user's code may raise
                where = origin(error, own_only=True)
                what = f"{read(error)}" if isinstance(error, ValueError) else f"{type(error).__name__}: {read(error)}"
                raise ValueError(
                    f"strategy {name!r} of study {study.name!r}: {what}{where}{tried(changed, point)}"
                ) from error
            if wanted:
                own_values.append(own)


def try_point(study: Study, strategy: str, point: Mapping[str, Any], load: Loader, search: bool) -> None:
    """Make a point into what is trained, and draw from its policy and its mix."""
    setup = set_up(study, strategy, point, search=search)
    refuse_in_loops(setup.mix)
    data = None if setup.task.data is None else load(setup.task)
    if data is not None:
        refuse_ops(setup.policy, data)
    try_draws(setup, *shown(data))


def shown(data: Data | None) -> tuple[tuple[int, ...], int]:
    """Return the shape of the noise that stands for the images of a study, and how many classes they have."""
    return (SHAPE, CLASSES) if data is None else (tuple(data.train.images.shape[1:]), len(data.classes))


def try_loop(
    study: Study,
    strategy: str,
    point: Mapping[str, Any],
    load: Loader,
    search: bool,
    cheap: bool = True,
    patience: float = 0.0,
) -> None:
    """Rehearse the loop at a point.

    Args:
        cheap: it is the lowest of the space, where a metric that is no number is a mistake, and no bad luck.
        patience: seconds by the clock, for which the loop may go on towards the end of its first epoch.

    Raises:
        Exception: it cannot work there.
    """
    try:
        seen = rehearsed(study, strategy, point, load, search=search, patience=patience)
    except Diverged:
        if cheap:
            raise
        return
    setup = set_up(study, strategy, point, search=search)
    refuse_no_updates(setup, seen)
    refuse_own_number(study, strategy, setup, seen, search)


def refuse_no_updates(setup: Setup, seen: Rehearsal) -> None:
    """Refuse a loop that ends before its learner moves the policy for the first time."""
    epochs, steps = seen.augmented_epochs, seen.steps_per_epoch
    if epochs is None or steps is None or not setup.learner.moves_policy:
        return
    if not updates_of(setup.learner, epochs, steps):
        raise ValueError(
            f"the policy would never move in {counted(epochs, 'epoch')} of {counted(steps, 'step')}: train longer, "
            "or let the learner begin earlier"
        )


def refuse_own_number(study: Study, strategy: str, setup: Setup, seen: Rehearsal, search: bool) -> None:
    """Refuse epochs that are set by the space, the task or a proxy, and that the loop does not ask for."""
    refined = "task.refine_epochs" in study.space_of(strategy) or setup.task.refine_epochs
    if seen.augmented_epochs is None and refined:
        raise ValueError(
            "the loop never asks trial.epochs, so that it has no refinement epochs: write `for epoch in "
            "trial.epochs(...)`, or take task.refine_epochs away"
        )
    if seen.augmented_epochs is None and setup.task.anneal:
        raise ValueError(
            "the loop never asks trial.epochs, so that nobody knows which epochs to anneal: write `for epoch in "
            "trial.epochs(...)`, or take task.anneal away"
        )
    shorter = search and "epochs" in study.strategies[strategy].proxy
    searched = "task.epochs" in study.space_of(strategy)
    if (shorter or searched) and seen.augmented_epochs != setup.task.epochs:
        what = "the proxy sets epochs" if shorter else "the space has task.epochs"
        raise ValueError(
            f"{what}={setup.task.epochs}, and the loop has a number of its own: write trial.epochs() without one"
        )
