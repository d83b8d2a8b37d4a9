"""The learning rate of every step: each schedule against numbers worked out by hand, and what cannot be one."""

import math
from dataclasses import replace
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from studies_for_tests import tiny

from autoaug import Task
from autoaug.strategies import none
from autoaug.study import preflight
from autoaug.train import SCHEDULES, learning_rate
from autoaug.train._schedules import REFINING

FLAT = Task(data="digits", epochs=4, lr=0.2, warmup=0, final_lr=0.1)


def rates(task: Task, steps_per_epoch: int = 1) -> list[float]:
    return [learning_rate(task, step, steps_per_epoch) for step in range(task.epochs * steps_per_epoch)]


def square(progress: float) -> float:
    return (1 - progress) ** 2


HALF = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 3))

BY_HAND: dict[str, tuple[dict[str, Any], list[float]]] = {
    "cosine": ({}, [0.2, 0.2 * HALF, 0.2 * (1.1 - HALF), 0.02]),
    "linear": ({"schedule": "linear"}, [0.2, 0.14, 0.08, 0.02]),
    "constant": ({"schedule": "constant"}, [0.2, 0.2, 0.2, 0.2]),
    "shares": ({"schedule": "step"}, [0.2, 0.2, 0.02, 0.002]),
    "epochs": ({"schedule": "step", "milestones": (1, 3), "step_factor": 0.5}, [0.2, 0.1, 0.1, 0.05]),
    "both": ({"schedule": "step", "milestones": [1, 0.75], "step_factor": 0.5}, [0.2, 0.1, 0.1, 0.05]),
    "one": ({"schedule": "step", "milestones": 0.25}, [0.2, 0.02, 0.02, 0.02]),
    "function": ({"schedule": square}, [0.2, 0.2 * 4 / 9, 0.2 / 9, 0.0]),
    "to zero": ({"schedule": "linear", "final_lr": 0}, [0.2, 0.4 / 3, 0.2 / 3, 0.0]),
    "warm-up in epochs": ({"schedule": "linear", "warmup": 2}, [0.1, 0.2, 0.2, 0.02]),
    "warm-up as a share": ({"schedule": "constant", "warmup": 0.5}, [0.1, 0.2, 0.2, 0.2]),
    "from a share": ({"schedule": "constant", "warmup": 3, "warmup_from": 0.25}, [0.1, 0.15, 0.2, 0.2]),
    "a milestone in the warm-up": ({"schedule": "step", "milestones": (1,), "warmup": 2}, [0.1, 0.2, 0.02, 0.02]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_rates_are_those_worked_out_by_hand(name: str) -> None:
    fields, wanted = BY_HAND[name]
    assert rates(replace(FLAT, **fields)) == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_every_row_was_worked_out() -> None:
    assert set(SCHEDULES) <= {fields.get("schedule", "cosine") for fields, _ in BY_HAND.values()} - {square}


def test_a_share_falls_within_an_epoch_and_an_epoch_does_not() -> None:
    task = replace(FLAT, epochs=2, schedule="step", milestones=(0.75,))
    assert rates(task, 4) == pytest.approx([0.2] * 6 + [0.02] * 2)
    assert rates(replace(task, milestones=(1,)), 4) == pytest.approx([0.2] * 4 + [0.02] * 4)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.9])
def test_a_share_that_is_a_whole_number_of_epochs_is_that_epoch(share: float) -> None:
    """Though 0.7 times 10 is a little more than 7 in floating point."""
    task = replace(FLAT, epochs=10, schedule="step", milestones=(share,))
    assert rates(task, 13) == rates(replace(task, milestones=(round(share * 10),)), 13)


def test_warm_up_in_epochs_is_that_share_of_the_steps() -> None:
    task = replace(FLAT, epochs=10, warmup=2)
    assert rates(task, 7) == rates(replace(task, warmup=0.2), 7)


REFINED: dict[Any, dict[Any, list[float]]] = {
    "cosine": {None: [0.02] * 3, "last": [0.02] * 3, "restart": [0.2, 0.11, 0.02]},
    "linear": {None: [0.02] * 3, "last": [0.02] * 3, "restart": [0.2, 0.11, 0.02]},
    "step": {None: [0.002] * 3, "last": [0.002] * 3, "restart": [0.2, 0.2, 0.02]},
    "constant": {None: [0.02] * 3, "last": [0.2] * 3, "restart": [0.2] * 3},
    square: {None: [0.02] * 3, "last": [0.0] * 3, "restart": [0.2, 0.05, 0.0]},
}
"""By schedule and `Task.refine_lr`, the rates of three steps of refinement, worked out by hand."""


@pytest.mark.parametrize(
    "schedule", REFINED, ids=lambda schedule: schedule if isinstance(schedule, str) else "function"
)
def test_refinement_has_the_rate_that_the_task_says(schedule: Any) -> None:
    for refine_lr, wanted in {**REFINED[schedule], 0.5: [0.5] * 3}.items():
        task = replace(FLAT, schedule=schedule, refine_epochs=3, refine_lr=refine_lr)
        found = [learning_rate(task, step, 1) for step in range(4, 7)]
        assert found == pytest.approx(wanted, abs=1e-15), refine_lr
        assert task.refining_lr == pytest.approx(wanted[0], abs=1e-15), "the first"
        assert rates(task) == rates(replace(FLAT, schedule=schedule)), "before it nothing changes"


def test_every_schedule_was_refined_by_hand() -> None:
    assert set(SCHEDULES) <= set(REFINED)
    assert all(set(rules) == {None, *REFINING} for rules in REFINED.values())


@pytest.mark.parametrize(
    "schedule", REFINED, ids=lambda schedule: schedule if isinstance(schedule, str) else "function"
)
def test_a_restart_over_as_many_epochs_is_the_schedule_once_more(schedule: Any) -> None:
    task = replace(FLAT, schedule=schedule, refine_epochs=4, refine_lr="restart")
    assert [learning_rate(task, step, 7) for step in range(28, 56)] == pytest.approx(rates(task, 7))


def test_a_restart_does_not_warm_up_again() -> None:
    task = replace(FLAT, refine_epochs=2, refine_lr="restart")
    warmed = replace(task, warmup=2)
    assert [learning_rate(warmed, step, 3) for step in range(12, 18)] == [
        learning_rate(task, step, 3) for step in range(12, 18)
    ]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"schedule": "cosin"}, r"^unknown schedule 'cosin': did you mean 'cosine'"),
    ({"schedule": 5}, r"^Task.schedule is 5: give the name of a schedule, or a function"),
    ({"schedule": lambda progress: None}, r"^Task.schedule gives None at progress 0: give a finite number"),
    ({"schedule": lambda progress: 0.5 - progress}, r"^Task.schedule gives -0.5 at progress 1: give .* at least 0"),
    ({"schedule": lambda progress: math.inf}, r"^Task.schedule gives inf at progress 0"),
    ({"warmup": 1.0}, r"^Task.warmup is 1.0: give a share of the steps in \[0, 1\), or a whole number of epochs$"),
    ({"warmup": -1}, r"^Task.warmup is -1: give a share"),
    ({"warmup": True}, r"^Task.warmup is True: give a share"),
    ({"warmup": 4}, r"^Task.warmup is 4: give fewer epochs than Task.epochs=4, or a share$"),
    ({"refine_lr": "first"}, r"^Task.refine_lr is 'first': give a number above 0, 'last' or 'restart', or None$"),
    ({"warmup_from": 1.0}, r"^Task.warmup_from is 1.0: give a share of the peak"),
    ({"milestones": (True,)}, r"^Task.milestones is \(True,\): give a tuple of epochs"),
    ({"milestones": (0,)}, r"^Task.milestones is \(0,\): give a tuple of epochs"),
    ({"milestones": (1.5,)}, r"^Task.milestones is \(1.5,\): give a tuple of epochs"),
    ({"milestones": "1"}, r"^Task.milestones is '1': give a tuple of epochs"),
    ({"step_factor": 1}, r"^Task.step_factor is 1: give a factor in \(0, 1\)$"),
    ({"schedule": "step", "milestones": ()}, r"^Task.milestones is \(\): give the epochs at which"),
    (
        {"schedule": "step", "milestones": (2, 4, 9)},
        r"^Task.milestones is \(2, 4, 9\): give what lies before the end of Task.epochs=4, which 4, 9 do not, or ",
    ),
    (
        {"schedule": "step", "milestones": (3, 2)},
        r"^Task.milestones is \(3, 2\): give them in rising order, each once$",
    ),
    (
        {"schedule": "step", "milestones": (2, 2)},
        r"^Task.milestones is \(2, 2\): give them in rising order, each once$",
    ),
    ({"schedule": "step", "milestones": (2, 0.5)}, r"^Task.milestones is \(2, 0.5\): give them in rising order"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_what_is_no_schedule_is_refused_when_the_task_is_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(FLAT, **fields)


def test_a_schedule_that_breaks_between_the_points_that_are_tried_names_the_progress() -> None:
    task = replace(FLAT, epochs=5, schedule=lambda progress: -1.0 if progress == 0.25 else 1.0)
    with pytest.raises(ValueError, match=r"gives -1.0 at progress 0.25"):
        rates(task)


def test_milestones_that_no_schedule_reads_are_left_alone() -> None:
    """A study may search the schedule, and give the milestones of one of them."""
    assert replace(FLAT, milestones=(100, 150)).milestones == (100, 150)


def test_plain_data_tells_a_schedule() -> None:
    described = replace(FLAT, schedule=square, milestones=[1, 0.5]).describe()
    assert (described["schedule"], described["milestones"]) == ("square", (1, 0.5))


@pytest.mark.parametrize(
    ("space", "task", "message"),
    [
        (
            {"task.epochs": IntDistribution(2, 8)},
            {"schedule": "step", "milestones": (2, 3)},
            r"Task.milestones is \(2, 3\): give what lies before the end of Task.epochs=2.*\(tried: .*task.epochs=2",
        ),
        (
            {"task.schedule": CategoricalDistribution(["cosine", "step"])},
            {"milestones": (2, 9)},
            r"Task.milestones is \(2, 9\): .*which 9 does not.*\(tried: task.schedule='step'",
        ),
        ({"task.warmup": IntDistribution(0, 4)}, {}, r"Task.warmup is 4: give fewer epochs.*\(tried: task.warmup=4"),
    ],
)
def test_a_dimension_that_leads_beyond_the_epochs_is_found_before_a_study_runs(
    space: dict[str, Any], task: dict[str, Any], message: str
) -> None:
    study = tiny(strategies={"none": none()}, space=space)
    with pytest.raises(ValueError, match=message):
        preflight(replace(study, task=replace(study.task, epochs=4, **task)))


def test_a_dimension_of_epochs_or_of_a_share_is_a_warm_up(tmp_path: Any) -> None:
    for rule in (IntDistribution(0, 3), FloatDistribution(0, 0.9)):
        study = tiny(strategies={"none": none()}, space={"task.warmup": rule, "task.milestones": IntDistribution(1, 3)})
        preflight(replace(study, task=replace(study.task, epochs=4, schedule="step")))
