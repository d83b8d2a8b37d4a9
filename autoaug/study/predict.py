"""What a training will cost: a few steps of it are measured and scaled up to its epochs."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from torch import Generator

from autoaug.data import Data
from autoaug.data.splits import Split
from autoaug.strategies import Space
from autoaug.study.budget import unit
from autoaug.study.definition import Study
from autoaug.study.loading import Loader
from autoaug.study.setup import Setup, set_up
from autoaug.train import Learner, Run
from autoaug.train.loop import Clock, evaluate, global_generators_guarded, train_step

STEPS = 3
"""Training steps of each kind that are measured, after one that warms up."""

SAMPLE = 1000
"""Validation images that are measured, at most."""


@dataclass(frozen=True)
class Prediction:
    """What the trainings of a strategy are expected to cost: GPU-seconds, or CPU-seconds where there is no GPU."""

    trial: float
    """One trial of the search."""
    full: float
    """One training on the study's own task."""
    deployed: float
    """All trainings from scratch that follow a final run of a strategy with a learner."""
    unit: str

    def least(self, study: Study, strategy: str) -> float:
        """The least that a search must be able to spend: one trial and, where it runs on a proxy, one re-run."""
        return self.trial + (self.full if study.reruns_of(strategy) else 0.0)

    def search(self, study: Study, strategy: str) -> float:
        """A whole search with its re-runs, or its budget where that is less."""
        trials = study.trials_of(strategy)
        whole = [] if trials is None else [trials * self.trial + study.reruns_of(strategy) * self.full]
        return min([*whole, *study.budget.seconds.values()])

    def finals(self, study: Study) -> float:
        """All final runs of a strategy."""
        return study.seeds * (self.full + self.deployed)


def predict(
    study: Study,
    only: Iterable[str] = (),
    share: float = 1.0,
    load: Loader | None = None,
    say: Callable[[str], Any] = lambda name: None,
) -> dict[str, Prediction]:
    """Measure on this machine what a training of each strategy costs, at the middle of its space.

    A strategy that fails there is left out.

    Args:
        only: these strategies; none named means all.
        share: of a GPU, that each trial has.
        say: is told the name of each strategy before it is measured.
    """
    load, found = load or Loader(), {}
    for name in list(only) or study.strategies:
        say(name)
        with suppress(Exception):  # the trials that fail in the same way will say why
            found[name] = of_strategy(study, name, share, load)
    return found


def of_strategy(study: Study, name: str, share: float, load: Loader) -> Prediction:
    point = middle(study.space_of(name))
    setup, cheap = (set_up(study, name, point, search=search) for search in (False, True))
    device, full, from_scratch = measure(setup, load(setup.task))
    trial = measure(cheap, load(cheap.task))[1] if study.strategies[name].proxy else full
    paid = share if device == "cuda" else 1.0
    deployed = len(study.deploy) * from_scratch if setup.learner else 0.0
    return Prediction(paid * trial, paid * full, paid * deployed, unit("gpu_seconds", device))


def measure(setup: Setup, data: Data) -> tuple[str, float, float]:
    """The type of the device, and the seconds of a whole training on it, with and without its learner."""
    task, learner = setup.task, setup.learner
    run = Run(task, setup.policy, setup.mix, learner, Generator().manual_seed(0), data)
    run.model.train()
    with global_generators_guarded(run):
        plain, updated = step_seconds(run, 1, None), step_seconds(run, task.epochs, learner) if learner else 0.0
        refined = step_seconds(run, task.epochs + 1, None) if task.refine_epochs else 0.0
        validation = validation_seconds(run)
    steps = run.steps_per_epoch
    count = getattr(learner, "expected_updates", lambda task, images: task.epochs * steps)
    updates = count(task, len(data.train)) if learner else 0
    alone = task.epochs * steps * plain + task.refine_epochs * steps * refined + task.total_epochs * validation
    return run.device.type, alone + updates * max(0.0, updated - plain), alone


def step_seconds(run: Run, epoch: int, learner: Learner | None) -> float:
    """Of a training step in an epoch; with a learner, of one after which it is due to move the policy."""
    run.epoch, run.learner, run.joint = epoch, learner, bool(getattr(learner, "joint", False))
    run.policy.at(epoch)
    every = getattr(getattr(learner, "updates", None), "every", 1)
    total = 0.0
    for k in range(STEPS + 1):
        run.step = 2 * every - 1
        chosen = torch.arange(run.task.batch_size).add(k).remainder(len(run.data.train)).to(run.device)
        images, targets = run.data.train.images[chosen], run.data.train.targets[chosen]
        clock = Clock(run.device)
        train_step(run, images, targets)
        total += clock.seconds() if k else 0.0
    return total / STEPS


def validation_seconds(run: Run) -> float:
    val = run.data.scored
    clock = Clock(run.device)
    evaluate(run, Split(val.images[:SAMPLE], val.targets[:SAMPLE]), "val")
    return clock.seconds() * max(1.0, len(val) / SAMPLE)


def middle(space: Space) -> dict[str, Any]:
    """The point in the middle of every range, and at the first of every choice."""
    return {name: midpoint(rule) for name, rule in space.items()}


def midpoint(rule: BaseDistribution) -> Any:
    if isinstance(rule, CategoricalDistribution):
        return rule.choices[0]
    low, high = rule.low, rule.high  # type: ignore[attr-defined]
    found = (low * high) ** 0.5 if rule.log else (low + high) / 2  # type: ignore[attr-defined]
    return round(found) if isinstance(low, int) else found
