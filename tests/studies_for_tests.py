"""Tiny studies that several test files run."""

from collections.abc import Callable
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from autoaug import Budget, Study, Task
from autoaug.execution import Event
from autoaug.record import TrialKind
from autoaug.strategies import none, randaugment


def tiny(**more: Any) -> Study:
    """Two strategies with three trials of two short epochs each, and two final runs."""
    given: dict[str, Any] = {
        "name": "tiny",
        "task": Task(data="digits-rotated", model="convnet", epochs=2, batch_size=100, lr=0.2, device="cpu"),
        "space": {"task.refine_epochs": IntDistribution(0, 1), "mix.alpha": FloatDistribution(0, 1)},
        "strategies": {"none": none(), "ra": randaugment()},
        "budget": Budget(trials=3),
        "seeds": 2,
    }
    return Study(**given | more)


def at_epoch(epoch: int, do: Callable[[], object]) -> Callable[[Event], None]:
    """A listener that does something once, as soon as the storage has an epoch of the search."""
    left = [do]

    def listen(event: Event) -> None:
        if event.record and event.record.epoch == epoch and event.job.kind is not TrialKind.FINAL and left:
            left.pop()()

    return listen
