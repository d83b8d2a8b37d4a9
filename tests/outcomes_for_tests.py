"""Studies that were never run: outcomes and records by hand."""

from collections.abc import Sequence
from typing import Any

from autoaug.compare import Comparison, leaderboard
from autoaug.record import Outcome, Record, TrialKind


def searched(strategy: str, trial: int, value: float | None, **more: Any) -> Outcome:
    """A trial of a search that cost one second."""
    state = "FAIL" if value is None else "COMPLETE"
    given: dict[str, Any] = {"study": "s", "root": trial, "state": state, "gpu_seconds": 1.0, "epochs": 3}
    return Outcome(strategy=strategy, trial=trial, value=value, **given | more)


def finals(strategy: str, scores: dict[int, float], **more: Any) -> list[Outcome]:
    """Final runs with a test accuracy by seed."""
    return [
        Outcome(
            strategy=strategy,
            trial=seed,
            root=seed,
            seed=seed,
            kind=TrialKind.FINAL,
            gpu_seconds=100.0,
            **{"study": "s", "state": "COMPLETE", "metrics": {"test_accuracy": score, "test_nll": 1 - score}} | more,
        )
        for seed, score in scores.items()
    ]


def epoch(trial: int, number: int, value: float, seconds: float, **more: Any) -> Record:
    """An epoch of a trial of the strategy ra."""
    metrics = {"val_accuracy": value, "val_nll": 1 - value}
    given: dict[str, Any] = {"strategy": "ra", "phase": "augment", "metrics": metrics, "gpu_seconds": seconds}
    return Record(trial=trial, epoch=number, **given | more)


DEFINITION: dict[str, Any] = {
    "metric": "val_accuracy",
    "baseline": "none",
    "seed": 0,
    "seeds": 3,
    "task": {"model": "convnet", "data": "digits", "epochs": 2},
    "spaces": {"none": {}, "ra": {}},
}


def comparison(outcomes: Sequence[Outcome] = (), **more: Any) -> Comparison:
    """What a study of these outcomes has shown."""
    studies = tuple(dict.fromkeys(outcome.study for outcome in outcomes)) or ("s",)
    definition = DEFINITION | more.pop("definition", {})
    rows = more.pop("rows", None)
    if rows is None:
        rows = leaderboard(outcomes, definition["baseline"], metric=definition["metric"])
    return Comparison(studies=studies, definition=definition, rows=rows, outcomes=outcomes, **more)
