"""Looking again at growing numbers of final runs: at most 5 % of false wins, and what the storage counts as a look.

A binomial test says whether a share of simulated studies may be what theory gives; it is fixed by its generator.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from chance_for_tests import at_most, draws, is_share, studies
from scipy import stats

from autoaug.compare._looks import LEAST, RESERVE, Looks, share
from autoaug.compare._statistics import holm, limits, of_differences, p_values, seeds_needed

EVERY = tuple(range(3, 21))
"""Final runs of somebody who looks after each of them."""


def levels(looks: Sequence[int], planned: int, alpha: float = 0.05) -> list[float]:
    """The uncorrected p that each look needs."""
    return [Looks(tuple(looks[: k + 1]), planned).level(alpha) for k in range(len(looks))]


def p_at(samples: np.ndarray, looks: Sequence[int]) -> np.ndarray:
    """p of the first runs of each sample (..., run) at each look (..., look)."""
    return np.stack([p_values(samples[..., :runs]) for runs in looks], axis=-1)


@pytest.mark.parametrize("looks", [EVERY, (3, 4), (5, 12), (2, 7, 20)])
@pytest.mark.parametrize("planned", [3, 5, 12, 20])
def test_whoever_looks_again_and_again_finds_a_false_win_in_at_most_5_percent(
    looks: tuple[int, ...], planned: int
) -> None:
    won = (p_at(draws(0).normal(0, 0.02, (20_000, 20)), looks) < levels(looks, planned)).any(axis=-1)
    assert is_share(won, 0.05 * share(looks[-1], planned)), "the levels are exact: all that may be spent is"
    assert at_most(won, 0.05)


def test_without_the_correction_looking_after_every_run_wins_falsely_in_one_study_of_five() -> None:
    won = (p_at(draws(1).normal(0, 0.02, (4000, 20)), EVERY) < 0.05).any(axis=-1)
    assert won.mean() > 0.2


@pytest.mark.parametrize("planned", [3, 20])
def test_looks_and_strategies_are_corrected_together(planned: int) -> None:
    """Where nothing differs, Holm finds something where its first step does, which is at a third of 5 % here."""
    p = p_at(studies(20, [0.0, 0.0, 0.0], 10_000, seed=5), EVERY)
    assert at_most((p < levels(EVERY, planned, 0.05 / 3)).any(axis=(1, 2)), 0.05)
    few, last = Looks(EVERY, planned), p[0, :, -1]
    stepped = holm(np.array([few.corrected(each) for each in last]))
    assert ((stepped < 0.05).any()) == (last < few.level(0.05 / 3)).any()


def test_accuracies_over_few_test_images_raise_no_false_alarms_either() -> None:
    samples = np.round(draws(2).normal(0, 0.02, (10_000, 20)), 2)
    assert at_most((p_at(samples, EVERY) < levels(EVERY, 5)).any(axis=-1), 0.05)


def test_the_intervals_of_all_looks_hold_the_true_difference_in_95_percent() -> None:
    looks, planned = (3, 5, 8, 12), 5
    samples = draws(3).normal(0.01, 0.02, (10_000, 12))
    held = np.ones(len(samples), dtype=bool)
    for runs, level in zip(looks, levels(looks, planned), strict=True):
        low, high = limits(samples[:, :runs], confidence=1 - level)
        held &= (low <= 0.01) & (high >= 0.01)
    assert is_share(~held, 0.05 * share(12, planned))


def test_looking_on_the_way_to_the_planned_number_costs_little() -> None:
    """Where 20 runs and one look find a difference in 80 %, a look after every run finds it in 74 %, with 16 runs."""
    samples = draws(4).normal(0.66, 1.0, (10_000, 20))
    once = p_at(samples, (20,))[:, 0] < levels((20,), 20)[0]
    won = p_at(samples, EVERY) < levels(EVERY, 20)
    assert 0.77 < once.mean() < 0.81
    assert 0.72 < won.any(axis=-1).mean() < once.mean()
    first = np.where(won.any(axis=-1), np.take(EVERY, won.argmax(axis=-1)), 20)
    assert first.mean() < 16.5


def test_more_runs_than_planned_find_more() -> None:
    samples = draws(5).normal(1.0, 1.0, (10_000, 12))
    planned, more = (p_at(samples, (5, 12)) < levels((5, 12), 5)).T
    assert 0.35 < planned.mean() < 0.41
    assert (planned | more).mean() > planned.mean() + 0.15


def test_one_look_at_the_planned_number_costs_a_tenth() -> None:
    assert RESERVE == 0.1
    one = Looks((5,), 5)
    assert one.level(0.05) == pytest.approx(0.045)
    assert one.corrected(0.027) == pytest.approx(0.03)
    # half way, an eighth of nine tenths
    assert Looks((5,), 10).level(0.05) == pytest.approx(0.05 * 0.9 / 8)


@pytest.mark.parametrize("p", [0.5, 0.04, 1e-3, 1e-6])
@pytest.mark.parametrize("looks", [Looks((3, 5, 8), 3), Looks((2, 30), 40), Looks(EVERY, 20)])
def test_a_corrected_p_is_the_alpha_at_which_the_look_is_a_finding(looks: Looks, p: float) -> None:
    found = looks.corrected(p)
    assert p < found <= 1
    assert found == 1 or looks.level(found) == pytest.approx(p, rel=1e-3)


def test_p_at_its_ends_stay_in_their_place() -> None:
    looks = Looks((3, 5, 8), 3)
    assert (looks.corrected(1.0), looks.corrected(0.0)) == (1.0, LEAST)
    rising = [looks.corrected(p) for p in (1e-5, 1e-4, 1e-3, 0.01, 0.1)]
    assert rising == sorted(rising)


def test_the_runs_that_are_advised_after_a_look_find_the_difference_in_80_percent() -> None:
    seen = Looks((5,), 5)
    n, at_first = seeds_needed(1.0, 1.0, looks=seen), seeds_needed(1.0, 1.0)
    assert n
    assert at_first
    assert n > at_first
    samples = draws(6).normal(1.0, 1.0, (10_000, n))
    assert 0.79 < (p_at(samples, (n,))[:, 0] < seen.then(n).level(0.05)).mean() < 0.84


def test_a_difference_says_what_its_looks_make_of_it() -> None:
    sample = draws(7).normal(0.02, 0.02, 8)
    looks = Looks((3, 5, 8), 3)
    plain, seen = of_differences(sample), of_differences(sample, looks)
    assert plain
    assert seen
    assert (seen.p, seen.difference, seen.sd) == (plain.p, plain.difference, plain.sd)
    assert seen.p_looks == pytest.approx(looks.corrected(seen.p or 0))
    low, high = stats.t.interval(1 - looks.level(0.05), 7, sample.mean(), stats.sem(sample))
    assert (seen.low, seen.high) == (pytest.approx(low), pytest.approx(high))
