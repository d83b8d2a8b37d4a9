"""What a loop yields, checked: it becomes the record of an epoch, or the error says what to yield instead."""

import time
from collections.abc import Mapping
from typing import Any

from autoaug.devices import Clock, read_together
from autoaug.fields import short
from autoaug.lookup import suggest
from autoaug.metrics import on_split
from autoaug.mixing import Weakenable
from autoaug.policy import stages
from autoaug.record import Record
from autoaug.train import finite_figures, snapshot
from autoaug.trial._trial import Trial


class Reports:
    """Turn what a loop yields into records, and refuse what cannot be one."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.count, self.last_epoch = 0, 0
        self.tested = False
        """Whether the latest one has metrics of the test split."""

    def record(self, reported: Any, clock: Clock, wall: float) -> Record:
        """Return the record of an epoch; one of autoaug's own trainer is whole already.

        Raises:
            TypeError: no metrics were yielded, or one of them is no number.
            ValueError: they are not what the study needs, or come where they may not.
            Diverged: one is NaN or infinite.
        """
        self.count += 1
        if isinstance(reported, Record):
            return self.whole(reported)
        clock.stop()  # what waits for the metrics then has waited for its end too
        trial = self.trial
        if not isinstance(reported, Mapping):
            raise TypeError(
                f"the loop yields {short(reported)}: yield the metrics of an epoch by name, as in "
                f"{{{trial.metric!r}: ...}}"
            )
        if trial.augmented_epochs is None:
            self.count_epoch()
        self.check_order()
        read = read_together(reported)  # first, for the times of a learner are then known without another wait
        metrics = finite_figures(trial.epoch, {**trial.learner.metrics(), **read}, remedy)
        self.check_metrics(metrics)
        check_use(trial)
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

    def whole(self, record: Record) -> Record:
        """Take in a record as autoaug's own trainer makes it."""
        trial = self.trial
        trial.epoch = self.last_epoch = record.epoch
        trial.augmented_epochs = trial.task.epochs
        self.tested = self.tested or bool(tests_in(record.metrics))
        return record

    def count_epoch(self) -> None:
        """Count an epoch of a loop that counts its epochs itself, in which nothing is ever refined."""
        trial = self.trial
        if refined := trial.task.refine_epochs:
            raise ValueError(
                f"the study asks for refinement (refine_epochs is {refined}), and the loop counts its epochs itself: "
                "let it train `for epoch in trial.epochs(...)`, which has them at its end"
            )
        if trial.task.anneal:
            raise ValueError(
                f"the study anneals policy and mix before their last epoch (anneal is {trial.task.anneal}), and the "
                "loop counts its epochs itself: let it train `for epoch in trial.epochs(...)`, which knows the last"
            )
        trial.epoch += 1
        trial.tell_workers()

    def check_order(self) -> None:
        """Refuse a report that does not follow the one before, and any after the test split was read."""
        epoch = self.trial.epoch
        if not epoch:
            raise ValueError("the loop yields before its first epoch: yield once, at the end of each")
        if epoch == self.last_epoch:
            raise ValueError(f"the loop yields twice in epoch {epoch}: yield once, at its end")
        if self.last_epoch and epoch > self.last_epoch + 1:
            raise ValueError(
                f"the loop yields in epoch {epoch}, and did not in epoch {epoch - 1}: yield once in each of them, the "
                "score of the latest one that was measured where that is too costly"
            )
        if self.tested:
            raise ValueError(
                f"the test split was read after epoch {self.last_epoch}, and the loop trains on: yield test metrics "
                "in the last epoch alone"
            )
        self.last_epoch = epoch

    def check_metrics(self, metrics: Mapping[str, float]) -> None:
        """Refuse metrics without that of the study, and those of the test split anywhere but at the end of a final run.

        When the last epoch is cannot be known where the loop counts them itself.
        """
        trial, tested = self.trial, tests_in(metrics)
        if trial.metric not in metrics:
            raise ValueError(
                f"the loop yields no {trial.metric!r}, which the study goes by: {suggest(trial.metric, metrics)}"
            )
        if tested and not trial.final:
            raise ValueError(
                f"the loop yields {tested[0]!r} in a search: only a final run reads the test split, so ask "
                "`if trial.final` first"
            )
        if tested and trial.epoch < (trial.total_epochs or 0):
            raise ValueError(
                f"the loop yields {tested[0]!r} in epoch {trial.epoch} of {trial.total_epochs}: the test split is read "
                "once, so ask `if trial.final and epoch == trial.total_epochs` first"
            )
        self.tested = bool(tested)

    def check_end(self) -> None:
        """Refuse a loop that ended too early, or a final run without a score on the test split."""
        trial, total, last = self.trial, self.trial.total_epochs, self.last_epoch
        if not self.count:
            raise ValueError("the loop ended without a report: yield the metrics of each epoch at its end")
        if total is not None and last < total:
            raise ValueError(
                f"the loop ended after the report of epoch {last} of {total}: yield once in each of them, and leave "
                "early stopping to the pruner of a strategy, as in .pruned('asha')"
            )
        if trial.final and not self.tested:
            name = on_split("test", trial.metric)
            raise ValueError(f"a final run gave no {name!r}: yield it in the last epoch, where trial.final is true")


def check_use(trial: Trial) -> None:
    """Refuse a loop that leaves out what its strategy is about; while refining all of that is off.

    Raises:
        ValueError: it does; the message has the line to add.
    """
    if trial.refining:
        return
    if "policy" not in trial.used and (trial.learner.moves_policy or stages(trial.policy.tree().root)):
        raise ValueError(
            "the loop trains without the policy of its strategy: give each batch to it, images in [0, 1], by "
            "images, targets = trial.augment(images, targets)"
        )
    if "mix" not in trial.used and not (isinstance(trial.mix, Weakenable) and not trial.mix.mixes):
        raise ValueError(
            "the loop trains without the mix that the study asks for: after the policy give each batch to it, by "
            "images, targets = trial.mixed(images, targets)"
        )
    if "learner" not in trial.used and trial.learner.moves_policy:
        raise ValueError(
            "the policy never moved: after each step of the optimiser call trial.learn(model, (images, targets), "
            "(val_images, val_targets), optimiser)"
        )


def tests_in(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the metrics that were measured on the test split."""
    return [name for name in metrics if name.startswith("test_")]


def remedy(name: str) -> str:
    """Return what to change where a metric of a loop is no finite number."""
    return "lower the learning rate of the loop, or leave the metric out where it has no value"
