"""Trials and loops of one's own that several test files run."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from small_problems import Smooth, batch
from torch.nn import functional as F

from autoaug import Task, Trial
from autoaug.mixing import MIXES
from autoaug.record import Record
from autoaug.strategies import Strategy, none
from autoaug.train import NullLearner
from autoaug.trial import records

VAL = batch(20, 7)
"""Images that no policy touches, and their classes."""


def trial_of(strategy: Callable[[], Strategy] = none, mix: str = "none", seed: int = 1, **more: Any) -> Trial:
    """A trial without data, on a CPU: its loop reads its own images."""
    chosen = strategy()
    policy: Any = chosen.policy()
    learner = chosen.within(policy) if chosen.within else NullLearner()
    given: dict[str, Any] = {"params": {}, "task": Task(data=None, device="cpu")} | more
    params, task = given.pop("params"), given.pop("task")
    return Trial(params, policy, MIXES[mix](), learner, task, seed, **given)


def train_one_epoch(trial: Trial, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Two steps of ten images, as a script would make them, and what they gave."""
    for k in range(2):
        images, targets = batch(10, 10 * trial.epoch + k)
        mixed, soft = trial.augment(images, targets, classes=10)
        loss = F.cross_entropy(model(mixed), soft)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        trial.learn(model, (images, targets), VAL, optimiser)
    with torch.no_grad():
        return {"val_accuracy": (model(VAL[0]).argmax(1) == VAL[1]).float().mean(), "train_loss": loss}


def plain(trial: Trial) -> Iterator[Mapping[str, Any]]:
    """A loop that leaves nothing out."""
    torch.nn.init.zeros_((model := Smooth()).last.weight)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for epoch in trial.epochs(3, model=model, optimiser=optimiser):
        scores = train_one_epoch(trial, model, optimiser)
        if trial.final and epoch == trial.total_epochs:
            scores["test_accuracy"] = 0.5
        yield scores


def run(loop: Callable[[Trial], Any], **more: Any) -> list[Record]:
    """All records of a loop."""
    return list(records(loop, trial_of(**more)))
