"""From Optuna's trial and the work on it to what the rest of the library sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from optuna.trial import FrozenTrial, TrialState

from autoaug.record import Outcome, State, TrialKind, ordinals
from autoaug.store._optuna import id_of_trial
from autoaug.store._queued import FINAL_RUN, final_seed

ORIGIN = ("git_commit", "data", "device", "standard", "versions")
"""User attributes that say where a trial comes from."""

SIGNED_BY = {"worker", "driver"}
"""User attributes that say who works on a trial."""

SUMMARY = "summary"
"""The user attribute with what the epochs of a trial come to: the "best" value and the "median" of each metric."""

BY_CLASS = "by_class"
"""The user attribute of a final run with `Record.by_class`. It is read of few trials: it may be large."""

COMPARED = {"root", "attempt", "reason", "warning", "point", "seed", FINAL_RUN, "val_images", "unapplied", SUMMARY}
"""User attributes from which an outcome is made."""

READ = COMPARED | SIGNED_BY | {*ORIGIN, "total_epochs"}
"""User attributes that are read of every trial of a study; others may be large."""


@dataclass(frozen=True)
class Work:
    """Sum up what was done on one trial so far."""

    epochs: int = 0
    gpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    images: int = 0
    device: str = "cpu"
    metrics: Mapping[str, float] = field(default_factory=dict)


def add_up(trainings: Sequence[Mapping[str, Any]]) -> Work:
    """Return the work on a trial, from the sums and the last epoch of each of its trainings, the one that counts first.

    Metrics of the others are called after their training.
    """
    first = trainings[0]
    metrics = [(f"{each['training']}_" if each["training"] else "", each["metrics"]) for each in trainings]
    return Work(
        epochs=first["epoch"],
        device=first["device"],
        metrics={prefix + name: value for prefix, values in metrics for name, value in values.items()},
        **{name: sum(each[name] for each in trainings) for name in ("gpu_seconds", "wall_seconds", "images")},
    )


@dataclass(frozen=True)
class TrialGroup:
    """Tell what the trials of one Optuna study are to ours."""

    kind: TrialKind
    strategy: str = ""
    """Of a search and its re-runs; the final runs name theirs one by one."""
    proxy: bool = False

    @property
    def substudy(self) -> str:
        """Return the name of the Optuna study, below that of the study."""
        return self.kind.substudy(self.strategy)


def stages(definition: Mapping[str, Any]) -> list[TrialGroup]:
    """Return the Optuna studies of a study: searches, re-runs of those that have a proxy, final runs."""
    proxies = {strategy for strategy, changes in definition.get("proxies", {}).items() if changes}
    return [
        *(TrialGroup(TrialKind.SEARCH, name, proxy=name in proxies) for name in definition["spaces"]),
        *(TrialGroup(TrialKind.RERUN, name) for name in definition["spaces"] if name in proxies),
        TrialGroup(TrialKind.FINAL),
    ]


def outcome(name: str, stage: TrialGroup, trial: FrozenTrial, root: int, work: Work) -> Outcome:
    """Return a trial as the rest of the library sees it."""
    final, summary = stage.kind is TrialKind.FINAL, trial.user_attrs.get(SUMMARY, {})
    return Outcome(
        study=name,
        strategy=trial.params["strategy"] if final else stage.strategy,
        trial=trial.number,
        root=root,
        attempt=trial.user_attrs.get("attempt", 1),
        state=cast(State, trial.state.name),
        reason=trial.user_attrs.get("reason", ""),
        warning=trial.user_attrs.get("warning", ""),
        point=trial.user_attrs["point"] if final else trial.params,
        seed=final_seed(trial) if final else trial.user_attrs.get("seed", 0),
        value=trial.values[0] if trial.state == TrialState.COMPLETE else None,
        metrics=work.metrics,
        best=summary.get("best", {}),
        median=summary.get("median", {}),
        gpu_seconds=float(work.gpu_seconds),
        wall_seconds=float(work.wall_seconds),
        device=work.device,
        epochs=work.epochs,
        images=int(work.images),
        val_images=trial.user_attrs.get("val_images", 0),
        kind=stage.kind,
        proxy=stage.proxy,
        unapplied=texts(trial.user_attrs.get("unapplied")),
    )


class Attempted(NamedTuple):
    """Hold one attempt at one trial: what is compared of it, and what only Optuna's trial has."""

    outcome: Outcome
    trial: FrozenTrial
    """Point, distributions and values, and user attributes that say where it comes from; nothing else of it is read."""


def every_attempt(
    name: str, definition: Mapping[str, Any], work: Mapping[int, Work], trials: Callable[[str, str], list[FrozenTrial]]
) -> list[Attempted]:
    """Return the attempts at the trials of a study, searches first, then their re-runs, then final runs.

    Args:
        work: what was done on each trial, by its id.
        trials: returns the trials of an Optuna study, by the name of ours and its own below that.
    """
    nothing = Work()
    every = []
    for stage in stages(definition):
        found = trials(name, stage.substudy)
        for trial, root in zip(found, ordinals(trial.user_attrs for trial in found), strict=True):
            every.append(Attempted(outcome(name, stage, trial, root, work.get(id_of_trial(trial), nothing)), trial))
    return every


def texts(value: Any) -> tuple[str, ...]:
    """Return a stored list of texts; empty where there is none."""
    return tuple(map(str, value)) if isinstance(value, list) else ()
