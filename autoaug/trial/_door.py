"""The door: what a training loop yields becomes the records of a trial, whoever wrote the loop."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

import torch

from autoaug.devices import Clock
from autoaug.fields import short
from autoaug.lookup import suggest
from autoaug.metrics import on_split
from autoaug.record import Record
from autoaug.train import finite_figures, snapshot, train
from autoaug.trial._trial import Trial

Loop = Callable[[Trial], Iterator[Mapping[str, Any] | Record]]
"""A training: yields the metrics of each epoch, or a whole record of it."""


def fit(trial: Trial) -> Iterator[Record]:
    """Train the task of a trial by autoaug's own trainer, which is a loop like any other."""
    return train(
        trial.task,
        trial.policy,
        trial.mix,
        trial.learner,
        torch.Generator().manual_seed(trial.seed),
        trial.checkpoint,
        test=trial.final,
        validate=trial.validates,
        data=trial.data,
        pulse=trial.pulse,
        interruption=trial.interruption,
    )


def records(loop: Loop, trial: Trial) -> Generator[Record, None, None]:
    """Run a loop, and yield a record of each epoch that it reports.

    Closing it closes the loop, whose `finally` blocks then run.

    Raises:
        TypeError: the loop is no generator function, or yields no metrics.
        ValueError: its metrics lack that of the study, or hold some that it may not give; it ended too early, or
            ignored the policy, the mix or the learner of its strategy.
        Diverged: a metric is NaN or infinite.
    """
    epochs = begun(loop, trial)
    door = Door(trial)
    with trial.steps.watched(), closing(epochs):
        while True:
            clock, wall = Clock(trial.device), time.perf_counter()
            with trial.generators.in_use():
                try:
                    reported = next(epochs)
                except StopIteration:
                    break
            yield door.record(reported, clock, wall)
    door.check_end()


def begun(loop: Loop, trial: Trial) -> Generator[Mapping[str, Any] | Record, None, None]:
    """Return the generator of a loop; raise TypeError where it makes none."""
    epochs = loop(trial)
    if not isinstance(epochs, Generator):
        name = getattr(loop, "__qualname__", type(loop).__name__)
        raise TypeError(
            f"{name} is no generator function, it gives a {type(epochs).__name__}: yield the metrics of an epoch at "
            'its end, as in `yield {"val_accuracy": ...}`'
        )
    return epochs


class Door:
    """Turn what a loop yields into records, and refuse what cannot be one."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.reports, self.last_epoch = 0, 0
        self.tested = False

    def record(self, reported: Any, clock: Clock, wall: float) -> Record:
        """Return the record of an epoch; one of autoaug's own trainer is whole already."""
        trial = self.trial
        self.reports += 1
        if isinstance(reported, Record):
            trial.epoch, trial.augmented_epochs = reported.epoch, trial.task.epochs
            self.tested = self.tested or bool(tests_in(reported.metrics))
            return reported
        if not isinstance(reported, Mapping):
            raise TypeError(
                f"the loop yields {short(reported)}: yield the metrics of an epoch by name, as in "
                f"{{{trial.metric!r}: ...}}"
            )
        if trial.augmented_epochs is None:
            trial.epoch += 1  # the loop counts its epochs itself
            trial.tell_workers()
        self.check_order()
        metrics = finite_figures(trial.epoch, {**trial.learner.metrics(), **reported}, remedy)
        self.check_metrics(metrics)
        self.check_use()
        cost = {"gpu_seconds": clock.seconds(), "wall_seconds": time.perf_counter() - wall}
        seconds = finite_figures(trial.epoch, cost, remedy)
        return Record(
            epoch=trial.epoch,
            phase=trial.phase,
            metrics=metrics,
            policy=snapshot(trial.policy, trial.learner, trial.epoch),
            gpu_seconds=seconds["gpu_seconds"],
            wall_seconds=seconds["wall_seconds"],
            device=trial.device.type,
            images=trial.images,
        )

    def check_order(self) -> None:
        """Refuse a second report of an epoch, and any after the test split was read."""
        if self.trial.epoch == self.last_epoch:
            raise ValueError(f"the loop yields twice in epoch {self.last_epoch}: yield once, at the end of an epoch")
        if self.tested:
            raise ValueError(
                f"the test split was read after epoch {self.last_epoch}, and the loop trains on: yield test metrics "
                "in the last epoch alone"
            )
        self.last_epoch = self.trial.epoch

    def check_metrics(self, metrics: Mapping[str, float]) -> None:
        """Refuse metrics without that of the study, and those of the test split in a search."""
        trial = self.trial
        if trial.metric not in metrics:
            raise ValueError(
                f"the loop yields no {trial.metric!r}, which the study goes by: {suggest(trial.metric, metrics)}"
            )
        tested = tests_in(metrics)
        if tested and not trial.final:
            raise ValueError(
                f"the loop yields {tested[0]!r} in a search: only a final run reads the test split, so ask "
                "`if trial.final` first"
            )
        self.tested = bool(tested)

    def check_use(self) -> None:
        """Refuse a loop that leaves out what its strategy is about, at the first report."""
        trial = self.trial
        if trial.learner.moves_policy and "learner" not in trial.used:
            raise ValueError(
                "the policy never moved: after each step of the optimiser call trial.learn(model, (images, targets), "
                "(val_images, val_targets), optimiser)"
            )

    def check_end(self) -> None:
        """Refuse a loop that ended too early, or a final run without a score on the test split."""
        trial, total = self.trial, self.trial.total_epochs
        if not self.reports:
            raise ValueError("the loop ended without a report: yield the metrics of each epoch at its end")
        if total is not None and trial.epoch < total:
            raise ValueError(f"the loop ended after epoch {trial.epoch} of {total}: yield once in each of them")
        if trial.final and not self.tested:
            name = on_split("test", trial.metric)
            raise ValueError(f"a final run gave no {name!r}: yield it in the last epoch, where trial.final is true")


def tests_in(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the metrics that were measured on the test split."""
    return [name for name in metrics if name.startswith("test_")]


def remedy(name: str) -> str:
    """Return what to change where a metric of a loop is no finite number."""
    return "lower the learning rate of the loop, or leave the metric out where it has no value"
