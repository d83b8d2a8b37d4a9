"""What the parts of a training cost on this machine, measured within a given time.

Each part is tried on a few images first, and on twice as many for as long as its time lasts, and then scaled up: where
a step of the study takes half a minute, nobody waits for several of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Generator, Tensor

from autoaug.data import Data, Split, as_float
from autoaug.devices import Clock, host_seconds
from autoaug.photos import Photos
from autoaug.study._setup import Setup
from autoaug.train import Learner, TrainingRun, evaluate, global_generators_guarded, train_step

LEAST = 4
"""Images that a part is first tried on."""

TIMES = 3
"""How often a part is measured on as many images as it is to have."""

SAMPLE = 1000
"""Validation images that are measured, at most."""

Work = Callable[[int], object]
"""A part of a training on so many images."""

Meter = Callable[[Work, int, TrainingRun], float]
"""Returns what `work(size)` costs."""

SECONDS = {"step": 4.0, "validation": 1.0, "policy": 0.5, "update": 2.0}
"""For which each part is measured; the last try may take as long again, and one on a few images is always made."""


@dataclass(frozen=True)
class Cost:
    """Hold what a whole training costs, in seconds unless a `Stopwatch` was given another meter."""

    device: str
    """The type of the device that they are of."""
    whole: float
    """With its learner, where it has one."""
    alone: float
    """Without its learner."""


def seconds_of(work: Work, size: int, run: TrainingRun) -> float:
    """Return the seconds that `work(size)` takes on the device of a training."""
    clock = Clock(run.device)
    work(size)
    return clock.seconds()


class Stopwatch:
    """Measure trainings. What they share is measured once: the step and the validation of the same network."""

    def __init__(self, patience: float = 1.0, meter: Meter = seconds_of) -> None:
        """Take `patience` times the usual `SECONDS`, and measure what `meter` does: a `Cost` is in its unit."""
        self.patience, self.meter = patience, meter
        self.known: list[tuple[Any, tuple[float, float]]] = []

    def __call__(self, setup: Setup, data: Data) -> Cost:
        """Return what a training costs with and without its learner, from measurements of its parts.

        The network is not compiled for it, which would take longer than all that is measured.
        """
        task, learner = replace(setup.task, compile=False), setup.learner
        run = TrainingRun(task, setup.policy, setup.mix, None, Generator().manual_seed(0), data)
        with global_generators_guarded(run):
            plain, validation = self.network(run)
            policy = self.part("policy", run, lambda size: draw(run, size), task.batch_size)
            step = plain + policy
            updates, updated = learner.expected_updates(task, len(data.train)), step
            if updates:
                updated = self.part("update", run, lambda size: update(run, learner, size), task.batch_size)
        steps = run.steps_per_epoch
        alone = task.epochs * steps * step + task.refine_epochs * steps * plain + task.last_epoch * validation
        return Cost(run.device.type, alone + updates * max(0.0, updated - step), alone)

    def network(self, run: TrainingRun) -> tuple[float, float]:
        """Return the seconds of a step without policy and mix, and of the validation of an epoch."""
        task, scored = run.task, run.data.scored
        names = (
            "data",
            "root",
            "size",
            "standard",
            "model",
            "freeze_epochs",
            "batch_size",
            "micro_batch",
            "optimiser",
            "clip_norm",
            "ema",
            "precision",
            "device",
            "val_fraction",
        )
        key = [getattr(task, name) for name in names]
        measured = next((seconds for known, seconds in self.known if known == key), None)
        if measured is None:
            most = min(len(scored), SAMPLE)
            validation = self.part("validation", run, lambda size: validate(run, size), most) * len(scored) / most
            measured = (self.part("step", run, lambda size: train(run, size), task.batch_size), validation)
            self.known.append((key, measured))
        return measured

    def part(self, name: str, run: TrainingRun, work: Work, most: int) -> float:
        """Return what `work(most)` costs, by what it costs on so many images as there is time for.

        On a CPU this is the time of this process: where others work too, it takes longer and finds the same.
        """
        now = partial(host_seconds, run.device.type)
        size, end = min(LEAST, most), now() + self.patience * SECONDS[name]
        work(size)
        while True:
            began, tries = now(), [self.meter(work, size, run)]
            if now() + 2 * (now() - began) > end or size == most:
                break
            size = min(2 * size, most)
        while len(tries) < TIMES and now() < end:
            tries.append(self.meter(work, size, run))
        return median(tries) * most / size


def first(run: TrainingRun, size: int) -> tuple[Tensor | Photos, Tensor]:
    """Return so many training images and their classes; where there are fewer, some of them again."""
    return run.data.train.taken(torch.arange(size).remainder(len(run.data.train)))


def train(run: TrainingRun, size: int) -> None:
    """Make a step of refinement: without policy, mix and learner."""
    run.epoch, run.step = run.task.epochs + 1, 0
    run.to_training()
    train_step(run, *first(run, size))


def validate(run: TrainingRun, size: int) -> None:
    """Evaluate the network on so many validation images."""
    evaluate(run, Split(run.data.scored.images[:size], run.data.scored.targets[:size]), "val")


@torch.no_grad()
def draw(run: TrainingRun, size: int) -> None:
    """Draw from the policy and the mix as in a step."""
    run.epoch = 1
    run.policy.at(run.epoch)
    images, targets = first(run, size)
    run.augment(as_float(images), targets)


def update(run: TrainingRun, learner: Learner, size: int) -> None:
    """Make a training step that moves the policy, on a share of the images that both batches have."""
    sizes = len(run.data.train), len(run.data.val)
    run.learner = learner.rehearsal(run.task, *sizes, size / run.task.batch_size)
    run.epoch, run.step = run.task.epochs, 0
    run.to_training()
    run.policy.at(run.epoch)
    train_step(run, *first(run, size))
