"""One trial as it is handed to a worker, and what a worker reports of it. Plain data: it crosses processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autoaug.artifacts import Place
from autoaug.record import Record, State, TrialKind
from autoaug.seeding import derive_seed


@dataclass(frozen=True)
class Job:
    """One attempt at one trial."""

    strategy: str
    trial_id: int
    number: int
    point: Mapping[str, Any]
    attempt: int
    root: int
    """Which trial of its search this is: all attempts at it share it, and so their seed and their folder."""
    kind: TrialKind = TrialKind.SEARCH
    final_seed: int | None = None
    """Which of the final runs of its strategy this is; None of the other kinds."""
    retest: bool = False
    """A final run that was asked for though the test split was read before, when another point was the best."""
    driver: str = ""
    """The process that handed it out, as `process_name` names it. Of the local executor it is the worker too."""

    def __post_init__(self) -> None:
        if (self.kind is TrialKind.FINAL) != (self.final_seed is not None):
            raise ValueError(f"a final run has a final_seed, and nothing else has: got {self.kind}, {self.final_seed}")

    @property
    def substudy(self) -> str:
        """Return the name of the Optuna study that holds the trial, below that of the study."""
        return self.kind.substudy(self.strategy)

    @property
    def name(self) -> str:
        """Return which of its strategy the trial is, as `TrialKind.trial_name` calls it."""
        return self.kind.trial_name(self.number, self.final_seed)

    def seed(self, study_seed: int) -> int:
        """Return the seed of the training in a study with a seed, as `TrialKind.seed_key` has it."""
        return derive_seed(study_seed, *self.kind.seed_key(self.root, self.final_seed))

    def folder(self, artifacts: Place, study: str) -> Place:
        """Return where the checkpoints of all attempts at this trial lie.

        Raises:
            ValueError: a name would lead elsewhere. The number of a trial comes from the storage, others write there.
        """
        return artifacts.below(study, *self.substudy.split("/"), str(self.root))

    def __str__(self) -> str:
        return f"{self.strategy} {self.name}" + (f", attempt {self.attempt}" if self.attempt > 1 else "")


@dataclass(frozen=True)
class Event:
    """An epoch that was measured, or a trial that began or ended: what a listener hears of."""

    job: Job
    record: Record | None = None
    """The epoch that was measured."""
    state: State | None = None
    """RUNNING where the trial began, WAITING where it was queued again, otherwise how it ended."""
    reason: str = ""


Listen = Callable[[Event], None]
