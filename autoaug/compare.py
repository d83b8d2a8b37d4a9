"""Which strategy is better, by how much, and how sure that is."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from scipy import stats

from autoaug.learners import DEPLOYS
from autoaug.record import Outcome, Record, best_complete, last_attempts
from autoaug.store import Store
from autoaug.study import METRICS

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
    retrained: Mapping[str, Interval] = field(default_factory=dict)
    """Test accuracy of networks trained from scratch with what a learner had found, by how it was deployed; empty
    for strategies without a learner."""


def stored_leaderboard(store: Store, name: str) -> tuple[dict[str, Any], list[Row]]:
    """The definition of a study that was run, and its leaderboard."""
    definition = store.definition(name)
    assert definition is not None, "the callers have looked"
    maximize = METRICS[definition["metric"]] == "maximize"
    return definition, leaderboard(store.outcomes(name), definition["baseline"], maximize)


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
    best = best_complete(ends, maximize)
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
        retrained={
            deploy: found
            for deploy in DEPLOYS
            if (found := interval(final_scores(outcomes, name, f"{deploy}_test_accuracy").values()))
        },
    )


def failures(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The trials and final runs whose last attempt failed, by strategy."""
    failed: dict[str, list[Outcome]] = {}
    for name, final in dict.fromkeys((outcome.strategy, outcome.final) for outcome in outcomes):
        mine = last_attempts(each for each in outcomes if (each.strategy, each.final) == (name, final))
        if lost := [outcome for outcome in mine if outcome.state == "FAIL"]:
            failed[name] = failed.get(name, []) + lost
    return failed


def final_scores(outcomes: Iterable[Outcome], strategy: str, metric: str = "test_accuracy") -> dict[int, float]:
    """A test metric of a strategy's complete final runs, by seed."""
    return {
        outcome.seed: outcome.metrics[metric]
        for outcome in outcomes
        if outcome.strategy == strategy and outcome.final and outcome.state == "COMPLETE" and metric in outcome.metrics
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


def to_csv(rows: Sequence[Row]) -> str:
    """A leaderboard as one line per strategy, the same columns for all of them."""
    text = io.StringIO()
    flat = [to_flat(row) for row in rows]
    writer = csv.DictWriter(text, fieldnames=list(flat[0]) if flat else ["strategy"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def to_flat(row: Row) -> dict[str, Any]:
    """A row without rows inside; None where there is nothing."""
    flat: dict[str, Any] = {"strategy": row.name}
    for name, value in asdict(row).items():
        if name == "retrained":
            flat |= {f"{name}_{deploy}_mean": (value.get(deploy) or {}).get("mean") for deploy in DEPLOYS}
        elif name in NESTED:
            flat |= {f"{name}_{each.name}": (value or {}).get(each.name) for each in fields(NESTED[name])}
        elif name != "name":
            flat[name] = value
    return flat


def to_json(study: str, metric: str, rows: Sequence[Row]) -> dict[str, Any]:
    """A leaderboard as plain data, for machines."""
    return {"study": study, "metric": metric, "strategies": [asdict(row) for row in rows]}


def table(rows: Sequence[Row], metric: str, baseline: str) -> tuple[list[str], list[list[str]], str]:
    """A leaderboard for people: headings, cells, and a caption that says how to read them."""
    unit = unit_of(row.device for row in rows)
    headings = ["strategy", "test accuracy", "difference", "p", f"best {short(metric)}", "trials", unit]
    cells = []
    for row in rows:
        cells.append(
            [
                row.name,
                show_interval(row.test),
                *(("baseline", "") if row.name == baseline else show_difference(row.vs_baseline)),
                show_value(row.val_best),
                show_trials(row),
                show_seconds(row.gpu_seconds),
            ]
        )
        for deploy, found in row.retrained.items():
            cells.append([f"· {deploy.replace('_', ' ')}", show_interval(found), "", "", "", "", ""])
    return headings, cells, "\n".join(legend(rows, baseline))


def legend(rows: Sequence[Row], baseline: str) -> list[str]:
    """How a leaderboard is to be read: only what concerns this one."""
    lines = []
    runs = sorted({row.test.n for row in rows if row.test})
    if runs and runs[-1] == 1:
        lines.append("one final run each gives no interval and no p: set Study(seeds=) to 3 or more")
    elif runs:
        counted = " to ".join(map(str, dict.fromkeys((runs[0], runs[-1]))))
        lines.append(f"± half a 95 % t-interval, p a paired t-test against {baseline}, over {counted} final runs")
    if any(row.pruned or row.failed for row in rows):
        lines.append("trials a/b: a of b ran to the end, the others were pruned or failed")
    if any(row.retrained for row in rows):
        lines.append("· a new network, trained from scratch with what the learner above it had found")
    return lines


def short(metric: str) -> str:
    """`val` for val_accuracy: what else would be best on validation."""
    return metric.removesuffix("_accuracy")


def unit_of(devices: Iterable[str]) -> str:
    return "GPU s" if "cuda" in devices else "CPU s"


def show_interval(found: Interval | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:.4f}" + ("" if found.high is None else f" ± {found.high - found.mean:.4f}")


def show_difference(found: Difference | None) -> tuple[str, str]:
    return ("–", "–") if found is None else (f"{found.difference:+.4f}", show_p(found.p))


def show_p(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def show_value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def show_trials(row: Row) -> str:
    lost = row.pruned + row.failed
    return f"{row.trials - lost}/{row.trials}" if lost else str(row.trials)


def show_seconds(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 1000 else f"{seconds:.0f}"
