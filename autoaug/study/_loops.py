"""What a study with a training loop of the user's own may say, beside what every study may."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from autoaug.fields import Refused
from autoaug.metrics import declare
from autoaug.strategies import Strategy
from autoaug.train import READ_BY_LOOPS, Task
from autoaug.trial import Command, Loop


def loop_of(given: Any) -> Loop | None:
    """Return a `Study.train` as it is; raise Refused where it cannot be called, or makes no generator when it is.

    What an ordinary function gives is known when it is rehearsed: it may return the generator of another one.
    """
    asynchronous = inspect.iscoroutinefunction(given) or inspect.isasyncgenfunction(given)
    if given is not None and (not callable(given) or isinstance(given, type) or asynchronous):
        raise Refused("a generator function of a trial, which yields the metrics of each epoch")
    if given is not None and not takes_a_trial(given):
        raise Refused("a function that takes a trial and nothing else, as in `def train(trial):`")
    loop: Loop | None = given
    return loop


def takes_a_trial(function: Callable[..., Any]) -> bool:
    """Whether something can be called with one argument, as far as its signature says."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # it has none that can be read
        return True
    return True


def make_row(metric: Any, minimize: bool, loop: Loop | None) -> None:
    """Make a row of a metric that a loop gives, of which the study says the direction.

    Raises:
        ValueError: there is no loop, or the metric has another direction.
    """
    if loop is None or not isinstance(metric, str):
        raise ValueError(
            f"Study(minimize={minimize!r}) says the direction of a metric that the loop of train= gives: leave it out"
        )
    declare(metric, "minimize" if minimize else "maximize")


def check_task(study: str, task: Task, loop: Loop | None, final_data: str) -> None:
    """Refuse fields of the task that a loop of one's own is not given, and a task without data where there is no loop.

    Raises:
        ValueError: it names the field, and what to give instead.
    """
    if loop is None:
        if task.data is None:
            raise ValueError(f"study {study!r} has no data: give task=Task(data=...), or your own loop as train=")
        return
    usual = Task(data=None)
    for each in fields(Task):
        if getattr(task, each.name) != getattr(usual, each.name):
            refuse_unread(f"Task.{each.name}={getattr(task, each.name)!r} of study {study!r}", each.name)
    if final_data != "train":
        raise ValueError(
            f"Study.final_data={final_data!r} of study {study!r}: a loop of one's own chooses itself what it trains "
            "on, by trial.final; leave it out"
        )


def check_command(study: str, strategies: Mapping[str, Strategy], loop: Loop | None) -> None:
    """Refuse a command beside a strategy whose policy moves within a trial.

    Raises:
        ValueError: it names the strategy, and what to give instead.
    """
    for name, strategy in strategies.items() if isinstance(loop, Command) else ():
        if strategy.within is not None:
            raise ValueError(
                f"strategy {name!r} of study {study!r} moves its policy within a trial, and a command gets policy.json "
                "once, before it starts: leave the strategy out, or give Study(train=) a function instead of a Command"
            )


def refuse_unread(where: str, name: str) -> None:
    """Refuse a field of a task that a loop of one's own is not given.

    Raises:
        ValueError: it says what to do instead.
    """
    if name not in READ_BY_LOOPS:
        raise ValueError(
            f"{where}: {name} is read by autoaug's own trainer alone; let the loop of train= set it, or search it as "
            f"'train.{name}', which the loop reads as trial[{name!r}]"
        )
