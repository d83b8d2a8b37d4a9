"""Means, intervals and tests against scipy and by hand; what is counted, and what a machine is told."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autoaug.compare import (
    Difference,
    Interval,
    Row,
    anytime,
    failures,
    interval,
    leaderboard,
    paired,
    to_csv,
    to_json,
)
from autoaug.record import Outcome, Record


def searched(strategy: str, trial: int, value: float | None, **more: Any) -> Outcome:
    """A trial of a search that cost one second."""
    state = "FAIL" if value is None else "COMPLETE"
    given: dict[str, Any] = {"root": trial, "state": state, "gpu_seconds": 1.0, "epochs": 3}
    return Outcome(study="s", strategy=strategy, trial=trial, value=value, **given | more)


def finals(strategy: str, scores: dict[int, float], **more: Any) -> list[Outcome]:
    """Final runs with a test accuracy by seed."""
    return [
        Outcome(
            study="s",
            strategy=strategy,
            trial=seed,
            root=seed,
            seed=seed,
            final=True,
            gpu_seconds=100.0,
            **{"state": "COMPLETE", "metrics": {"test_accuracy": score, "test_nll": 1 - score}} | more,
        )
        for seed, score in scores.items()
    ]


def row_of(outcomes: Sequence[Outcome], name: str, **more: Any) -> Row:
    return next(row for row in leaderboard(outcomes, **{"baseline": "none"} | more) if row.name == name)


def test_an_interval_by_hand() -> None:
    # mean .85, standard error .05, Student's t for one degree of freedom at 97.5 % is 12.7062
    assert interval([0.8, 0.9]) == Interval(
        pytest.approx(0.85), pytest.approx(0.85 - 0.63531024), pytest.approx(0.85 + 0.63531024), 2
    )
    # 1 to 5: standard deviation sqrt(2.5), standard error sqrt(.5), t for four degrees of freedom is 2.776445
    found = interval([1, 2, 3, 4, 5])
    assert found
    assert found.high == pytest.approx(3 + 2.776445 * math.sqrt(0.5))


def test_an_interval_is_scipys() -> None:
    sample = np.random.default_rng(0).normal(0.9, 0.02, 7)
    low, high = stats.t.interval(0.95, 6, sample.mean(), stats.sem(sample))
    assert interval(sample) == Interval(pytest.approx(sample.mean()), pytest.approx(low), pytest.approx(high), 7)


def test_one_run_has_a_mean_and_no_interval() -> None:
    assert interval([0.8]) == Interval(0.8, None, None, 1)
    assert interval([]) is None


def test_identical_runs_have_an_interval_without_width() -> None:
    assert interval([0.8, 0.8, 0.8]) == Interval(pytest.approx(0.8), pytest.approx(0.8), pytest.approx(0.8), 3)


def test_an_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    samples = np.random.default_rng(1).normal(0.9, 0.02, (2000, 3))
    found = [interval(sample) for sample in samples]
    covered = sum(each is not None and (each.low or 0) < 0.9 < (each.high or 0) for each in found)
    assert stats.binomtest(covered, 2000, 0.95).pvalue > 1e-4


def test_differences_are_paired_by_seed() -> None:
    scores, reference = {0: 0.8, 1: 0.9, 2: 0.85}, {2: 0.8, 1: 0.85, 0: 0.7}
    # differences .1, .05, .05: mean .0667, standard error .0167, t = 4, and p = 1 - 4 / sqrt(18) for two degrees
    assert paired(scores, reference) == Difference(
        pytest.approx(0.2 / 3),
        pytest.approx(0.2 / 3 - 4.302653 / 60),
        pytest.approx(0.2 / 3 + 4.302653 / 60),
        pytest.approx(1 - 4 / math.sqrt(18)),
    )


def test_a_paired_difference_is_scipys() -> None:
    rng = np.random.default_rng(2)
    reference = dict(enumerate(rng.normal(0.8, 0.05, 6)))
    scores = {seed: score + rng.normal(0.01, 0.01) for seed, score in reference.items()}
    test = stats.ttest_rel(list(scores.values()), list(reference.values()))
    low, high = test.confidence_interval(0.95)
    found = paired(scores, reference)
    assert found
    assert (found.low, found.high, found.p) == (pytest.approx(low), pytest.approx(high), pytest.approx(test.pvalue))


def test_only_seeds_that_both_have_are_compared() -> None:
    scores = {0: 0.8, 1: 0.9, 7: 0.1}
    assert paired(scores, {0: 0.7, 1: 0.85, 3: 0.99}) == paired({0: 0.8, 1: 0.9}, {0: 0.7, 1: 0.85})
    assert paired(scores, {7: 0.05}) == Difference(pytest.approx(0.05), None, None, None)
    assert paired(scores, {5: 0.5}) is None


def test_differences_that_are_all_the_same_leave_no_doubt() -> None:
    same = paired({0: 0.7, 1: 0.8}, {0: 0.7, 1: 0.8})
    assert same == Difference(0.0, 0.0, 0.0, 1.0)
    # .9 - .8, .8 - .7 and .7 - .6 differ by rounding only: scipy would warn of lost precision
    shifted = paired({0: 0.9, 1: 0.8, 2: 0.7}, {0: 0.8, 1: 0.7, 2: 0.6})
    assert shifted
    assert shifted.difference == pytest.approx(0.1)
    assert shifted.p == 0.0


def test_a_leaderboard_ranks_by_the_test_split_and_not_by_the_search() -> None:
    outcomes = [
        searched("none", 0, 0.99),
        searched("good", 0, 0.80),
        searched("unfinished", 0, 0.95),
        *finals("none", {0: 0.7, 1: 0.72}),
        *finals("good", {0: 0.8, 1: 0.82}),
    ]
    assert [row.name for row in leaderboard(outcomes, "none")] == ["good", "none", "unfinished"]
    good = row_of(outcomes, "good")
    assert good.test is not None
    assert good.test.mean == pytest.approx(0.81)
    assert good.test_nll is not None
    assert good.test_nll.mean == pytest.approx(0.19)
    assert good.vs_baseline == Difference(pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1), 0.0)
    assert row_of(outcomes, "none").vs_baseline is None
    assert row_of(outcomes, "unfinished").test is None


def test_a_trial_with_several_attempts_counts_once_and_costs_all_of_them() -> None:
    lost = searched("ra", 0, None, epochs=2)
    again = searched("ra", 1, None, root=0, attempt=2)
    done = searched("ra", 2, 0.6, root=0, attempt=3)
    row = row_of([lost, again, done, searched("ra", 3, 0.5, root=1)], "ra")
    assert (row.trials, row.failed) == (2, 0), "the attempts that were repeated did not fail"
    assert row.gpu_seconds == 4.0
    assert row.val_best == 0.6


def test_what_ended_early_is_counted_apart_and_never_the_best() -> None:
    outcomes = [
        searched("ra", 0, 0.5),
        searched("ra", 1, None),
        searched("ra", 2, 0.9, state="PRUNED"),
        searched("ra", 3, None, state="RUNNING"),
    ]
    row = row_of(outcomes, "ra")
    assert (row.trials, row.pruned, row.failed, row.val_best) == (4, 1, 1, 0.5)
    assert row.gpu_seconds == 4.0, "lost work costs too"


def test_the_cost_of_a_search_leaves_out_the_final_runs() -> None:
    row = row_of([searched("none", 0, 0.5), *finals("none", {0: 0.5, 1: 0.6})], "none")
    assert row.gpu_seconds == 1.0


def test_a_metric_that_is_minimised_has_its_best_at_the_bottom() -> None:
    outcomes = [searched("ra", 0, 0.7, epochs=9), searched("ra", 1, 0.3, epochs=4)]
    best = row_of(outcomes, "ra", maximize=False)
    assert (best.val_best, best.epochs) == (0.3, 4)
    assert row_of(outcomes, "ra").val_best == 0.7


def test_failed_final_runs_are_no_scores() -> None:
    outcomes = [*finals("ra", {0: 0.5, 1: 0.7}), *finals("ra", {2: 0.1}, state="FAIL", metrics={})]
    row = row_of(outcomes, "ra")
    assert row.test is not None
    assert row.test.n == 2


def test_failures_are_last_attempts_that_failed() -> None:
    outcomes = [
        searched("none", 0, None),
        searched("none", 1, 0.5, root=0, attempt=2),
        searched("ra", 0, None, reason="boom"),
        *finals("ra", {0: 0.1}, state="FAIL", reason="bang"),
    ]
    assert {name: [each.reason for each in lost] for name, lost in failures(outcomes).items()} == {
        "ra": ["boom", "bang"]
    }


def epoch(trial: int, number: int, value: float, seconds: float, **more: Any) -> Record:
    metrics = {"val_accuracy": value, "val_nll": 1 - value}
    given: dict[str, Any] = {"strategy": "ra", "phase": "augment", "metrics": metrics, "gpu_seconds": seconds}
    return Record(trial=trial, epoch=number, **given | more)


def test_an_anytime_curve_by_hand() -> None:
    records = [
        epoch(0, 1, 0.9, 1.0),  # high, but not the end of its training
        epoch(0, 2, 0.5, 1.0),
        epoch(1, 1, 0.3, 2.0),
        epoch(1, 2, 0.4, 2.0),
        epoch(2, 1, 0.2, 0.5),
        epoch(2, 2, 0.7, 0.5),
        epoch(0, 1, 0.8, 3.0, strategy="none"),
        epoch(0, 2, 0.99, 50.0, final=True),
    ]
    curve = [(step.strategy, step.gpu_seconds, step.best) for step in anytime(records)]
    assert curve == [("ra", 2.0, 0.5), ("ra", 6.0, 0.5), ("ra", 7.0, 0.7), ("none", 3.0, 0.8)]
    falling = [step.best for step in anytime(records, "val_nll", maximize=False) if step.strategy == "ra"]
    assert falling == [pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.3)]
    assert anytime([]) == []


OUTCOMES = [
    searched("none", 0, 0.5),
    searched("ra", 0, 0.6, device="cuda"),
    *finals("none", {0: 0.5, 1: 0.6}),
    *finals("ra", {0: 0.7, 1: 0.75}),
    searched("idle", 0, None),
]


def test_a_machine_is_told_what_the_contract_says() -> None:
    found = to_json("s", "val_accuracy", leaderboard(OUTCOMES, "none"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {"study", "metric", "strategies"}
    keys = {"name", "test", "val_best", "trials", "pruned", "failed", "gpu_seconds", "vs_baseline"}
    ra, none, idle = found["strategies"]
    assert keys <= set(ra)
    assert set(ra["test"]) == {"mean", "low", "high", "n"}
    assert set(ra["vs_baseline"]) == {"difference", "low", "high", "p"}
    assert (none["name"], none["vs_baseline"], idle["test"], idle["failed"]) == ("none", None, None, 1)
    assert ra["device"] == "cuda"


def test_every_line_of_the_csv_has_every_column() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(leaderboard(OUTCOMES, "none")))))
    assert [line["strategy"] for line in lines] == ["ra", "none", "idle"]
    assert float(lines[0]["vs_baseline_difference"]) == pytest.approx(0.175)
    assert float(lines[1]["test_mean"]) == pytest.approx(0.55)
    assert (lines[1]["vs_baseline_p"], lines[2]["test_mean"]) == ("", "")
    assert "name" not in lines[0]
    assert to_csv([]) == "strategy\n"
