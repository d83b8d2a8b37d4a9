"""The callback by which the Trainer of Hugging Face reports its epochs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainingArguments

from autoaug.trial import Report, Trial

OF_SPEED = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
"""How the names of an evaluation's figures end that are no metrics."""


class Reporting(TrainerCallback):
    """Report each epoch of a Trainer to the study of a trial, once it was evaluated and saved.

    Args:
        report: of `called_back`.
        learn: is called after each step of the optimiser, with it.
        evaluate: of the Trainer.
        test: gives the dataset of the test split, for the last epoch of a final run.
    """

    def __init__(
        self,
        trial: Trial,
        report: Report,
        learn: Callable[[torch.optim.Optimizer], None],
        evaluate: Callable[..., Any],
        test: Callable[[], Any] | None = None,
    ) -> None:
        self.trial, self.report, self.learn, self.evaluate, self.test = trial, report, learn, evaluate, test
        self.metrics: dict[str, float] | None = None
        """Of the epoch that has ended; None within one, where an evaluation is the user's own affair."""

    def on_optimizer_step(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        """Let a learner move the policy, before the gradients are set to zero."""
        self.learn(more["optimizer"])

    def on_epoch_end(self, args: TrainingArguments, state: Any, control: TrainerControl, **more: Any) -> None:
        """Ask for an evaluation, and for a checkpoint in place of the one before."""
        self.metrics = {}
        for before in Path(args.output_dir or "").iterdir():
            rmtree(before)
        control.should_evaluate = control.should_save = True

    def on_prediction_step(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        """Say that the trial gets on."""
        self.trial.pulse()

    def on_evaluate(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        """Gather what was measured, one dataset after the other."""
        if self.metrics is not None:
            self.metrics |= renamed(more["metrics"])

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        """Report the epoch; the training rests here while that is judged."""
        if self.metrics is None:
            return
        if self.test and self.trial.final and self.trial.epoch == self.trial.total_epochs:
            self.evaluate(self.test(), metric_key_prefix="test")
        metrics, self.metrics = self.metrics, None
        self.report(metrics)


def renamed(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics of an evaluation by the names that a study has for them, without those of its speed."""
    kept = {name: value for name, value in metrics.items() if name != "epoch" and not name.endswith(OF_SPEED)}
    return {f"val_{name.removeprefix('eval_')}" if name.startswith("eval_") else name: kept[name] for name in kept}
