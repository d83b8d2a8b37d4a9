"""Pruners by name: each ends a trial that falls behind, and none ends the best one."""

import math

import optuna
import pytest
from optuna.trial import TrialState

from autoaug.strategies import PRUNERS, none

EPOCHS = 27


def curve(top: float, epoch: int) -> float:
    return top * (1 - math.exp(-epoch / 8))


def ended_early(name: str, top: float, trials: int = 8) -> int:
    """How many of several trials that approach `top` are ended, after twelve that approach 0.5 to 0.61."""
    rule = none().pruned(name).pruner
    study = optuna.create_study(direction="maximize", pruner=rule)
    for k in range(12 + trials):
        trial = study.ask()
        reached = 0.5 + 0.01 * k if k < 12 else top
        pruned = False
        for epoch in range(1, EPOCHS + 1):
            trial.report(curve(reached, epoch), epoch)
            if pruned := trial.should_prune() and k >= 12:
                break
        study.tell(trial, state=TrialState.PRUNED) if pruned else study.tell(trial, curve(reached, EPOCHS))
    return sum(trial.state == TrialState.PRUNED for trial in study.trials)


@pytest.mark.parametrize("name", [name for name in PRUNERS if name != "none"])
def test_a_trial_that_falls_behind_is_ended(name: str) -> None:
    assert ended_early(name, 0.1) >= 1


@pytest.mark.parametrize("name", PRUNERS)
def test_the_best_trial_goes_on(name: str) -> None:
    assert ended_early(name, 0.9, trials=1) == 0


def test_without_a_pruner_every_trial_goes_on() -> None:
    assert ended_early("none", 0.1) == 0
