"""Means, intervals and tests against scipy and by hand; what is counted, and what a machine is told."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from outcomes_for_tests import comparison, finals, searched
from scipy import stats

from autoaug.compare import (
    Difference,
    LeaderboardRow,
    Rerun,
    failures,
    headline,
    leaderboard,
    legend,
    tables,
    to_csv,
    to_json,
    verdict,
)
from autoaug.compare._figures import number
from autoaug.compare._leaderboard import Doubt, FinalRun, paired, unequal_cost
from autoaug.compare._statistics import holm, p_values
from autoaug.record import Outcome, TrialKind


def row_of(outcomes: Sequence[Outcome], name: str, **more: Any) -> LeaderboardRow:
    return next(row for row in leaderboard(outcomes, **{"baseline": "none"} | more) if row.name == name)


def runs(scores: dict[int, float], study: str = "s") -> dict[FinalRun, float]:
    return {FinalRun(study, seed): score for seed, score in scores.items()}


def test_differences_are_paired_by_seed() -> None:
    # differences .1, .05, .05: mean .0667, standard error .0167, t = 4, and p = 1 - 4 / sqrt(18) for two degrees
    assert paired(runs({0: 0.8, 1: 0.9, 2: 0.85}), runs({2: 0.8, 1: 0.85, 0: 0.7})) == Difference(
        difference=pytest.approx(0.2 / 3),
        low=pytest.approx(0.2 / 3 - 4.302653 / 60),
        high=pytest.approx(0.2 / 3 + 4.302653 / 60),
        p=pytest.approx(1 - 4 / math.sqrt(18)),
        n=3,
        method="t",
        sd=pytest.approx(1 / math.sqrt(1200)),
    )


def test_a_paired_difference_is_scipys() -> None:
    rng = np.random.default_rng(2)
    reference = dict(enumerate(rng.normal(0.8, 0.05, 6)))
    scores = {seed: score + rng.normal(0.01, 0.01) for seed, score in reference.items()}
    test = stats.ttest_rel(list(scores.values()), list(reference.values()))
    low, high = test.confidence_interval(0.95)
    found = paired(runs(scores), runs(reference))
    assert found
    assert (found.low, found.high, found.p) == (pytest.approx(low), pytest.approx(high), pytest.approx(test.pvalue))


def test_only_seeds_that_both_have_are_compared() -> None:
    scores = runs({0: 0.8, 1: 0.9, 7: 0.1})
    both = paired(runs({0: 0.8, 1: 0.9}), runs({0: 0.7, 1: 0.85}))
    assert paired(scores, runs({0: 0.7, 1: 0.85, 3: 0.99})) == both
    assert paired(scores, runs({7: 0.05})) == Difference(pytest.approx(0.05), None, None, None)
    assert paired(scores, runs({5: 0.5})) is None
    assert paired(scores, runs({0: 0.7}, study="other")) is None


def test_differences_that_are_all_the_same_are_judged_by_their_sign() -> None:
    same = paired(runs({0: 0.7, 1: 0.8}), runs({0: 0.7, 1: 0.8}))
    assert same
    assert (same.difference, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    # .9 - .8, .8 - .7 and .7 - .6 differ by rounding only: a t-test would be certain of the last digit
    shifted = paired(runs({0: 0.9, 1: 0.8, 2: 0.7}), runs({0: 0.8, 1: 0.7, 2: 0.6}))
    assert shifted
    assert shifted.difference == pytest.approx(0.1)
    assert shifted.p == 0.25, "one of the eight ways to sign three differences, on either side"


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
    assert good.others["nll"].test is not None
    assert good.others["nll"].test.mean == pytest.approx(0.19)
    assert good.vs_baseline
    assert good.vs_baseline.difference == pytest.approx(0.1)
    assert good.others["nll"].vs_baseline
    assert good.others["nll"].vs_baseline.difference == pytest.approx(-0.1)
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
    best = row_of(outcomes, "ra", metric="val_nll")
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


OUTCOMES = [
    searched("none", 0, 0.5),
    searched("ra", 0, 0.6, device="cuda"),
    *finals("none", {0: 0.5, 1: 0.6}),
    *finals("ra", {0: 0.7, 1: 0.75}),
    searched("idle", 0, None),
]


def test_a_machine_is_told_what_the_contract_says() -> None:
    found = to_json(comparison(OUTCOMES, provenance={"seed": "0"}))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {"study", "metric", "strategies"} <= set(found)
    assert (found["study"], found["studies"], found["baseline"]) == ("s", ["s"], "none")
    assert found["provenance"] == {"seed": "0"}
    keys = {"name", "test", "val_best", "trials", "pruned", "failed", "gpu_seconds", "vs_baseline"}
    ra, none, idle = found["strategies"]
    assert keys <= set(ra)
    assert {"mean", "low", "high", "n"} <= set(ra["test"])
    assert {"difference", "low", "high", "p", "p_holm", "verdict", "seeds_needed"} <= set(ra["vs_baseline"])
    assert (none["name"], none["vs_baseline"], idle["test"], idle["failed"]) == ("none", None, None, 1)
    assert ra["device"] == "cuda"
    assert none["verdict"] == "this is the baseline"
    assert ra["verdict"].startswith("not enough evidence of a difference to none: +0.1750 [")


def test_every_line_of_the_csv_has_every_column() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(leaderboard(OUTCOMES, "none")))))
    assert [line["strategy"] for line in lines] == ["ra", "none", "idle"]
    assert float(lines[0]["vs_baseline_difference"]) == pytest.approx(0.175)
    assert float(lines[0]["vs_baseline_nll_difference"]) == pytest.approx(-0.175)
    assert float(lines[1]["test_mean"]) == pytest.approx(0.55)
    assert (lines[1]["vs_baseline_p"], lines[2]["test_mean"]) == ("", "")
    assert "name" not in lines[0]
    assert to_csv([]) == "strategy\n"


def test_p_is_corrected_for_the_number_of_strategies() -> None:
    scores = {"a": {0: 0.8, 1: 0.82, 2: 0.85}, "b": {0: 0.75, 1: 0.78, 2: 0.74}, "none": {0: 0.7, 1: 0.73, 2: 0.74}}
    rows = leaderboard([each for name, mine in scores.items() for each in finals(name, mine)], "none")
    found = {row.name: row.vs_baseline for row in rows}
    assert found["a"]
    assert found["b"]
    assert found["a"].p_holm == pytest.approx(2 * (found["a"].p or 0))
    assert found["b"].p_holm == pytest.approx(found["b"].p)
    assert found["none"] is None


def test_a_leaderboard_of_simulated_studies_says_what_the_simulation_says() -> None:
    """The rates in test_statistics.py are those of a leaderboard: the same numbers give the same p and verdicts."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        sample = rng.normal([[0.9], [0.9], [0.93]], 0.02, (3, 4))
        outcomes = [
            each for name, mine in zip("nab", sample, strict=True) for each in finals(name, dict(enumerate(mine)))
        ]
        rows = {row.name: row for row in leaderboard(outcomes, "n")}
        corrected = holm(p_values(sample[1:] - sample[0]))
        for name, p, nll in zip("ab", corrected, holm(p_values(sample[0] - sample[1:])), strict=True):
            found = rows[name].vs_baseline
            assert found
            assert found.p_holm == pytest.approx(p)
            assert (found.verdict == "not enough evidence") == (p >= 0.05)
            assert (rows[name].others["nll"].vs_baseline or found).p_holm == pytest.approx(nll)


def test_a_rank_is_the_mean_place_over_shared_seeds() -> None:
    scores = {"a": {0: 0.9, 1: 0.7, 2: 0.99}, "b": {0: 0.8, 1: 0.8}, "c": {0: 0.7, 1: 0.8}, "d": {}}
    rows = leaderboard([each for name, mine in scores.items() for each in finals(name, mine)], "b")
    assert {row.name: row.rank for row in rows} == {"a": 2.0, "b": 1.75, "c": 2.25}
    apart = leaderboard([*finals("a", {0: 0.9}), *finals("b", {1: 0.8})], "b")
    assert [row.rank for row in apart] == [None, None], "no seed is shared"


def test_searches_are_the_unit_where_they_are_repeated() -> None:
    """Ten final runs of each of three searches are three findings, not thirty."""
    outcomes = [
        each
        for study, advantage in (("s0", 0.1), ("s1", -0.02), ("s2", 0.04))
        for name, score in (("none", 0.7), ("ra", 0.7 + advantage))
        for each in finals(name, dict.fromkeys(range(10), score), study=study)
    ]
    row = row_of(outcomes, "ra")
    assert row.test
    assert (row.test.n, row.test.mean) == (3, pytest.approx(0.74))
    assert row.vs_baseline
    assert (row.vs_baseline.n, row.vs_baseline.verdict) == (3, "not enough evidence")
    assert row.vs_baseline.sd == pytest.approx(0.06)
    assert [row_of(outcomes, name).rank for name in ("none", "ra")] == [pytest.approx(5 / 3), pytest.approx(4 / 3)]
    said = " ".join(legend(comparison(outcomes)))
    assert "over 3 studies, each the mean of its final runs" in said
    assert f"ra (about {row.vs_baseline.seeds_needed} studies)" in said


def test_trials_of_repeated_searches_are_counted_apart() -> None:
    outcomes = [searched("ra", 0, 0.5, study="s0"), searched("ra", 0, 0.6, study="s1")]
    row = row_of(outcomes, "ra")
    assert (row.trials, row.gpu_seconds, row.val_best) == (2, 2.0, 0.6)


def test_a_strategy_that_spent_more_is_named() -> None:
    """It looks better because of what it spent: the leaderboard shows the cost and says so."""
    point = {"policy.m": 0.5}
    outcomes = [
        *(searched("rich", trial, 0.5 + trial / 100, point=point, gpu_seconds=4.0) for trial in range(10)),
        *(searched("poor", trial, 0.5, point=point) for trial in range(10)),
        searched("none", 0, 0.4),
        *finals("rich", {0: 0.8, 1: 0.81, 2: 0.82}),
        *finals("poor", {0: 0.7, 1: 0.72, 2: 0.71}),
    ]
    found = comparison(outcomes, definition={"baseline": "poor"})
    (said,) = [line for line in legend(found) if line.startswith("unequal cost")]
    # 40 seconds within a tenth are 36.4; 26.4 more than the 10 spent, at 1 second a trial
    assert said == "unequal cost: for the 40.0 CPU s of rich, others could have made more trials: poor 26"
    assert {row.name: row.gpu_seconds for row in found.rows} == {"rich": 40.0, "poor": 10.0, "none": 1.0}


def test_equal_cost_needs_no_warning_and_neither_does_what_has_nothing_to_search() -> None:
    point = {"policy.m": 0.5}
    outcomes = [
        *(searched("a", trial, 0.5, point=point, gpu_seconds=3.0) for trial in range(6)),
        *(searched("b", trial, 0.5, point=point, gpu_seconds=5.0) for trial in range(3)),  # a fourth would cost 20
        searched("none", 0, 0.4),
    ]
    assert unequal_cost(leaderboard(outcomes, "none")) == []
    learns_within_its_trial = searched("madao", 0, 0.5, gpu_seconds=34.0)
    found = unequal_cost(leaderboard([*outcomes, learns_within_its_trial], "none"))
    assert [(row.name, trials) for row, trials in found] == [("a", 4), ("b", 3)]


def test_a_proxy_stands_beside_the_whole_task_and_is_never_ranked_with_it() -> None:
    good, bad = {"policy.m": 0.1}, {"policy.m": 0.9}
    outcomes = [
        searched("ra", 0, 0.95, point=bad, proxy=True, epochs=1),
        searched("ra", 1, 0.90, point=good, proxy=True, epochs=1),
        searched("ra", 2, 0.99, point={"policy.m": 0.5}, proxy=True, epochs=1),
        searched("ra", 0, 0.70, point=bad, kind=TrialKind.RERUN, gpu_seconds=20.0, epochs=20),
        searched("ra", 1, 0.80, point=good, kind=TrialKind.RERUN, gpu_seconds=20.0, epochs=20),
    ]
    row = row_of(outcomes, "ra")
    assert (row.val_best, row.epochs, row.trials, row.gpu_seconds) == (0.8, 20, 3, 43.0)
    assert row.reruns == (Rerun(1, 0.90, 1, 0.80, 20), Rerun(0, 0.95, 1, 0.70, 20))
    found = comparison(outcomes)
    line = next(cells for cells in tables(found)[1].cells if cells[0].startswith("·"))
    assert line == ["· proxy", "", "", "0.9000", "1", "", ""]
    both = tables(found, wide=True)[1].cells[1:]
    assert [cells[0] for cells in both] == ["· trial 1: proxy → full", "· trial 0: proxy → full"]
    assert both[0][3:5] == ["0.9000 → 0.8000", "1 → 20"]
    assert any(said.startswith("· proxy: what the search saw") for said in legend(found))
    assert "0.9" in to_csv(found.rows)


def test_predicted_cost_and_test_reads_stand_in_the_row() -> None:
    rows = leaderboard(OUTCOMES, "none", predicted_seconds={"ra": 12.5}, test_reads={"ra": 2})
    found = {row.name: (row.predicted_seconds, row.test_reads) for row in rows}
    assert found == {"ra": (12.5, 2), "none": (None, 0), "idle": (None, 0)}
    drawn = tables(comparison(OUTCOMES, rows=rows))[1]
    assert drawn.headings[-2:] == ["GPU s", "predicted"]
    assert [cells[-1] for cells in drawn.cells] == ["12.5", "–", "–"]


def test_a_verdict_says_in_words_what_the_evidence_allows() -> None:
    outcomes = [
        *finals("none", {0: 0.70, 1: 0.72, 2: 0.74}),
        *finals("good", {0: 0.80, 1: 0.81, 2: 0.84}),
        *finals("bad", {0: 0.50, 1: 0.53, 2: 0.55}),
        *finals("close", {0: 0.71, 1: 0.71, 2: 0.76}),
        *finals("once", {0: 0.75}),
        *finals("apart", {7: 0.75}),
        searched("untested", 0, 0.5),
    ]
    said = {row.name: verdict(row, "none") for row in leaderboard(outcomes, "none")}
    assert said["none"] == "this is the baseline"
    # differences .10, .09, .10: mean .0967, standard error .0033, t = 29, and p .0012 x 2 by Holm
    assert said["good"] == "better than none: +0.0967 [+0.0823, +0.1110], p 0.002, over 3 final runs"
    assert said["bad"].startswith("worse than none: -0.1933 [")
    assert said["close"].startswith("not enough evidence of a difference to none: +0.0067 [-0.0")
    assert said["once"] == "not enough evidence of a difference to none: +0.0500, over 1 final run"
    assert said["apart"] == "not compared: shares no final run with the baseline none"
    assert said["untested"] == "not tested: no final run has ended"


def test_a_baseline_that_failed_is_said_first_and_why() -> None:
    outcomes = [
        searched("none", 0, 0.5),
        *finals("none", {0: 0.0}, state="FAIL", metrics={}, reason="diverged: the training loss is nan in epoch 1"),
        *finals("ra", {0: 0.7, 1: 0.75}),
    ]
    found = comparison(outcomes)
    said = headline(found)
    assert said.startswith(
        "the baseline 'none' failed: diverged: the training loss is nan in epoch 1; how the others differ"
    )
    assert "--retry-failed" in said
    assert to_json(found)["headline"] == said
    ra, none = found.rows
    assert verdict(none, "none") == "this is the baseline"
    assert verdict(ra, "none") == "not compared: shares no final run with the baseline none"
    lines = list(csv.DictReader(io.StringIO(to_csv(found.rows))))
    assert [line["reason"] for line in lines] == ["", "diverged: the training loss is nan in epoch 1"]
    assert headline(comparison([*outcomes, *finals("none", {1: 0.5})])) == "", "one of its final runs is enough"
    assert headline(comparison([searched("none", 0, 0.5), *finals("ra", {0: 0.7})])) == "", "it is still to come"
    stopped = comparison([searched("none", 0, None, reason=""), *finals("ra", {0: 0.7})])
    assert headline(stopped).startswith("the baseline 'none' failed: stopped from outside;")


def test_bounds_of_an_accuracy_lie_in_0_to_1_everywhere() -> None:
    """Two runs that are .03 apart have half an interval of .19."""
    ra, none = leaderboard([*finals("none", {0: 0.05, 1: 0.08}), *finals("ra", {0: 0.97, 1: 1.0})], "none")
    assert none.test
    assert ra.test
    by_nll = ra.others["nll"].test
    assert by_nll
    assert (none.test.low, none.test.high) == (0.0, pytest.approx(0.065 + 12.7062 * 0.015, abs=1e-4))
    assert (ra.test.low, ra.test.high) == (pytest.approx(0.985 - 12.7062 * 0.015, abs=1e-4), 1.0)
    assert (by_nll.low, by_nll.high) == (0.0, pytest.approx(0.015 + 12.7062 * 0.015, abs=1e-4))
    line = next(csv.DictReader(io.StringIO(to_csv([none]))))
    assert float(line["test_low"]) == 0.0
    wide = row_of([*finals("none", {0: 0.0, 1: 0.9}), *finals("ra", {0: 0.9, 1: 0.0})], "ra").vs_baseline
    assert wide
    assert (wide.low, wide.high) == (-1.0, 1.0)


def test_equal_runs_are_called_equal_and_not_certain() -> None:
    found = comparison([*finals("none", {0: 0.27, 1: 0.27}), *finals("ra", {0: 0.27, 1: 0.27})])
    result = tables(found)[0]
    assert [cells[2] for cells in result.cells] == ["0.2700 (2 equal)"] * 2
    assert result.cells[1][3] == "+0.0000 (2 equal)"
    assert any(line.startswith("(n equal): runs with the same score show no spread") for line in legend(found))
    assert not any("equal" in line for line in legend(comparison(OUTCOMES)))


@pytest.mark.parametrize(
    ("value", "sign", "said"),
    [
        (-0.00001, False, "0.0000"),
        (-0.00001, True, "+0.0000"),
        (-0.0001, True, "-0.0001"),
        (1e-9, False, "0.0000"),
        (123456.7, True, "+123456.7000"),
        (math.inf, True, "+inf"),
        (math.nan, True, "nan"),
    ],
)
def test_a_figure_has_four_decimals_no_minus_zero_and_no_exponent(value: float, sign: bool, said: str) -> None:
    assert number(value, sign) == said


def doubts(values: Sequence[float], images: int = 80) -> LeaderboardRow:
    return row_of([searched("ra", k, value, val_images=images) for k, value in enumerate(values)], "ra")


def test_a_search_that_cannot_tell_its_points_apart_is_named() -> None:
    row = doubts([0.85, 0.84, 0.80, 0.60])
    assert row.doubt == Doubt(80, pytest.approx(0.0781, abs=1e-4), 2, 3)
    (said,) = [line for line in legend(comparison(rows=[row])) if "chance" in line]
    assert said == (
        f"ra may owe its point to chance: 2 of 3 other trials came within {row.doubt.width:.4f} of its best, "
        "and a score on 80 validation images is no surer than that"
    )
    assert next(csv.DictReader(io.StringIO(to_csv([row]))))["val_near"] == "2"
    clear = doubts([0.85, 0.84, 0.60, 0.60])
    assert clear.doubt
    assert (clear.doubt.near, clear.doubt.others) == (1, 3)
    assert not any("chance" in line for line in legend(comparison(rows=[clear])))
    assert doubts([0.85, 0.84], images=0).doubt is None, "an earlier version did not store it"
    assert doubts([0.85]).doubt is None, "there was nothing to choose from"
    many = doubts([0.85, 0.84, 0.80], images=10_000)
    assert many.doubt
    assert many.doubt.near == 0
    loss = [searched("ra", k, value, val_images=80) for k, value in enumerate((0.5, 0.51))]
    assert row_of(loss, "ra", metric="val_nll").doubt is None, "a loss has no such width"
