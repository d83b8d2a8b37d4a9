"""Studies that were never run: outcomes and records by hand."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autoaug.compare import ClassCounts, Comparison, FinalRun, Importance, class_effects, leaderboard
from autoaug.compare._stored import with_other_data
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
        apart = with_other_data({"tasks": {}} | definition)
        rows = leaderboard(outcomes, definition["baseline"], metric=definition["metric"], other_data=apart)
    return Comparison(studies=studies, definition=definition, rows=rows, outcomes=outcomes, **more)


def large(names: Sequence[str], trials: int, epochs: int, seeds: int = 3, classes: int = 10) -> Comparison:
    """What is known of a study of many trials: as of a stored one, the epochs of final runs and of its best trials.

    The first strategy is the baseline; the second has a learner, and the later a strategy, the better it is.
    """
    rng = random.Random(0)
    outcomes, records = [], []
    counts: dict[str, dict[FinalRun, ClassCounts]] = {}
    for k, name in enumerate(names):
        hyper = {"hyper_seconds": 0.7, "hypergradient_norm": 0.123456} if k == 1 else {}
        values = sorted((0.5 + 0.01 * k + rng.gauss(0, 0.03) for _ in range(trials)), reverse=True)
        for trial, value in enumerate(values):
            state = rng.choice(["COMPLETE"] * 8 + ["PRUNED", "FAIL"])
            seconds = epochs * rng.uniform(1, 3)
            told = {"value": value if state == "COMPLETE" else None, "state": state, "gpu_seconds": seconds}
            outcomes.append(searched(name, trial, **told, epochs=epochs))
            for number in range(1, epochs + 1) if trial < 25 else (epochs,):
                took = seconds if trial >= 25 else seconds / epochs
                records.append(epoch(trial, number, value * number / epochs, took, strategy=name, study="s"))
        scores = {seed: 0.5 + 0.01 * k + rng.gauss(0, 0.01) for seed in range(seeds)}
        outcomes += finals(name, scores, epochs=epochs)
        images = (50,) * classes
        for seed, score in scores.items():
            right = tuple(min(50, max(0, round(50 * (score + rng.gauss(0, 0.05))))) for _ in images)
            labels = tuple(f"class {number}" for number in range(classes))
            counts.setdefault(name, {})[FinalRun("s", seed)] = ClassCounts(labels, images, right)
            for number in range(1, epochs + 1):
                of_epoch = epoch(seed, number, score * number / epochs, 1.5, strategy=name, study="s")
                measured = {**of_epoch.metrics, **hyper, "train_loss": 1 - score * number / epochs}
                records.append(replace(of_epoch, kind=TrialKind.FINAL, metrics=measured))
    dimensions = [f"policy.dimension_{k}" for k in range(6)]
    shares = {dimension: 2 ** -(k + 1.0) for k, dimension in enumerate(dimensions)}
    importance = Importance(dict.fromkeys(names, shares), shares, dict.fromkeys(names, 0.1), 0.1)
    definition = {"baseline": names[0], "seeds": seeds, "spaces": {name: {} for name in names}}
    rows = leaderboard(outcomes, names[0])
    effects = class_effects(rows, names[0], counts)
    return comparison(
        outcomes, definition=definition, rows=rows, records=records, importance=importance, classes=effects
    )
