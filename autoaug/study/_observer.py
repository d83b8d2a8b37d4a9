"""What is seen of the first steps of a loop of the user's own, and when enough was seen."""

import math
import time
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any

from torch.optim import Optimizer

from autoaug.devices import Clock
from autoaug.study._digest import digest
from autoaug.study._setup import Setup
from autoaug.train import Learner, Task
from autoaug.trial import Trial

STEPS = 2
"""Of one optimiser, that a rehearsal makes at least: after the first a learner moves the policy, and the second meets
what it made."""

LONGEST = 60.0
"""Seconds by the clock, after which a rehearsal ends at the next call of the trial, however little it saw."""

GUESSED_EPOCHS, GUESSED_STEPS = 30, 100
"""Of a training and of an epoch, where a learner asks for them and nobody knows."""


class Enough(BaseException):
    """The rehearsal has seen enough. No `except Exception` of the loop may swallow it."""


@dataclass(frozen=True)
class Rehearsal:
    """Hold what was seen of the first steps of a loop."""

    device: str
    """The type of the device that the seconds are of."""
    read: frozenset[str]
    """The names of the loop's own dimensions that it asked for."""
    used: frozenset[str]
    """What of the trial it used: see `Trial.used`."""
    ended: bool
    """The first epoch came to its end."""
    augmented_epochs: int | None
    """With the policy on; None where the loop does not say how many there are."""
    total_epochs: int | None
    steps_per_epoch: int | None
    """As counted where the epoch came to its end, or else as the loop says; None where it does not."""
    begin_seconds: float
    """Until the first step was made, beyond what another step takes."""
    step_seconds: float | None
    """Of one step of the first epoch, with what goes before it; None where there was none, nor the end of the epoch."""
    rest_seconds: float | None
    """From the last step of an epoch to its end, as validation takes them; None where it did not come to its end."""
    evidence: str
    """A digest of what the steps came to: weights, settings of the optimisers, policy, and how many epochs there are;
    the same however long the rehearsal went on."""


class Observer:
    """Look on while a loop trains, and end it once enough was seen.

    Args:
        trial: that the loop is given; it tells of its steps and its calls from now on.
        patience: seconds by the clock from the first step on, for which it may go on towards the end of its epoch.
    """

    def __init__(self, setup: Setup, trial: Trial, patience: float) -> None:
        self.setup, self.trial, self.began, self.patience = setup, trial, time.monotonic(), patience
        self.counts: Counter[int] = Counter()
        self.first_step = math.inf
        self.clock = Clock(trial.device)
        self.seconds: list[float] = []
        self.seen: list[str] = []
        self.over = False
        trial.steps.listeners.insert(0, self.step)  # a step that was made counts, also where the time is over
        trial.pulse = self.pulse

    def step(self, optimiser: Optimizer) -> None:
        """Look at a step of an optimiser that was made.

        Raises:
            Enough: it was the last that is wanted.
        """
        self.first_step = min(self.first_step, time.monotonic())
        self.seconds.append(self.clock.seconds())
        self.counts[id(optimiser)] += 1
        if self.counts[id(optimiser)] <= STEPS:
            self.seen.append(digest(made_of(optimiser)))
            self.seen.append(digest(self.setup.policy.state_dict().values()))
        if self.counts[id(optimiser)] >= STEPS and time.monotonic() - self.first_step >= self.patience:
            self.end()
        self.clock = Clock(self.trial.device)

    def pulse(self) -> None:
        """Look at the time, wherever the loop calls its trial.

        Raises:
            Enough: it is over.
        """
        if time.monotonic() - self.began > max(LONGEST, self.patience):
            self.end()

    @property
    def steps(self) -> int:
        """Return the steps of the optimiser that has made most."""
        return max(self.counts.values(), default=0)

    def end(self) -> None:
        """Leave the loop where it is."""
        self.over = True
        raise Enough

    def summary(self, ended: bool) -> Rehearsal:
        """Return what was seen.

        Args:
            ended: the first epoch came to its end.
        """
        trial, seconds = self.trial, self.seconds
        step = median(seconds[1:] or seconds) if seconds else (0.0 if ended else None)
        counted = max(1, len(seconds)) if ended else trial.steps_per_epoch
        epochs, steps = trial.augmented_epochs, trial.steps_per_epoch  # not as counted: patience decides over that
        said = [epochs, trial.total_epochs, steps, updates_until(self.setup.learner, epochs, steps)]
        return Rehearsal(
            device=trial.device.type,
            read=frozenset(trial.read),
            used=frozenset(trial.used),
            ended=ended,
            augmented_epochs=trial.augmented_epochs,
            total_epochs=trial.total_epochs,
            steps_per_epoch=counted,
            begin_seconds=max(0.0, seconds[0] - (step or 0.0)) if seconds else 0.0,
            step_seconds=step,
            rest_seconds=self.clock.seconds() if ended else None,
            evidence=digest([said, *self.seen]),
        )


def made_of(optimiser: Optimizer) -> list[Any]:
    """Return the weights that an optimiser moves, and its settings as they are now."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    settings = [
        sorted((name, repr(value)) for name, value in group.items() if name != "params")
        for group in optimiser.param_groups
    ]
    return [*weights, type(optimiser).__name__, settings]


def updates_of(learner: Learner, epochs: int, steps: int) -> int:
    """Return how often a learner moves the policy in so many epochs of so many steps."""
    task = Task(data=None, batch_size=2, epochs=epochs, schedule="constant", warmup=0)
    return learner.expected_updates(task, 2 * steps)


def updates_until(learner: Learner, epochs: int | None, steps: int | None) -> list[int]:
    """Return how often a learner moves the policy in a training of some numbers of epochs up to that of a loop."""
    most = epochs or GUESSED_EPOCHS
    lengths = {*range(1, most + 1, max(1, most // GUESSED_EPOCHS)), most}
    return [updates_of(learner, length, steps or GUESSED_STEPS) for length in sorted(lengths)]
