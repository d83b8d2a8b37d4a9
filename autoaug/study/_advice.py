"""What would fit a machine that a plan is too large for: measured as the plan is, not guessed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.study._plan import Line, by_the_clock, plan
from autoaug.study._predict import predict
from autoaug.text import by_clock
from autoaug.train import Task

LONG = 2 * 3600.0
"""Seconds from which on somebody at a CPU would rather ask for less."""

MODEL, PIXELS = "resnet-8", 32
"""A network, and a size of images, that a CPU trains in minutes."""

PATIENCE = 0.25
"""Of the time that a plan's own measurement takes."""


@dataclass(frozen=True)
class Advice:
    """Hold a smaller task, and how long the same study takes with it."""

    model: str
    pixels: int
    seconds: float
    """By the clock, all of it."""
    budget_seconds: float
    """Of these, what the budget gives to the searches, whatever the task."""

    def __str__(self) -> str:
        """Return the advice as a sentence."""
        size = f"images of {self.pixels} x {self.pixels} pixels"
        budget = f", of which {by_clock(self.budget_seconds)} are the budget" if self.budget_seconds else ""
        return f"on this CPU model={self.model!r} and {size} would take about {by_clock(self.seconds)}{budget}"


def advise(
    study: Study,
    lines: Sequence[Line],
    load: Loader,
    at_once: int = 1,
    say: Callable[[str], object] = lambda name: None,
) -> Advice | None:
    """Return how long the study takes with a smaller network and images, where a plan takes hours on a CPU, else None.

    Args:
        lines: the plan, with what it should cost.
        load: the data that were read for it.
        at_once: how many trials run at the same time.
        say: is called with the name of each strategy before it is measured.
    """
    now = by_the_clock(lines, at_once)
    if study.train is not None or load(study.task).kind != "images":
        return None  # what its loop trains is up to the user, and there is no smaller table
    if now is None or now < LONG or any(line.unit != "CPU-seconds" for line in lines):
        return None
    names = [line.strategy for line in lines]
    try:
        less = replace(study, task=smaller(study.task, load))
    except ValueError:  # a space or a proxy of the study fits its own task only
        return None
    less_lines = [line for line in plan(less, predict(less, names, 1.0, load, say, PATIENCE)) if line.strategy in names]
    then = by_the_clock(less_lines, at_once)
    if then is None or then > now / 2:
        return None
    budget = sum(line.search_seconds or 0.0 for line in less_lines if line.trials is None) / at_once
    return Advice(MODEL, min(PIXELS, load(study.task).train.images.shape[-1]), then, budget)


def smaller(task: Task, load: Loader) -> Task:
    """Return a task with a network and images that a CPU is fast at, and all else as it is."""
    pixels = min(load(task).train.images.shape[2:])
    return replace(task, model=MODEL, weights=None, size=PIXELS if pixels > PIXELS else task.size)
