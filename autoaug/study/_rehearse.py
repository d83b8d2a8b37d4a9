"""The rehearsal of a loop of the user's own: its first steps at a point, to see that it works and what it costs.

The loop runs in this process until one of its optimisers has made two steps. It is ended there as a pruned one is at a
`yield`, so that its `finally` blocks run. Nothing is written by it here, and there is no checkpoint; what the loop
prints goes to stderr, for the plan may be read by a machine. A loop that neither makes such a step, nor calls its
trial, nor yields, cannot be left without harm to what it is at: after a while that is said, and it goes on.
"""

import gc
import sys
from collections.abc import Mapping
from contextlib import closing, redirect_stdout
from typing import Any

import torch

from autoaug.data import Data
from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.study._observer import GUESSED_STEPS, LONGEST, STEPS, Enough, Observer, Rehearsal
from autoaug.study._setup import Setup, set_up
from autoaug.study._silence import told_of
from autoaug.train import NullLearner, Task
from autoaug.trial import Trial, check_use, records


def rehearse(study: Study, setup: Setup, data: Data | None, patience: float = 0.0, learner: bool = True) -> Rehearsal:
    """Run the loop of a study for its first steps, and throw away what it made.

    Args:
        setup: what the loop is given; its policy may be moved.
        data: of the task, without its test images; None where the loop reads its own.
        patience: seconds by the clock, for which the loop may go on towards the end of its first epoch.
        learner: with a learner that moves the policy in every step; otherwise with none.

    Raises:
        Exception: what the loop raises, and what the door refuses.
    """
    stand_in = Task(data=None, device=setup.task.device)
    taught = setup.learner.rehearsal(stand_in, GUESSED_STEPS, GUESSED_STEPS, 0.0) if learner else NullLearner()
    trial = Trial(
        setup.params,
        setup.policy,
        setup.mix,
        taught,
        setup.task,
        study.seed,
        metric=study.metric,
        data=data,
        rehearsing=True,
    )
    observer, ended = Observer(setup, trial, patience), None
    try:
        with redirect_stdout(sys.stderr), trial.generators.in_use(), closing(records(study.loop, trial)) as epochs:
            if next(epochs, None) is not None:
                ended = observer.summary(ended=True)
                if 0 < observer.steps < STEPS:  # an epoch of one step is rare, and a yield after each step is a mistake
                    next(epochs, None)
    except Enough:
        if trial.refusal:
            raise TypeError(trial.refusal) from None
        if observer.steps >= STEPS:
            check_use(trial)
    except Exception:
        if not observer.over:
            raise
    forget(trial.device)
    return ended or observer.summary(ended=False)


def forget(device: torch.device) -> None:
    """Give back the memory of a GPU: the trials may run in other processes, and this one lives as long as they do."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def rehearsed(
    study: Study,
    strategy: str,
    point: Mapping[str, Any],
    load: Loader,
    *,
    search: bool = False,
    patience: float = 0.0,
    learner: bool = True,
    repeat: int = 0,
) -> Rehearsal:
    """Return the rehearsal of a strategy at a point, as `rehearse` makes it; one that was made before is kept.

    Args:
        load: reads the data once, and keeps the rehearsals.
        search: on the strategy's proxy.
        repeat: counts rehearsals of the same.
    """
    setup = set_up(study, strategy, point, search=search)
    key = key_of(study, strategy, point, search, learner and setup.learner.moves_policy, repeat)
    _, kept, most = load.rehearsals.get(key, (study, None, 0.0))
    if kept is None or (patience > most and not kept.ended):
        data = None if setup.task.data is None else load(setup.task)
        with told_of(f"the loop of strategy {strategy!r} of study {study.name!r}", max(LONGEST, patience)):
            kept = rehearse(study, setup, data, patience, learner)
        load.rehearsals[key] = study, kept, patience
    return kept


def kept_rehearsal(
    study: Study, strategy: str, point: Mapping[str, Any], load: Loader, *, search: bool = False
) -> Rehearsal | None:
    """Return the rehearsal without a learner that was made of a point; None where there was none."""
    return load.rehearsals.get(key_of(study, strategy, point, search, False), (study, None, 0.0))[1]


def key_of(
    study: Study, strategy: str, point: Mapping[str, Any], search: bool, learner: bool, repeat: int = 0
) -> tuple[Any, ...]:
    """Return under what a rehearsal is kept."""
    return id(study), strategy, search, repr(sorted(point.items())), learner, repeat
