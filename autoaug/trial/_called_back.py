"""A training that calls back, as those of frameworks do, turned into a loop that yields its epochs.

The training runs in a greenlet of the same thread, and rests in the callback that reported an epoch while that is
judged. Signals and errors reach it where it is, and closing the loop raises GreenletExit in the callback, so that its
`finally` blocks run.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autoaug.trial._trial import Trial

Report = Callable[[Mapping[str, Any]], None]
"""To be called once at the end of each epoch, with its metrics, from wherever the training is."""


def called_back(
    trial: Trial, fit: Callable[[Report], object], total: int | None = None, *, steps: int | None = None, **kept: Any
) -> Iterator[Mapping[str, Any]]:
    """Yield the metrics of each epoch that a training reports.

    Args:
        fit: trains all epochs that are left, from `trial.epoch` on, which is the first when it is called. It calls what
            it is given at the end of each.
        total: as in `Trial.epochs`.
        steps: as in `Trial.epochs`.
        kept: as in `Trial.epochs`; it is restored before `fit` is called.

    Raises:
        ModuleNotFoundError: greenlet is missing, which the extras of the integrations bring.
        ValueError: the training reports an epoch after its last.
    """
    from greenlet import GreenletExit, getcurrent, greenlet

    def report(metrics: Mapping[str, Any]) -> None:
        getcurrent().parent.switch(metrics)

    training = greenlet(fit)
    try:
        for _ in trial.epochs(total, steps=steps, **kept):
            metrics = training.switch() if training else training.switch(report)
            if training.dead:
                return  # the door says how many epochs are missing
            yield metrics
        training.switch()
        if not training.dead:
            raise ValueError(f"the training goes on after epoch {trial.epoch}, the last: report each epoch once")
    finally:
        if training:
            training.throw(GreenletExit)
