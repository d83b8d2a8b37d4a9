"""What a search knew after so much had been spent: by hand, and with trainings whose values may not be ranked."""

from typing import Any

import numpy as np
import pytest
from outcomes_for_tests import epoch, searched
from scipy import stats

from autoaug.compare import Band, CurvePoint, anytime, bands, leaderboard
from autoaug.compare._leaderboard import unequal_cost
from autoaug.record import Outcome, Record, TrialKind


def curve(steps: list[CurvePoint]) -> list[tuple[str, float, float]]:
    return [(step.strategy, step.gpu_seconds, step.best) for step in steps]


def test_an_anytime_curve_by_hand() -> None:
    records = [
        epoch(0, 1, 0.9, 1.0),  # high, but not the end of its training
        epoch(0, 2, 0.5, 1.0),
        epoch(1, 1, 0.3, 2.0),
        epoch(1, 2, 0.4, 2.0),
        epoch(2, 1, 0.2, 0.5),
        epoch(2, 2, 0.7, 0.5),
        epoch(0, 1, 0.8, 3.0, strategy="none"),
        epoch(0, 2, 0.99, 50.0, kind=TrialKind.FINAL),
    ]
    assert curve(anytime(records)) == [("ra", 2.0, 0.5), ("ra", 6.0, 0.5), ("ra", 7.0, 0.7), ("none", 3.0, 0.8)]
    falling = [step.best for step in anytime(records, "val_nll", maximize=False) if step.strategy == "ra"]
    assert falling == [pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.3)]
    assert anytime([]) == []


CUT = [
    epoch(0, 1, 0.99, 1.0),  # cut short at its best
    epoch(1, 1, 0.3, 1.0),
    epoch(1, 2, 0.4, 1.0),
    epoch(2, 1, 0.98, 1.0),
    epoch(3, 1, 0.2, 1.0),
    epoch(3, 2, 0.5, 1.0),
    epoch(3, 3, 0.6, 1.0, phase="refine"),
]


@pytest.mark.parametrize("state", ["PRUNED", "FAIL", "RUNNING"])
def test_a_training_that_was_cut_short_costs_and_is_never_ranked(state: Any) -> None:
    ends = [searched("ra", trial, value, study="") for trial, value in ((1, 0.4), (3, 0.6))]
    ends += [searched("ra", trial, None, study="", state=state) for trial in (0, 2)]
    # nothing is known for the first second; the third training costs, and leaves the best where it was
    expected = [("ra", 3.0, 0.4), ("ra", 4.0, 0.4), ("ra", 7.0, 0.6)]
    assert curve(anytime(CUT, outcomes=ends)) == expected
    assert curve(anytime(CUT)) == expected, "fewer augmented epochs say the same"


def test_outcomes_decide_where_epochs_do_not() -> None:
    """A space over the number of epochs: the short training is whole."""
    ends = [searched("ra", trial, 0.5, study="") for trial in range(4)]
    assert [step.best for step in anytime(CUT, outcomes=ends)] == [0.99] * 4


def test_the_value_of_a_proxy_is_not_ranked_and_that_of_its_rerun_is() -> None:
    records = [
        epoch(0, 1, 0.99, 1.0),
        epoch(1, 1, 0.95, 1.0),
        epoch(0, 1, 0.5, 5.0, kind=TrialKind.RERUN),
        epoch(0, 2, 0.7, 5.0, kind=TrialKind.RERUN),
    ]
    ends = [searched("ra", trial, 0.9, study="", proxy=True) for trial in (0, 1)]
    ends.append(searched("ra", 0, 0.7, study="", kind=TrialKind.RERUN))
    assert curve(anytime(records, outcomes=ends)) == [("ra", 12.0, 0.7)]


def study(name: str, *values: float, seconds: float = 1.0) -> tuple[list[Record], list[Outcome]]:
    records = [epoch(trial, 1, value, seconds, study=name) for trial, value in enumerate(values)]
    return records, [searched("ra", trial, value, study=name) for trial, value in enumerate(values)]


def test_a_band_by_hand() -> None:
    (one, ends), (other, more) = study("a", 0.5, 0.7), study("b", 0.6, 0.6, seconds=1.5)
    found = bands(anytime(one + other, outcomes=ends + more))
    # at 1.5 seconds .5 and .6; at 2 .7 and .6; at 3 the same. The standard error of two is half their difference
    half = 12.706205 * 0.05
    assert found == [
        Band("ra", 1.5, pytest.approx(0.55), pytest.approx(0.55 - half), pytest.approx(0.55 + half), 2),
        Band("ra", 2.0, pytest.approx(0.65), pytest.approx(0.65 - half), pytest.approx(0.65 + half), 2),
        Band("ra", 3.0, pytest.approx(0.65), pytest.approx(0.65 - half), pytest.approx(0.65 + half), 2),
    ]
    assert bands(anytime(one, outcomes=ends)) == [], "one search has no band"
    assert bands([]) == []


def test_a_band_covers_the_expected_curve_of_random_search() -> None:
    """The best of k uniform values is k / (k + 1) on average: 95 % of the bands of five searches hold it."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        best = np.maximum.accumulate(rng.uniform(size=(5, 8)), axis=1)
        steps = [CurvePoint("ra", k + 1.0, float(each[k]), f"s{s}") for s, each in enumerate(best) for k in range(8)]
        held += [band.low <= k / (k + 1) <= band.high for k, band in enumerate(bands(steps), 1)]
    assert len(held) == 800
    assert 0.9 < np.mean(held) < 0.98


def test_a_strategy_that_is_better_only_because_it_spent_more_is_no_better_at_equal_cost() -> None:
    """Two random searches over the same values, one with four times the trials: the ends differ, the curves do not."""
    rng = np.random.default_rng(1)
    at_the_end, at_equal_cost, flagged = [], [], 0
    for _ in range(200):
        drawn = {name: rng.uniform(0.5, 0.9, trials) for name, trials in (("rich", 40), ("poor", 10))}
        steps = anytime(
            [epoch(k, 1, v, 1.0, strategy=name) for name, mine in drawn.items() for k, v in enumerate(mine)]
        )
        best = {name: [step.best for step in steps if step.strategy == name] for name in drawn}
        at_the_end.append(best["rich"][-1] - best["poor"][-1])
        at_equal_cost.append(best["rich"][9] - best["poor"][9])
        point = {"policy.m": 0.5}
        trials = [searched(name, k, v, point=point) for name, mine in drawn.items() for k, v in enumerate(mine)]
        flagged += [row.name for row, _ in unequal_cost(leaderboard(trials, "poor"))] == ["poor"]
    assert stats.ttest_1samp(at_the_end, 0).pvalue < 1e-6
    assert stats.ttest_1samp(at_equal_cost, 0).pvalue > 1e-3
    assert flagged == 200, "the leaderboard says so each time"


def test_a_long_band_stays_small() -> None:
    steps = [CurvePoint("ra", float(k), k / 5000, name) for name in "ab" for k in range(1, 3000)]
    found = bands(steps)
    assert len(found) == 100
    assert (found[0].gpu_seconds, found[-1].gpu_seconds) == (1.0, 2999.0), "both ends are kept"
