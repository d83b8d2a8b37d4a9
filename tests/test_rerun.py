"""A search on a proxy: its best points are trained in full before one of them is named."""

from dataclasses import replace
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from studies_for_tests import tiny

from autoaug import Budget, Study
from autoaug.compare._winner import winning_policy
from autoaug.execution import Event, Options, is_over
from autoaug.executors import run
from autoaug.learners import learned
from autoaug.record import Outcome, TrialKind, best_complete, last_attempts
from autoaug.store import Store
from autoaug.strategies import none, online_score, randaugment


def proxied(**more: Any) -> Study:
    """RandAugment searched for one epoch and trained for three, beside an arm without a proxy."""
    given = {
        "strategies": {"none": none(), "ra": randaugment().proxied(epochs=1)},
        "space": {"mix.alpha": FloatDistribution(0, 1)},
        "budget": Budget(trials=4),
        "rerun": 2,
        "seeds": 1,
    }
    study = tiny(**given | more)
    return replace(study, task=replace(study.task, epochs=3))


def of(outcomes: list[Outcome], strategy: str) -> tuple[list[Outcome], list[Outcome], list[Outcome]]:
    """A strategy's search, re-runs and final runs."""
    mine = [outcome for outcome in outcomes if outcome.strategy == strategy]
    return (
        [o for o in mine if o.kind is TrialKind.SEARCH],
        [o for o in mine if o.kind is TrialKind.RERUN],
        [o for o in mine if o.kind is TrialKind.FINAL],
    )


def test_the_best_points_of_a_proxy_are_trained_in_full_and_the_best_of_those_wins(
    store: Store, options: Options
) -> None:
    study = proxied()
    run(study, store, options=options)
    search, reruns, finals = of(store.outcomes("tiny"), "ra")
    assert [o.epochs for o in search] == [1] * 4
    assert [o.epochs for o in reruns] == [3] * 2
    assert [o.epochs for o in finals] == [3]
    best_first = sorted(search, key=lambda o: -(o.value or 0))
    assert [o.point for o in reruns] == [o.point for o in best_first[:2]]
    assert len({o.seed for o in reruns}) == 1
    assert not {o.seed for o in reruns} & {o.seed for o in search}
    winner = best_complete(search + reruns, maximize=True)
    assert winner == max(reruns, key=lambda o: o.value or 0)
    assert finals[0].point == winner.point
    assert best_complete(search, maximize=True) is None, "a proxy's value names no winner"
    tree = winning_policy(study, store, "ra")
    assert tree.provenance["epochs"] == 3
    assert is_over(study, store)
    assert not list(options.artifacts.rglob("*.pt"))
    _, without_a_proxy, _ = of(store.outcomes("tiny"), "none")
    assert without_a_proxy == []


def test_re_runs_are_stored_apart_and_count_as_cost_of_the_search(store: Store, options: Options) -> None:
    study = proxied(strategies={"ra": randaugment().proxied(epochs=1)})
    run(study, store, options=options)
    search, reruns, _ = of(store.outcomes("tiny"), "ra")
    assert [len(store.trials("tiny", place)) for place in ("ra", "ra/full", "leaderboard")] == [4, 2, 1]
    assert store.spent("tiny", "ra") == pytest.approx(sum(o.gpu_seconds for o in search + reruns))
    assert sum(record.kind is TrialKind.RERUN for record in store.epochs("tiny")) == 2 * 3
    assert store.archive("tiny") == "tiny~1"
    assert of(store.outcomes("tiny~1"), "ra")[1] == [replace(o, study="tiny~1") for o in reruns]
    assert store.outcomes("tiny") == []


def test_more_trials_re_run_only_the_points_that_were_not(store: Store, options: Options) -> None:
    study = proxied(strategies={"ra": randaugment().proxied(epochs=1)})
    run(replace(study, budget=Budget(trials=2)), store, options=options)
    run(study, store, options=options)
    search, reruns, _ = of(store.outcomes("tiny"), "ra")
    best = {tuple(o.point.items()) for o in sorted(search, key=lambda o: -(o.value or 0))[:2]}
    first = {tuple(o.point.items()) for o in search[:2]}
    assert len(reruns) == len(best | first)
    assert {tuple(o.point.items()) for o in reruns} == best | first


@pytest.mark.parametrize("after", [5, 7])
def test_an_interrupted_re_run_goes_on(store: Store, options: Options, after: int) -> None:
    study = proxied(strategies={"ra": randaugment().proxied(epochs=1)})
    whole = Store(f"sqlite:///{options.artifacts}-whole.db")
    run(study, whole, options=options)
    left = [after]

    def interrupt(event: Event) -> None:
        left[0] -= event.record is not None
        if not left[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study, store, options=options, listen=interrupt)
    assert [o.kind for o in store.outcomes("tiny") if o.state == "FAIL"] == [TrialKind.RERUN]
    run(study, store, options=options)

    def found(store: Store) -> list[Any]:
        return sorted(
            (o.substudy, o.root, o.value)
            for o in last_attempts(store.outcomes("tiny"))
            if o.kind is not TrialKind.FINAL
        )

    assert found(store) == found(whole)


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_the_policy_that_a_learner_found_in_a_re_run_is_the_one_of_its_winner(store: Store, options: Options) -> None:
    study = proxied(strategies={"online": online_score().proxied(epochs=2)}, space={}, budget=Budget(trials=1))
    run(study, store, options=options)
    _, (rerun,), _ = of(store.outcomes("tiny"), "online")
    last = [record for record in store.epochs("tiny") if record.kind is TrialKind.RERUN][-1]
    assert (rerun.point, last.epoch) == ({}, 3)
    assert winning_policy(study, store).root == learned([last]).root


def test_a_proxy_may_not_change_under_the_name_of_a_study(store: Store, options: Options) -> None:
    run(proxied(budget=Budget(trials=1)), store, options=options)
    changed = proxied(budget=Budget(trials=1), strategies={"ra": randaugment().proxied(epochs=2)})
    with pytest.raises(ValueError, match=r"the proxy of 'ra', epochs = 1, and now has 2: .*--fresh"):
        run(changed, store, options=options)
    with pytest.raises(ValueError, match=r"the proxy of 'ra', epochs = 1, and now has absent"):
        run(proxied(budget=Budget(trials=1), strategies={"ra": randaugment()}), store, options=options)


def test_what_cannot_be_a_proxy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the proxy of strategy 'ra' of study 'tiny': Task.epochs is 0"):
        proxied(strategies={"ra": randaugment().proxied(epochs=0)})
    with pytest.raises(ValueError, match=r"Study.rerun is 0: give the number of points"):
        proxied(rerun=0)
