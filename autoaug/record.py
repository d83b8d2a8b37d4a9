"""One measured epoch, and how a trial ended. Everything that is compared or drawn is made of these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["augment", "refine"]
State = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"]

LEADERBOARD = "leaderboard"
"""The final runs of a study are the trials of the Optuna study `<study>/leaderboard`."""

FULL = "full"
"""The re-runs of a strategy that searches on a proxy are the trials of the Optuna study `<study>/<strategy>/full`."""


def place(strategy: str, final: bool = False, rerun: bool = False) -> str:
    """Under which name, below that of the study, the trials of a search, its re-runs or the final runs are stored."""
    if final:
        return LEADERBOARD
    return f"{strategy}/{FULL}" if rerun else strategy


@dataclass(frozen=True, kw_only=True)
class Record:
    """One epoch of one training.

    `train()` fills what it measures; who ran it (study, strategy, trial, attempt) is added by the worker.
    """

    study: str = ""
    strategy: str = ""
    trial: int = -1
    """Optuna's trial number within the search; of a re-run or a final run, within those."""
    attempt: int = 1
    """1, or more where earlier attempts at the same trial died."""
    seed: int = 0
    training: str = ""
    """Which training of the trial: its own, or by the name of a deploy one from scratch with what a learner found."""
    epoch: int
    """Counts from 1 in each training, refinement epochs included."""
    phase: Phase
    """"augment": the policy and the mix are on; "refine": only the standard augmentation is."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """For example train_loss, val_accuracy and val_nll; accuracies in [0, 1], losses in nats."""
    policy: Mapping[str, Any] | None = None
    """What the policy looked like at the end of the epoch (a policy tree), where it moves."""
    gpu_seconds: float = 0.0
    """Cost of this epoch. On a GPU wall seconds times the share of the GPU; without one CPU-seconds."""
    wall_seconds: float = 0.0
    """How long this epoch took by the clock on the wall."""
    device: str = "cpu"
    """The type of the device, "cuda" or "cpu": it says which seconds `gpu_seconds` counts."""
    images: int = 0
    """Training images that passed through the network in this epoch."""
    final: bool = False
    """An epoch of a final run, not of the search."""
    rerun: bool = False
    """An epoch of a re-run: one of the best points of a search on a proxy, trained on the study's own task."""

    @property
    def place(self) -> str:
        """Where the trial of this epoch is stored, below the name of its study."""
        return place(self.strategy, self.final, self.rerun)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One attempt at one trial, as the storage has it now. A trial that was requeued has several."""

    study: str
    strategy: str
    trial: int
    """Optuna's number of this attempt."""
    root: int
    """Which trial of its search this is, counted from 0 without the repeated attempts, which share it."""
    attempt: int = 1
    state: State
    reason: str = ""
    """Why it failed, was pruned or was given to another worker."""
    warning: str = ""
    """What went wrong and did not end it, such as a checkpoint that could not be read."""
    point: Mapping[str, Any] = field(default_factory=dict)
    """What was tried: values by dimension, such as `policy.m`."""
    seed: int = 0
    value: float | None = None
    """The study's metric on the validation split; None before the end."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The metrics of the last epoch; those of a final run hold the test split's. Those of a training from scratch with
    what a learner found are called after it, such as `last_policy_test_accuracy`."""
    gpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    device: str = "cpu"
    epochs: int = 0
    """Of its own training, without those from scratch that follow; its cost and its images are of all."""
    images: int = 0
    val_images: int = 0
    """On how many images its validation scores were measured; 0 where an earlier version did not say."""
    final: bool = False
    """A final run: fresh seed, test split read once. `seed` then counts 0, 1, ... and is shared by the strategies."""
    rerun: bool = False
    """A re-run on the study's own task of a point that the search found on its proxy; part of the search's cost."""
    proxy: bool = False
    """Trained on the proxy of its strategy: its value may rank points of the same search, and nothing else."""
    unapplied: tuple[str, ...] = ()
    """Dimensions of its point of which nothing was seen in what was trained."""

    @property
    def place(self) -> str:
        """Where the trial is stored, below the name of its study."""
        return place(self.strategy, self.final, self.rerun)

    @property
    def over(self) -> bool:
        return self.state in ("COMPLETE", "PRUNED", "FAIL")


def ordinals(attributes: Iterable[Mapping[str, Any]]) -> list[int]:
    """Which trial of its search each attempt belongs to, from the user attributes of all attempts by number.

    Optuna numbers attempts. Whatever must not change when a trial is interrupted and repeated, such as seeds, counts
    trials instead.
    """
    found: list[int] = []
    first = 0
    for each in attributes:
        found.append(each.get("root", first))
        first += each.get("attempt", 1) == 1
    return found


def last_attempts(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """How each trial stands now: its latest attempt."""
    latest: dict[tuple[str, str, str, int], Outcome] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.attempt):
        latest[outcome.study, outcome.strategy, outcome.place, outcome.root] = outcome
    return list(latest.values())


def complete_by_value(outcomes: Iterable[Outcome], maximize: bool) -> list[Outcome]:
    """The complete trials of a search, its re-runs among them, the best value first."""
    complete = [each for each in outcomes if each.state == "COMPLETE" and not each.final and each.value is not None]
    return sorted(complete, key=lambda outcome: outcome.value or 0.0, reverse=maximize)


def best_complete(outcomes: Iterable[Outcome], maximize: bool) -> Outcome | None:
    """The complete trial with the best value among those trained on the study's own task, in full.

    Of a strategy that searches on a proxy these are its re-runs: a truncated value never stands beside a full one.
    """
    return next((each for each in complete_by_value(outcomes, maximize) if not each.proxy), None)
