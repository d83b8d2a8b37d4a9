"""What a scheduler decides follows from the outcomes of a strategy alone: no storage, no training."""

from typing import Any

import pytest
from studies_for_tests import tiny

from autoaug import Budget, Study
from autoaug.execution._budgeting import HOPELESS, Account, Ended, charged
from autoaug.execution._scheduling import (
    chosen_point,
    finals_over,
    is_outdated,
    points_to_rerun,
    reruns_over,
    search_over,
    urgency,
)
from autoaug.record import UNITS, Outcome, TrialKind
from autoaug.strategies import randaugment

RERUN, FINAL = TrialKind.RERUN, TrialKind.FINAL
GOOD, BETTER = {"policy.m": 0.3}, {"policy.m": 0.7}


def trial(number: int, value: float | None = None, **more: Any) -> Outcome:
    state = "RUNNING" if value is None else "COMPLETE"
    return Outcome(
        **{"study": "tiny", "strategy": "ra", "trial": number, "root": number, "state": state} | more, value=value
    )


def study(proxy: bool = False, **more: Any) -> Study:
    strategy = randaugment().proxied(epochs=1) if proxy else randaugment()
    return tiny(**{"strategies": {"ra": strategy}, "budget": Budget(trials=2), "seeds": 2, "rerun": 1} | more)


def account(*outcomes: Outcome, predicted: float | None = None, **more: Any) -> Account:
    ended = Ended(maximize=True)
    for outcome in outcomes:
        if outcome.over:
            ended.add(outcome)
    unfinished = [outcome for outcome in outcomes if not outcome.over]
    spent = {unit: charged(outcomes, unit) for unit in UNITS}
    return Account(study(**more), "ra", ended, unfinished, spent, predicted)


def test_a_trial_that_waits_goes_before_everything_and_then_who_has_used_least() -> None:
    half, nothing, waits = account(trial(0, 0.5)), account(), account(trial(0, 0.5), trial(1, state="WAITING"))
    assert sorted([half, nothing, waits], key=urgency) == [waits, nothing, half]
    assert (half.share_spent(), nothing.share_spent()) == (0.5, 0.0)
    assert waits.may_begin(), "its budget of points is used, and one of them waits"
    assert not account(trial(0, 0.5), trial(1)).may_begin()


def test_attempts_at_one_trial_are_one_point() -> None:
    lost = trial(0, state="FAIL", attempt=1)
    found = account(lost, trial(1, 0.5, root=0, attempt=2))
    assert found.points() == 1
    assert not found.is_hopeless()


def test_so_many_failures_in_a_row_end_a_search() -> None:
    failed = [trial(k, state="FAIL") for k in range(HOPELESS)]
    many = Budget(trials=100)
    assert account(*failed[1:], budget=many).may_begin()
    assert not account(*failed, budget=many).may_begin()
    assert account(*failed, trial(HOPELESS, 0.5), budget=many).may_begin()


@pytest.mark.parametrize(("limit", "may"), [(31, True), (29, False)])
def test_a_trial_is_paid_for_with_those_that_run_at_once(limit: float, may: bool) -> None:
    """One of 10 seconds is over; one runs and one more would begin."""
    budget = Budget(gpu_seconds=limit)
    assert account(trial(0, 0.5, gpu_seconds=10.0), trial(1), budget=budget).may_begin() is may


def test_final_runs_are_charged_to_nobody() -> None:
    outcomes = [trial(0, 0.5, gpu_seconds=1.0), trial(0, 0.5, kind=RERUN, gpu_seconds=2.0)]
    assert charged([*outcomes, trial(0, 0.5, kind=FINAL, gpu_seconds=4.0)], "gpu_seconds") == 3.0


def test_what_is_set_aside_for_re_runs_is_what_is_known_best() -> None:
    search = [
        trial(0, 0.5, proxy=True, epochs=1, gpu_seconds=3.0),
        trial(1, 0.6, proxy=True, epochs=1, gpu_seconds=5.0),
    ]
    complete = trial(0, 0.7, kind=RERUN, gpu_seconds=40.0)
    given: dict[str, Any] = {"proxy": True, "rerun": 2, "space": {}}
    epochs = study(**given).task.last_epoch
    assert account(*search, **given).reserved("gpu_seconds") == 2 * epochs * 4.0, "by an epoch of the search"
    assert account(*search, predicted=11.0, **given).reserved("gpu_seconds") == 2 * 11.0, "by what was measured before"
    assert account(*search, complete, predicted=11.0, **given).reserved("gpu_seconds") == 40.0, "by what one has cost"
    assert account(*search, complete, trial(1, 0.7, kind=RERUN), **given).reserved("gpu_seconds") == 0.0
    assert account(*search).reserved("gpu_seconds") == 0.0, "without a proxy there are none"


def test_the_best_points_of_a_proxy_are_trained_in_full_and_one_of_them_is_tested() -> None:
    search = (trial(0, 0.9, point=GOOD, proxy=True), trial(1, 0.8, point=BETTER, proxy=True))
    both = account(*search, proxy=True, rerun=2)
    assert [outcome.point for outcome in points_to_rerun(both)] == [GOOD, BETTER]
    assert chosen_point(both) is None, "no value on a proxy is a result"
    one = account(*search, trial(0, 0.5, point=GOOD, kind=RERUN), proxy=True, rerun=2)
    assert [outcome.point for outcome in points_to_rerun(one)] == [BETTER]
    assert not reruns_over(one)
    reruns = (trial(0, 0.5, point=GOOD, kind=RERUN), trial(1, 0.6, point=BETTER, kind=RERUN))
    done = account(*search, *reruns, proxy=True, rerun=2)
    assert reruns_over(done)
    assert chosen_point(done) == reruns[1]


def test_a_better_point_is_tested_only_where_that_is_asked_for() -> None:
    finals = [trial(k, 0.4, point=GOOD, kind=FINAL, seed=k) for k in range(2)]
    first, second = trial(0, 0.5, point=GOOD), trial(1, 0.6, point=BETTER)
    assert not is_outdated(account(first, *finals, budget=Budget(trials=1)))
    later = account(first, second, *finals)
    assert search_over(later)
    assert chosen_point(later) == first
    assert finals_over(later)
    assert is_outdated(later)
    assert chosen_point(later, retest=True) == second
    assert not finals_over(later, retest=True)
    assert not finals_over(account(first, *finals[:1]))
    assert not finals_over(account(first, *finals, trial(2, kind=FINAL, point=GOOD, seed=0, attempt=2)))
