"""The learning rate of every step: the warm-up, what follows by the table `SCHEDULES`, and the rate of refinement."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from autoaug.fields import MOST_WHOLE, TEXT, Refused, at_least, finite, plain
from autoaug.lookup import lookup

if TYPE_CHECKING:
    from autoaug.train._task import Task

REFINE_SHARE = 0.1
"""The learning rate of refinement as a share of the peak, chosen by measurement: of seven rates it added most to test
accuracy over nine cases on digits and CIFAR-10 (`benchmarks/results/refinement-cpu.md`), and is within the errors of
the best after a linear fall and after a constant rate. The cosine's last rate, 0.01, hardly moves a network; from 0.3
on, small datasets lose."""

Schedule = Callable[[float], float]
"""Progress in [0, 1] to the share of the peak, a finite number of at least 0.

The progress is 0 in the first step after the warm-up and 1 in the last augmented one, and grows evenly between."""


def cosine(task: "Task", progress: float, epochs: float) -> float:
    """Return the share of half a cosine from 1 to `Task.final_lr` (Loshchilov and Hutter 2017, without restarts)."""
    return task.final_lr + (1 - task.final_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def linear(task: "Task", progress: float, epochs: float) -> float:
    """Return the share of a straight line from 1 to `Task.final_lr`."""
    return 1 - (1 - task.final_lr) * progress


def constant(task: "Task", progress: float, epochs: float) -> float:
    """Return 1: the peak in every step."""
    return 1.0


def step(task: "Task", progress: float, epochs: float) -> float:
    """Return `Task.step_factor` to the power of the milestones that were passed.

    The milestone 100 is the beginning of the 101st epoch, as in torch's `MultiStepLR`. A milestone within the warm-up
    counts from its end on.
    """
    passed = sum(milestone <= epochs + 1e-9 for milestone in in_epochs(task.milestones, task.epochs))
    return float(task.step_factor**passed)


class ScheduleRule(NamedTuple):
    """Describe how the learning rate goes on after the warm-up."""

    share: Callable[["Task", float, float], float]
    """From a task, the progress in [0, 1] (as in `Schedule`) and the epochs made so far to the share of the peak.

    The epochs are counted from the first step of the training, warm-up included: 2.5 is the middle of the third."""
    reads: tuple[str, ...] = ()
    """The fields of the task that it looks at."""
    refines: str | float = REFINE_SHARE
    """The learning rate of refinement where `Task.refine_lr` is None: a share of the peak, or a row of `REFINING`."""


SCHEDULES: dict[str, ScheduleRule] = {
    "cosine": ScheduleRule(cosine, ("final_lr",)),
    "linear": ScheduleRule(linear, ("final_lr",)),
    "step": ScheduleRule(step, ("milestones", "step_factor"), refines="last"),
    "constant": ScheduleRule(constant),
}
"""What a learning rate can do after the warm-up."""


def in_epochs(milestones: Sequence[float], epochs: int) -> list[float]:
    """Return milestones as epochs; a share of the augmented epochs may fall within one."""
    return [each * epochs if isinstance(each, float) else each for each in milestones]


def climbing_steps(task: "Task", steps_per_epoch: int) -> int:
    """Return how many steps the warm-up has."""
    if isinstance(task.warmup, int):
        return task.warmup * steps_per_epoch
    return int(task.warmup * (task.epochs * steps_per_epoch))


def learning_rate(task: "Task", step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0 over the whole training.

    It climbs linearly from the share `Task.warmup_from` of the peak `Task.lr` to the peak, which the last step of the
    warm-up has. Then it follows `Task.schedule`. While refining it is as `Task.refine_lr` says.

    Raises:
        ValueError: a schedule of the user's gives no finite number of at least 0.
    """
    steps = task.epochs * steps_per_epoch
    if step >= steps:
        return refining_rate(task, step - steps, steps_per_epoch)
    climb = climbing_steps(task, steps_per_epoch)
    if step < climb:
        low = task.lr * task.warmup_from
        return low + (task.lr - low) * (step + 1) / climb
    return scheduled_rate(task, (step - climb) / max(1, steps - 1 - climb), step / steps_per_epoch)


def scheduled_rate(task: "Task", progress: float, epochs: float) -> float:
    """Return the learning rate that the schedule has at a progress in [0, 1], after so many epochs."""
    if callable(task.schedule):
        return task.lr * checked_share(task.schedule, progress)
    return task.lr * lookup(SCHEDULES, task.schedule, "schedule").share(task, progress, epochs)


def last_rate(task: "Task", step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of the last augmented step (He et al. 2019, algorithm 1)."""
    return learning_rate(task, task.epochs * steps_per_epoch - 1, steps_per_epoch)


def restarted_rate(task: "Task", step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of the schedule without its warm-up, squeezed into the refinement epochs."""
    steps = task.refine_epochs * steps_per_epoch
    return scheduled_rate(task, step / max(1, steps - 1), task.epochs * step / max(1, steps))


REFINING: dict[str, Callable[["Task", int, int], float]] = {"last": last_rate, "restart": restarted_rate}
"""What `Task.refine_lr` can be beside a number: from a task, a step of refinement counted from 0, and the steps of an
epoch to the learning rate. "restart" is the large rate of an ablation of He et al. 2019."""


def refining_rate(task: "Task", step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step of refinement, counted from 0."""
    if isinstance(task.refine_lr, float):
        return task.refine_lr
    usual = REFINE_SHARE if callable(task.schedule) else lookup(SCHEDULES, task.schedule, "schedule").refines
    rule = task.refine_lr or usual
    return REFINING[rule](task, step, steps_per_epoch) if isinstance(rule, str) else rule * task.lr


def refine_lr_of(given: Any) -> float | str:
    """Return the value of `Task.refine_lr`: a learning rate, or the name of a row of `REFINING`."""
    number = finite(plain(given))
    if isinstance(given, str) and given in REFINING:
        return given
    if number is None or number <= 0:
        raise Refused(f"a number above 0, {' or '.join(map(repr, REFINING))}")
    return number


def checked_share(schedule: Schedule, progress: float) -> float:
    """Return the share of the peak that a schedule of the user's gives; raise ValueError where it is none."""
    given = schedule(progress)
    share = finite(plain(given))
    if share is None or share < 0:
        raise ValueError(f"Task.schedule gives {given!r} at progress {progress:g}: give a finite number of at least 0")
    return share


def schedule_of(given: Any) -> str | Schedule:
    """Return the value of `Task.schedule`: a row of `SCHEDULES`, or a function, which is tried at three points.

    Raises:
        ValueError: there is no such schedule; the message holds near names. Or the function gives no share.
    """
    if callable(given):
        for progress in (0.0, 0.5, 1.0):
            checked_share(given, progress)
        return given
    if not isinstance(given, str) or not TEXT.holds(given):
        raise Refused("the name of a schedule, or a function of the progress from 0 to 1")
    lookup(SCHEDULES, given, "schedule")
    return given


def milestones_of(given: Any) -> tuple[float | int, ...]:
    """Return the value of `Task.milestones`: a tuple of shares and epochs. A number alone is one milestone."""
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(map(milestone_of, several))


def milestone_of(given: Any) -> float | int:
    """Return a milestone, a share in (0, 1) as a float or an epoch of at least 1 as an int."""
    value = plain(given)
    number = finite(value)
    if number is not None and isinstance(value, int) and at_least(1).holds(value) and value <= MOST_WHOLE:
        return value
    if number is None or isinstance(value, int) or not 0 < number < 1:
        raise Refused("a tuple of epochs, whole numbers of at least 1, or of shares of the epochs in (0, 1)")
    return number


def check_schedule(task: "Task") -> None:
    """Refuse a task whose warm-up or milestones do not fit its epochs.

    Raises:
        ValueError: the message names the field, its value and what to give instead.
    """
    if isinstance(task.warmup, int) and task.warmup >= task.epochs:
        raise ValueError(f"Task.warmup is {task.warmup}: give fewer epochs than Task.epochs={task.epochs}, or a share")
    if task.schedule != "step":
        return
    if not task.milestones:
        raise ValueError("Task.milestones is (): give the epochs at which Task.schedule='step' lowers the rate")
    places = in_epochs(task.milestones, task.epochs)
    late = [each for each, place in zip(task.milestones, places, strict=True) if place >= task.epochs]
    if late:
        beyond = ", ".join(map(str, late))
        raise ValueError(
            f"Task.milestones is {task.milestones}: give what lies before the end of Task.epochs={task.epochs}, which "
            f"{beyond} {'does' if len(late) == 1 else 'do'} not, or shares of the epochs such as 0.5"
        )
    if any(place >= following for place, following in pairwise(places)):
        raise ValueError(f"Task.milestones is {task.milestones}: give them in rising order, each once")
