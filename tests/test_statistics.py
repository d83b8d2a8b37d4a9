"""Claims about chance, tested on simulated studies: coverage, false alarms, power, and the seeds that are advised.

A binomial test says whether a share of simulated studies may be what theory gives; it is fixed by its generator.
"""

import numpy as np
import pytest
from chance_for_tests import SPREAD, STUDIES, at_most, draws, is_share, studies
from scipy import stats

from autoaug.compare._statistics import (
    BOOTSTRAP_FROM,
    Difference,
    Interval,
    holm,
    interval,
    judge,
    limits,
    of_differences,
    p_values,
    seeds_needed,
)


def covered(samples: np.ndarray, mean: float) -> np.ndarray:
    low, high = limits(samples, resamples=499)
    return (low <= mean) & (mean <= high)


def test_an_interval_by_hand() -> None:
    # mean .85, standard error .05, Student's t for one degree of freedom at 97.5 % is 12.7062
    assert interval([0.8, 0.9]) == Interval(
        pytest.approx(0.85), pytest.approx(0.85 - 0.63531024), pytest.approx(0.85 + 0.63531024), 2, "t"
    )
    # 1 to 5: standard deviation sqrt(2.5), standard error sqrt(.5), t for four degrees of freedom is 2.776445
    found = interval([1, 2, 3, 4, 5])
    assert found
    assert found.high == pytest.approx(3 + 2.776445 * 0.5**0.5)


def test_an_interval_is_scipys() -> None:
    sample = draws(0).normal(0.9, 0.02, 7)
    low, high = stats.t.interval(0.95, 6, sample.mean(), stats.sem(sample))
    assert interval(sample) == Interval(pytest.approx(sample.mean()), pytest.approx(low), pytest.approx(high), 7, "t")


def test_one_run_has_a_mean_and_no_interval() -> None:
    assert interval([0.8]) == Interval(0.8, None, None, 1)
    assert interval([]) is None


def test_identical_runs_have_an_interval_without_width() -> None:
    assert interval([0.8, 0.8, 0.8]) == Interval(pytest.approx(0.8), pytest.approx(0.8), pytest.approx(0.8), 3, "t")


@pytest.mark.parametrize("n", [2, 3, 5, 10, BOOTSTRAP_FROM - 1])
def test_an_interval_of_few_runs_covers_the_mean_in_95_percent(n: int) -> None:
    assert is_share(covered(draws(n).normal(0.9, 0.02, (2000, n)), 0.9), 0.95)


def test_an_interval_of_many_runs_covers_the_mean_almost_as_often() -> None:
    found = covered(draws(1).normal(0.9, 0.02, (STUDIES, BOOTSTRAP_FROM)), 0.9)
    assert 0.91 < found.mean() < 0.96


def test_the_bootstrap_takes_over_where_it_is_no_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of which one in ten collapses: at 10 the bootstrap is no help, at 50 it covers and Student's t does not."""

    def collapsing(n: int) -> np.ndarray:
        rng = draws(n)
        return rng.normal(0.9, 0.01, (STUDIES, n)) - 0.3 * (rng.uniform(size=(STUDIES, n)) < 0.1)

    many = covered(collapsing(50), 0.87).mean()
    monkeypatch.setattr("autoaug.compare._statistics.BOOTSTRAP_FROM", 1000)
    assert many > covered(collapsing(50), 0.87).mean() + 0.02
    normal = draws(2).normal(0.9, 0.02, (STUDIES, 10))
    by_t = covered(normal, 0.9).mean()
    monkeypatch.setattr("autoaug.compare._statistics.BOOTSTRAP_FROM", 2)
    assert covered(normal, 0.9).mean() < by_t - 0.02


def test_a_bootstrap_is_named_and_lies_where_the_runs_lie() -> None:
    sample = 1 - draws(3).exponential(0.02, 40)
    found = interval(sample)
    assert found
    assert found.method == "bootstrap"
    assert found.low is not None
    assert found.high is not None
    assert found.mean - found.low > found.high - found.mean, "it follows the longer tail, below"
    backwards = interval(sample[::-1])
    assert backwards
    assert (backwards.low, backwards.high) == (found.low, found.high), "the order of the runs does not matter"
    by_t = stats.t.interval(0.95, 39, sample.mean(), stats.sem(sample))
    assert (found.low, found.high) == (pytest.approx(by_t[0], abs=0.004), pytest.approx(by_t[1], abs=0.004))
    assert interval([0.5] * 40) == Interval(0.5, 0.5, 0.5, 40, "bootstrap")


def test_p_is_scipys() -> None:
    samples = draws(4).normal(0.01, 0.02, (50, 6))
    assert p_values(samples) == pytest.approx(stats.ttest_1samp(samples, 0.0, axis=-1).pvalue)


def test_holm_by_hand() -> None:
    # sorted: .01 x 4, .02 x 3, .03 x 2, .9; none may fall below the one before it
    assert holm(np.array([0.02, 0.01, 0.9, 0.03])) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm(np.array([0.4])) == pytest.approx([0.4])
    assert holm(np.array([[0.5, 0.6], [0.01, 0.5]])) == pytest.approx(np.array([[1.0, 1.0], [0.02, 0.5]]))
    assert holm(np.array([])).size == 0


@pytest.mark.parametrize("strategies", [1, 2, 7])
@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_where_all_are_equal_a_study_finds_a_difference_in_at_most_5_percent(strategies: int, seeds: int) -> None:
    corrected = holm(p_values(studies(seeds, [0.0] * strategies, seed=seeds)))
    assert at_most((corrected < 0.05).any(axis=-1), 0.05), "the share of studies with any false alarm"


def test_without_the_correction_there_would_be_many_false_alarms() -> None:
    assert (p_values(studies(3, [0.0] * 7)) < 0.05).any(axis=-1).mean() > 0.12


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_accuracies_over_few_test_images_raise_no_false_alarms(seeds: int) -> None:
    """Accuracies are multiples of 1/100 here, so the differences of a study coincide often."""
    samples = np.round(studies(seeds, [0.0, 0.0, 0.0], 4000), 2)
    coincide = (np.ptp(samples, axis=-1) < 1e-9) & (np.abs(samples.mean(axis=-1)) > 1e-9)
    assert seeds > 3 or coincide.mean() > 0.005, "the case is there"
    assert at_most((holm(p_values(samples)) < 0.05).any(axis=-1), 0.05)


def test_a_true_difference_is_found_as_often_as_theory_says_and_its_interval_covers_it() -> None:
    seeds, advantage = 5, 0.05
    samples = studies(seeds, [advantage], 2000)[:, 0]
    shift, critical = advantage / SPREAD * seeds**0.5, stats.t.isf(0.025, seeds - 1)
    power = stats.nct.sf(critical, seeds - 1, shift)
    assert 0.7 < power < 0.9
    assert is_share((p_values(samples) < 0.05) & (samples.mean(axis=-1) > 0), power)
    assert is_share(covered(samples, advantage), 0.95)


def test_a_good_strategy_among_equal_ones_is_found_and_they_are_not() -> None:
    found = holm(p_values(studies(6, [0.1, 0.0, 0.0]))) < 0.05
    assert found[:, 0].mean() > 0.95
    assert at_most(found[:, 1:].any(axis=-1), 0.05)


@pytest.mark.parametrize("comparisons", [1, 4])
@pytest.mark.parametrize("effect", [0.3, 0.7, 2.0])
def test_the_seeds_that_are_advised_find_the_difference_in_80_percent(effect: float, comparisons: int) -> None:
    n = seeds_needed(effect, 1.0, comparisons)
    assert n
    samples = draws(n).normal(effect, 1.0, (4000, n))
    found = (p_values(samples) < 0.05 / comparisons).mean()
    assert 0.78 < found < (0.83 if n > 10 else 0.97), "few seeds come in large steps"
    fewer = p_values(samples[:, :-1]) < 0.05 / comparisons
    assert fewer.mean() < 0.82, "one seed less would not do"


def test_advised_seeds_grow_with_the_spread_and_the_number_of_strategies() -> None:
    # a textbook value: effect 0.5, two-sided 5 %, power 80 % takes 34 pairs
    assert seeds_needed(0.5, 1.0) == 34
    assert seeds_needed(-0.5, 1.0) == 34
    assert (seeds_needed(0.5, 1.0, 5) or 0) > 34
    assert seeds_needed(0.05, 1.0) is None, "about 3,140: too many to advise"
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e6, 1.0) == 2


def test_verdicts_are_by_the_corrected_p() -> None:
    good, close, bad = ([0.05, 0.06, 0.055], [0.05, 0.12, 0.08], [-0.3, -0.31, -0.305])
    found = judge({name: of_differences(np.array(s)) for name, s in zip("gcb", (good, close, bad), strict=True)})
    assert [each and each.verdict for each in found.values()] == ["better", "not enough evidence", "worse"]
    assert found["c"]
    assert found["c"].p is not None
    assert found["c"].p_holm == found["c"].p, "the last of Holm's steps"
    assert found["c"].seeds_needed == seeds_needed(found["c"].difference, found["c"].sd or 0, 3)
    assert found["g"]
    assert found["g"].seeds_needed is None
    less_is_better = judge({"g": of_differences(np.array(good))}, higher_is_better=False)
    assert less_is_better["g"]
    assert less_is_better["g"].verdict == "worse"


def test_what_cannot_be_judged_is_not() -> None:
    one, none = of_differences(np.array([0.1])), of_differences(np.array([]))
    same = of_differences(np.array([0.1, 0.1]))
    assert judge({"one": one, "none": none}) == {"one": Difference(0.1, None, None, None), "none": None}
    assert judge({}) == {}
    found = judge({"one": one, "same": same})["same"]
    assert found
    assert (found.p, found.p_holm, found.sd) == (0.5, 0.5, 0.0), "the one that has no p is not counted"
    assert (found.verdict, found.seeds_needed) == ("not enough evidence", None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_run_that_diverged_is_neither_left_out_nor_does_it_spoil_the_others(value: float) -> None:
    """A log-likelihood may be infinite. The mean says so, and there is no interval and no p."""
    found = interval([0.5, value, 0.6])
    assert found
    assert not np.isfinite(found.mean)
    assert (found.low, found.high, found.n) == (None, None, 3)
    good = of_differences(np.array([0.05, 0.06, 0.055]))
    judged = judge({"bad": of_differences(np.array([0.1, value, 0.2])), "good": good})
    assert judged["bad"]
    assert (judged["bad"].p, judged["bad"].verdict, judged["bad"].seeds_needed) == (None, "not enough evidence", None)
    assert good
    assert judged["good"]
    assert judged["good"].p_holm == good.p
