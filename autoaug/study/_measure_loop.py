"""What a training by a loop of the user's own costs, from its first steps on this machine."""

from collections.abc import Callable, Mapping
from typing import Any

from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.study._measure import Cost
from autoaug.study._observer import Rehearsal, updates_of
from autoaug.study._rehearse import rehearsed
from autoaug.study._setup import set_up
from autoaug.trial import Command

FIRST, OTHERS = 4.0, 1.0
"""Seconds by the clock, for which the first strategy may go on towards the end of its first epoch, and any other one:
how long an epoch is, and what follows its steps, is then known of all."""

Measure = Callable[[str, Mapping[str, Any], bool], Cost | None]
"""Gives what a training of a strategy costs at a point, in its search or in full; None where nobody knows."""


def loop_watched(study: Study, load: Loader, patience: float) -> Measure:
    """Return what measures a training by the loop of a study.

    Args:
        patience: how many times the usual seconds it may take. A command is not run.
    """
    whole: dict[bool, Rehearsal] = {}

    def measure(name: str, point: Mapping[str, Any], search: bool) -> Cost | None:
        if isinstance(study.train, Command):
            return None
        seconds = patience * (OTHERS if search in whole else FIRST)
        plain = rehearsed(study, name, point, load, search=search, patience=seconds, learner=False)
        if plain.ended:
            whole.setdefault(search, plain)
        learner = set_up(study, name, point, search=search).learner
        taught = rehearsed(study, name, point, load, search=search) if learner.moves_policy else plain
        epoch = whole.get(search, plain)
        if (
            plain.step_seconds is None
            or plain.augmented_epochs is None
            or plain.total_epochs is None
            or epoch.steps_per_epoch is None
        ):
            return None
        of_epoch = epoch.steps_per_epoch * plain.step_seconds + (epoch.rest_seconds or 0.0)
        alone = plain.begin_seconds + plain.total_epochs * of_epoch
        updates = updates_of(learner, plain.augmented_epochs, epoch.steps_per_epoch)
        update = max(0.0, (taught.step_seconds or 0.0) - plain.step_seconds)
        return Cost(plain.device, alone + updates * update, alone)

    return measure
