"""One measured epoch, and how a trial ended. Everything that is compared or drawn is made of these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Phase = Literal["augment", "refine"]
State = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"]

UNITS = ("gpu_seconds", "wall_seconds")
"""In which work is paid for: fields of an epoch and of an outcome, and limits of a budget."""

LEADERBOARD = "leaderboard"
"""The final runs of a study are the trials of the Optuna study `<study>/leaderboard`."""

FULL = "full"
"""The re-runs of a strategy that searches on a proxy are the trials of the Optuna study `<study>/<strategy>/full`."""


class TrialKind(StrEnum):
    """What a trial is for: where it is stored, which seed it has, and whether the search pays for it follow from it."""

    SEARCH = "search"
    """Scored on the validation split; on the proxy of its strategy where that has one."""
    RERUN = "rerun"
    """One of the best points of a search on a proxy, trained on the study's own task; one of them is the result."""
    FINAL = "final"
    """The best point of a strategy with a fresh seed; it reads the test split once."""

    def substudy(self, strategy: str) -> str:
        """Return the name of the Optuna study that holds the trials, below that of the study."""
        return {self.SEARCH: strategy, self.RERUN: f"{strategy}/{FULL}", self.FINAL: LEADERBOARD}[self]

    def seed_key(self, root: int, final_seed: int | None = None) -> tuple[str | int, ...]:
        """Return what the seed of a training derives from, beside the seed of the study.

        It names no strategy: strategies share seeds trial by trial and final run by final run, so comparisons are
        paired. Re-runs, of which the best is chosen, share one.

        Args:
            root: which trial of its search it is, counted from 0.
            final_seed: which final run of its strategy it is, counted from 0.
        """
        if self is TrialKind.RERUN:
            return (FULL,)
        return (LEADERBOARD, final_seed or 0) if self is TrialKind.FINAL else ("search", root)

    @property
    def charged(self) -> bool:
        """Whether its cost counts against the budget of the search."""
        return self is not TrialKind.FINAL

    def trial_name(self, number: int, final_seed: int | None = None) -> str:
        """Return how a trial is called wherever one is named: "trial 3", "re-run 0", "final run 2".

        Args:
            number: Optuna's number of the attempt, which its dashboard shows.
            final_seed: of a final run, which of its strategy it is.
        """
        if self is TrialKind.FINAL:
            return f"final run {final_seed}"
        return f"re-run {number}" if self is TrialKind.RERUN else f"trial {number}"


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
    """Which training of the trial: empty for the first, or the name of a deploy, from scratch with what was learned."""
    epoch: int
    """Counts from 1 in each training, refinement epochs included."""
    phase: Phase
    """"augment": the policy and the mix are on; "refine": only the standard augmentation is."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """For example train_loss, val_accuracy and val_nll; accuracies in [0, 1], losses in nats."""
    policy: Mapping[str, Any] | None = None
    """What the policy looked like at the end of the epoch (a policy tree), where it moves."""
    gpu_seconds: float = 0.0
    """Cost of this epoch. On a GPU its seconds times the share of the GPU, and the weight of its kind where a budget
    has one (`Budget.gpu_weights`); without one CPU-seconds."""
    wall_seconds: float = 0.0
    """How long this epoch took by the clock on the wall."""
    device: str = "cpu"
    """The type of the device, "cuda" or "cpu": it says which seconds `gpu_seconds` counts."""
    images: int = 0
    """Training images that passed through the network in this epoch."""
    kind: TrialKind = TrialKind.SEARCH
    """What the trial of this epoch is for."""
    by_class: Mapping[str, Any] | None = None
    """Of the last epoch of a final run: the "names" of the classes, how many test "images" each has, and how many of
    them are predicted "right". It is kept with the trial, and is None in records that were stored."""

    @property
    def substudy(self) -> str:
        """Return the name of the Optuna study that holds the trial, below that of the study."""
        return self.kind.substudy(self.strategy)


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
    """Of the training; of a final run which one of its strategy it is: 0, 1, ..., shared by the strategies."""
    value: float | None = None
    """The study's metric on the validation split; None before the end."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The metrics of the last epoch; those of a final run hold the test split's. Those of a training from scratch with
    what was learned are called after it, such as `last_policy_test_accuracy`."""
    best: Mapping[str, float] = field(default_factory=dict)
    """The best value over its epochs of each metric on the validation split, each by its own direction: the images that
    chose it have measured it too. Empty, as `median` is, of a trial that did not end, or of an earlier version."""
    median: Mapping[str, float] = field(default_factory=dict)
    """The median over its last ten epochs of each metric on the validation split. The test split is read once, in the
    last epoch: of it there is no other value than that of `metrics`."""
    gpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    device: str = "cpu"
    epochs: int = 0
    """Of the first training, without those from scratch that follow; cost and images are of all."""
    images: int = 0
    val_images: int = 0
    """On how many images its validation scores were measured; 0 where an earlier version did not say."""
    kind: TrialKind = TrialKind.SEARCH
    proxy: bool = False
    """Trained on the proxy of its strategy: its value may rank points of the same search, and nothing else."""
    unapplied: tuple[str, ...] = ()
    """Dimensions of its point of which nothing was seen in what was trained."""

    @property
    def substudy(self) -> str:
        """Return the name of the Optuna study that holds the trial, below that of the study."""
        return self.kind.substudy(self.strategy)

    @property
    def name(self) -> str:
        """Return which of its strategy the trial is, as `TrialKind.trial_name` calls it."""
        return self.kind.trial_name(self.trial, self.seed)

    @property
    def over(self) -> bool:
        """Whether the attempt has ended."""
        return self.state in ("COMPLETE", "PRUNED", "FAIL")


def record_of(plain: Mapping[str, Any]) -> Record:
    """Return the record that was made plain data, as `dataclasses.asdict` and JSON do.

    Raises:
        ValueError: its kind is none.
        TypeError: a field is missing or unknown.
    """
    return Record(**{**plain, "kind": TrialKind(plain.get("kind", TrialKind.SEARCH))})


def ordinals(attributes: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return which trial of its search each attempt belongs to, from the user attributes of all attempts by number.

    Optuna numbers attempts. Whatever must not change when a trial is interrupted and repeated, such as seeds, counts
    trials instead.
    """
    roots: list[int] = []
    first = 0
    for each in attributes:
        roots.append(each.get("root", first))
        first += each.get("attempt", 1) == 1
    return roots


def last_attempts(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return how each trial stands now: its latest attempt."""
    latest: dict[tuple[str, str, str, int], Outcome] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.attempt):
        latest[outcome.study, outcome.strategy, outcome.substudy, outcome.root] = outcome
    return list(latest.values())


def complete_by_value(outcomes: Iterable[Outcome], maximize: bool) -> list[Outcome]:
    """Return the complete trials of a search, its re-runs among them, the best value first."""
    searched = (each for each in outcomes if each.kind is not TrialKind.FINAL)
    complete = [each for each in searched if each.state == "COMPLETE" and each.value is not None]
    return sorted(complete, key=lambda outcome: outcome.value or 0.0, reverse=maximize)


def best_complete(outcomes: Iterable[Outcome], maximize: bool) -> Outcome | None:
    """Return the complete trial with the best value among those trained on the study's own task, in full.

    Of a strategy that searches on a proxy these are its re-runs: a truncated value never stands beside a full one.
    """
    return next((each for each in complete_by_value(outcomes, maximize) if not each.proxy), None)
