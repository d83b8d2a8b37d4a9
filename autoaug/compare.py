"""Which strategy is better, by how much, and how sure that is."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from scipy import stats

from autoaug.record import Outcome, Record, last_attempts

CONFIDENCE = 0.95

ROUNDING = 1e-9
"""Differences that are closer than this are the same: subtracting accuracies leaves errors of 1e-16."""


@dataclass(frozen=True)
class Interval:
    """A mean over final runs with its 95 % interval (Student's t); None where one run gives no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A strategy minus the baseline, paired by the seed that both shared: mean, 95 % interval, p of a paired t-test."""

    difference: float
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class Row:
    """One strategy of a leaderboard."""

    name: str
    test: Interval | None
    """Test accuracy over the final runs; None before the first has ended."""
    test_nll: Interval | None
    val_best: float | None
    """The study's metric of the best complete trial."""
    trials: int
    """Trials begun. One that was interrupted and resumed counts once."""
    pruned: int
    failed: int
    gpu_seconds: float
    """Cost of the search, lost and failed work included; CPU-seconds where `device` is "cpu"."""
    device: str
    epochs: int
    """Of the best complete trial: a score is worth what its epochs are."""
    vs_baseline: Difference | None


def leaderboard(outcomes: Sequence[Outcome], baseline: str, maximize: bool = True) -> list[Row]:
    """One row per strategy, best mean test accuracy first; those without a final run come last."""
    strategies = list(dict.fromkeys(outcome.strategy for outcome in outcomes))
    reference = final_scores(outcomes, baseline)
    rows = [
        row(name, [o for o in outcomes if o.strategy == name], reference, baseline, maximize) for name in strategies
    ]
    return sorted(rows, key=lambda row: -row.test.mean if row.test else math.inf)


def row(name: str, outcomes: Sequence[Outcome], reference: Mapping[int, float], baseline: str, maximize: bool) -> Row:
    search = [outcome for outcome in outcomes if not outcome.final]
    ends = last_attempts(search)
    complete = [outcome for outcome in ends if outcome.state == "COMPLETE" and outcome.value is not None]
    best = (max if maximize else min)(complete, key=lambda outcome: outcome.value or 0.0, default=None)
    scores = final_scores(outcomes, name)
    return Row(
        name=name,
        test=interval(scores.values()),
        test_nll=interval(final_scores(outcomes, name, "test_nll").values()),
        val_best=best.value if best else None,
        trials=len(ends),
        pruned=sum(outcome.state == "PRUNED" for outcome in ends),
        failed=sum(outcome.state == "FAIL" for outcome in ends),
        gpu_seconds=sum(outcome.gpu_seconds for outcome in search),
        device=next((outcome.device for outcome in search if outcome.epochs), "cpu"),
        epochs=best.epochs if best else 0,
        vs_baseline=None if name == baseline else paired(scores, reference),
    )


def final_scores(outcomes: Iterable[Outcome], strategy: str, metric: str = "test_accuracy") -> dict[int, float]:
    """A test metric of a strategy's complete final runs, by seed."""
    return {
        outcome.seed: outcome.metrics[metric]
        for outcome in outcomes
        if outcome.strategy == strategy and outcome.final and outcome.state == "COMPLETE"
    }


def interval(values: Iterable[float]) -> Interval | None:
    """Mean and 95 % interval of a sample, by Student's t."""
    sample = np.asarray(list(values), dtype=float)
    if not len(sample):
        return None
    mean = float(sample.mean())
    if len(sample) == 1:
        return Interval(mean, None, None, 1)
    half = half_width(sample)
    return Interval(mean, mean - half, mean + half, len(sample))


def half_width(sample: np.ndarray) -> float:
    error = float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1)) * error


def paired(scores: Mapping[int, float], reference: Mapping[int, float]) -> Difference | None:
    """A strategy minus the baseline over the seeds that both have; None where they share none."""
    seeds = sorted(set(scores) & set(reference))
    if not seeds:
        return None
    sample = np.array([scores[seed] - reference[seed] for seed in seeds])
    mean = float(sample.mean())
    if len(sample) == 1:
        return Difference(mean, None, None, None)
    half = half_width(sample)
    return Difference(mean, mean - half, mean + half, p_value(sample))


def p_value(sample: np.ndarray) -> float:
    """Two-sided p of a mean of zero, by a t-test. Differences that are all the same leave no doubt."""
    if np.ptp(sample) < ROUNDING:
        return 1.0 if abs(sample[0]) < ROUNDING else 0.0
    return float(stats.ttest_1samp(sample, 0.0).pvalue)


@dataclass(frozen=True)
class Step:
    """A point of an anytime curve: what was known after so much had been spent."""

    strategy: str
    gpu_seconds: float
    best: float


def anytime(records: Sequence[Record], metric: str = "val_accuracy", maximize: bool = True) -> list[Step]:
    """Best value at the end of a training so far, against all that the search had spent by then, per strategy.

    Records come in the order in which they are stored, attempts of a trial apart. A training that was cut short counts
    with the value that it had reached.
    """
    better = max if maximize else min
    steps: list[Step] = []
    for name in dict.fromkeys(record.strategy for record in records):
        spent, best = 0.0, None
        mine = [record for record in records if record.strategy == name and not record.final]
        ends = {(record.trial, record.attempt): record.epoch for record in mine}
        for record in mine:
            spent += record.gpu_seconds
            if record.epoch == ends[record.trial, record.attempt]:
                value = record.metrics[metric]
                best = value if best is None else better(best, value)
                steps.append(Step(name, spent, best))
    return steps


NESTED: dict[str, type] = {"test": Interval, "test_nll": Interval, "vs_baseline": Difference}
"""The fields of a row that have fields of their own."""


def to_flat(row: Row) -> dict[str, Any]:
    """A row as one line of a table: the same columns for every row, with None where there is nothing."""
    flat = {"strategy": row.name}
    for name, value in asdict(row).items():
        if name in NESTED:
            flat |= {f"{name}_{each.name}": (value or {}).get(each.name) for each in fields(NESTED[name])}
        elif name != "name":
            flat[name] = value
    return flat


def to_json(study: str, metric: str, rows: Sequence[Row]) -> dict[str, Any]:
    """A leaderboard as plain data, for machines."""
    return {"study": study, "metric": metric, "strategies": [asdict(row) for row in rows]}
