"""What a search knew after so much had been spent, and how much that varies from search to search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoaug.compare._statistics import interval
from autoaug.metrics import DEFAULT_METRIC, METRICS, Metric, metric_of, range_of
from autoaug.record import Outcome, Record

MOST_POINTS = 100
"""Of a band; a figure must stay small."""


@dataclass(frozen=True)
class CurvePoint:
    """Hold a point of an anytime curve: the best validation value known after so much had been spent.

    >>> from autoaug.compare import CurvePoint
    >>> CurvePoint("randaugment", gpu_seconds=120.0, best=0.81).best
    0.81
    """

    strategy: str
    gpu_seconds: float
    best: float
    study: str = ""


def anytime(
    records: Sequence[Record],
    metric: str = DEFAULT_METRIC,
    maximize: bool | None = None,
    outcomes: Sequence[Outcome] | None = None,
) -> list[CurvePoint]:
    """Return the best validation value so far against all that the search had spent by then, per study and strategy.

    A training that was cut short, or that ran on a proxy of the task, costs and is never ranked: its value does not
    stand beside those of full trainings. Final runs are left out.

    Args:
        records: in the order in which they are stored, attempts of a trial apart.
        metric: of the records. Which direction is better stands in its row of `METRICS`; of a value that is of no row,
            `maximize` says it.
        maximize: whether more of the metric is better; without it the row of `METRICS` says so.
        outcomes: how the trainings ended. Without them a training counts as cut short where it has fewer augmented
            epochs than another one of its strategy, and every search as one on the task itself.

    Returns:
        One point per training, where it ends, from the first ranked one on; with GPU-seconds (CPU-seconds without a
        GPU) since the search began. Strategies come one after another.

    Raises:
        ValueError: the metric is in no row of `METRICS`, and `maximize` is not given.

    >>> from autoaug.compare import anytime
    >>> from autoaug.record import Record
    >>> records = [
    ...     Record(strategy="ra", trial=k, epoch=1, phase="augment", metrics={"val_accuracy": value}, gpu_seconds=10.0)
    ...     for k, value in enumerate([0.7, 0.6, 0.8])
    ... ]
    >>> [(point.gpu_seconds, point.best) for point in anytime(records)]
    [(10.0, 0.7), (20.0, 0.7), (30.0, 0.8)]
    """
    better = max if (metric_of(metric).maximize if maximize is None else maximize) else min
    searched = [record for record in records if record.kind.charged]
    full = complete(outcomes) if outcomes is not None else long_enough(searched)
    steps: list[CurvePoint] = []
    for study, name in dict.fromkeys((record.study, record.strategy) for record in searched):
        spent, best = 0.0, None
        records_of_search = [record for record in searched if (record.study, record.strategy) == (study, name)]
        ends = {key(record): record.epoch for record in records_of_search}
        for record in records_of_search:
            spent += record.gpu_seconds
            if record.epoch == ends[key(record)]:
                if key(record) in full and metric in record.metrics:
                    value = record.metrics[metric]
                    best = value if best is None else better(best, value)
                if best is not None:
                    steps.append(CurvePoint(name, spent, best, study))
    return steps


TrainingKey = tuple[str, str, int]
"""Study, substudy, and Optuna's number there, which counts attempts."""


def key(training: Record | Outcome) -> TrainingKey:
    """Return which training a record or an outcome is of."""
    return training.study, training.substudy, training.trial


def complete(outcomes: Sequence[Outcome]) -> set[TrainingKey]:
    """Return the trainings whose values may be ranked: complete, and on the task itself."""
    return {key(each) for each in outcomes if each.state == "COMPLETE" and not each.proxy}


def long_enough(records: Sequence[Record]) -> set[TrainingKey]:
    """Return the trainings with as many augmented epochs as any of their strategy."""
    augmented: dict[TrainingKey, int] = {}
    for record in records:
        augmented[key(record)] = max(augmented.get(key(record), 0), record.epoch if record.phase == "augment" else 0)
    most: dict[tuple[str, str], int] = {}
    for (study, substudy, _), epochs in augmented.items():
        most[study, substudy] = max(most.get((study, substudy), 0), epochs)
    return {each for each, epochs in augmented.items() if epochs == most[each[:2]]}


@dataclass(frozen=True)
class Band:
    """Hold a point of a band: the mean of the anytime curves of `n` searches of a strategy at one cost, in GPU-seconds.

    `low` and `high` are the ends of its 95 % interval.

    >>> from autoaug.compare import Band
    >>> band = Band("randaugment", gpu_seconds=120.0, mean=0.8, low=0.78, high=0.82, n=3)
    >>> band.low < band.mean < band.high
    True
    """

    strategy: str
    gpu_seconds: float
    mean: float
    low: float
    high: float
    n: int


def bands(steps: Sequence[CurvePoint], metric: str = "", table: Mapping[str, Metric] = METRICS) -> list[Band]:
    """Return the mean over the searches of a strategy with its 95 % interval, from where all of them have a value.

    The searches are those of several studies that differ in their seed. One study gives no band: its trials cannot be
    shuffled into other searches, for a sampler that learns proposes each point because of those before it.

    Args:
        steps: of `anytime`, over the records of all studies.
        metric: of the steps: intervals end where its values do.
        table: the rows that are known, such as `Comparison.metrics`.

    Returns:
        At most `MOST_POINTS` points per strategy, by rising cost; none of a strategy that was searched once.

    >>> from autoaug.compare import CurvePoint, bands
    >>> curves = [CurvePoint("ra", 10.0, 0.70, "seed-0"), CurvePoint("ra", 20.0, 0.74, "seed-1")]
    >>> [(band.gpu_seconds, round(band.mean, 2), band.n) for band in bands(curves)]
    [(20.0, 0.72, 2)]
    """
    averaged: list[Band] = []
    for name in dict.fromkeys(step.strategy for step in steps):
        studies = dict.fromkeys(step.study for step in steps if step.strategy == name)
        curves = [[s for s in steps if (s.strategy, s.study) == (name, study)] for study in studies]
        if len(curves) < 2:
            continue
        start = max(curve[0].gpu_seconds for curve in curves)
        grid = sorted({start} | {step.gpu_seconds for curve in curves for step in curve if step.gpu_seconds > start})
        chosen = {round(k) for k in np.linspace(0, len(grid) - 1, min(len(grid), MOST_POINTS))}
        for seconds in (grid[k] for k in sorted(chosen)):
            best = [[step.best for step in curve if step.gpu_seconds <= seconds][-1] for curve in curves]
            at = interval(best, range_of(metric, table))
            assert at is not None, "two searches or more"
            assert at.low is not None
            assert at.high is not None
            averaged.append(Band(name, seconds, at.mean, at.low, at.high, at.n))
    return averaged
