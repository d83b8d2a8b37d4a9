"""The learning rate of every step: the warm-up, what follows by the table `SCHEDULES`, and the rate of refinement."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from autoaug.fields import TEXT, Refused, at_least, finite, plain
from autoaug.lookup import lookup

if TYPE_CHECKING:
    from autoaug.train._task import Task

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


SCHEDULES: dict[str, ScheduleRule] = {
    "cosine": ScheduleRule(cosine, ("final_lr",)),
    "linear": ScheduleRule(linear, ("final_lr",)),
    "step": ScheduleRule(step, ("milestones", "step_factor")),
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
    warm-up has. Then it follows `Task.schedule`. While refining it is constant.

    Raises:
        ValueError: a schedule of the user's gives no finite number of at least 0.
    """
    steps = task.epochs * steps_per_epoch
    if step >= steps:
        return task.refining_lr
    climb = climbing_steps(task, steps_per_epoch)
    if step < climb:
        low = task.lr * task.warmup_from
        return low + (task.lr - low) * (step + 1) / climb
    progress = (step - climb) / max(1, steps - 1 - climb)
    if callable(task.schedule):
        return task.lr * checked_share(task.schedule, progress)
    return task.lr * lookup(SCHEDULES, task.schedule, "schedule").share(task, progress, step / steps_per_epoch)


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


def warmup_of(given: Any) -> float | int:
    """Return the value of `Task.warmup`: a share of the steps as a float, a number of epochs as an int."""
    value = plain(given)
    number = finite(value)
    whole = isinstance(value, int)
    if number is None or number < 0 or number > MOST_EPOCHS or (not whole and number >= 1):
        raise Refused("a share of the steps in [0, 1), or a whole number of epochs")
    return value if isinstance(value, int) else number


def milestones_of(given: Any) -> tuple[float | int, ...]:
    """Return the value of `Task.milestones`: a tuple of shares and epochs. A number alone is one milestone."""
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(map(milestone_of, several))


def milestone_of(given: Any) -> float | int:
    """Return a milestone, a share in (0, 1) as a float or an epoch of at least 1 as an int."""
    value = plain(given)
    number = finite(value)
    if number is not None and isinstance(value, int) and at_least(1).holds(value) and value <= MOST_EPOCHS:
        return value
    if number is None or isinstance(value, int) or not 0 < number < 1:
        raise Refused("a tuple of epochs, whole numbers of at least 1, or of shares of the epochs in (0, 1)")
    return number


MOST_EPOCHS = 2**31 - 1
"""Of a number of epochs, as for `Task.epochs`."""


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
