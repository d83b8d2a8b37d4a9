"""A training that calls back, as those of frameworks do, turned into a loop that yields its epochs.

The training runs in a greenlet of the same thread, and rests in the callback that reported an epoch while that is
judged. Signals and errors reach it where it is, and closing the loop raises GreenletExit in the callback, so that its
`finally` blocks run.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import torch

from autoaug.trial._trial import Trial

if TYPE_CHECKING:
    from greenlet import greenlet as Greenlet

Report = Callable[[Mapping[str, Any]], None]
"""To be called once at the end of each epoch, with its metrics, from wherever the training is."""


def called_back(
    trial: Trial, fit: Callable[[Report], object], total: int | None = None, *, steps: int | None = None, **kept: Any
) -> Iterator[Mapping[str, Any]]:
    """Yield the metrics of each epoch that a training reports.

    Args:
        fit: trains all epochs that are left, from `trial.epoch` on, which is the first when it is called. It calls what
            it is given at the end of each, in the thread in which it was called.
        total: as in `Trial.epochs`.
        steps: as in `Trial.epochs`.
        kept: as in `Trial.epochs`; it is restored before `fit` is called. Its state is read while `fit` rests.

    Raises:
        ModuleNotFoundError: greenlet is missing, which the extras of the integrations bring.
        ValueError: the training reports an epoch after its last.
        RuntimeError: it reports from another thread, or goes on after it was ended.
    """
    training, report = resting(fit)
    try:
        for _ in trial.epochs(total, steps=steps, **kept):
            metrics = to(training).switch() if training else to(training).switch(report)
            if training.dead:
                return  # the door says how many epochs are missing
            yield metrics
        to(training).switch()
        if not training.dead:
            raise ValueError(f"the training goes on after epoch {trial.epoch}, the last: report each epoch once")
    finally:
        end(training)


def resting(fit: Callable[[Report], object]) -> "tuple[Greenlet, Report]":
    """Return a training that has not begun, and the report that it is to be given: there it rests.

    Raises:
        ModuleNotFoundError: greenlet is missing.
    """
    try:
        from greenlet import getcurrent, greenlet
    except ModuleNotFoundError as error:
        fix = "pip install 'autoaug[lightning]' or 'autoaug[hf]'"
        raise ModuleNotFoundError(f"a training that calls back needs greenlet: {fix}") from error

    def report(metrics: Mapping[str, Any]) -> None:
        if getcurrent() is not training:
            raise RuntimeError(
                "an epoch was reported from outside its training: report it in the thread that trains, before that ends"
            )
        with torch.inference_mode(False):  # whoever judges the epoch may be called within a validation
            training.parent.switch(metrics)

    training = greenlet(fit)
    training.gr_context = copy_context()  # it sees what its caller has set, as a call would
    return training, report


def to(training: "Greenlet") -> "Greenlet":
    """Return a training that comes back to where it is switched to: a loop may be closed from within another one."""
    from greenlet import getcurrent

    training.parent = getcurrent()
    return training


def end(training: "Greenlet") -> None:
    """End a training where it rests, if it has not ended.

    Raises:
        RuntimeError: it goes on all the same.
    """
    from greenlet import GreenletExit

    if not training:
        return
    to(training).throw(GreenletExit)
    if not training.dead:
        raise RuntimeError("the training was ended in a report, and reports again: let GreenletExit through")
