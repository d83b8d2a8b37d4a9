"""Trials are read from a few statements, and are what Optuna makes of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from optuna.trial import FrozenTrial, TrialState
from postgres_server import needs_postgres
from rich_study import POINTS, SPACE, rich_server, write_rich

from autoaug.compare import _records as records
from autoaug.compare import anytime, stored_comparison, to_json
from autoaug.record import LEADERBOARD, Outcome, Record, TrialKind
from autoaug.store import Store, delete_study, epochs_of, id_of_trial
from autoaug.store._outcome import READ, every_attempt


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A storage with a rich study."""
    if request.param == "sqlite":
        where = f"sqlite:///{tmp_path_factory.mktemp('rich') / 'x.db'}"
        write_rich(Store(where))
        yield where
    else:
        with rich_server() as there:
            yield there


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store(url)
    yield opened
    opened.close()


def through_optuna(store: Store) -> list[Outcome]:
    """The outcomes of the study, from the objects that Optuna makes of every row."""
    definition = store.definition("rich")
    assert definition
    return [each.outcome for each in every_attempt("rich", definition, store.work("rich"), store.trials)]


def test_outcomes_are_those_of_optunas_trials(store: Store) -> None:
    outcomes = store.outcomes("rich")
    assert outcomes == through_optuna(store)
    assert [list(outcome.point) for outcome in outcomes] == [list(each.point) for each in through_optuna(store)]
    assert {outcome.state for outcome in outcomes} == {"COMPLETE", "FAIL", "PRUNED"}
    assert {outcome.kind for outcome in outcomes} == set(TrialKind)
    assert max(outcome.attempt for outcome in outcomes) == 3
    assert [outcome.unapplied for outcome in outcomes if outcome.unapplied] == [("mix.alpha",)] * 3
    assert [outcome.warning for outcome in outcomes if outcome.warning] == ["a checkpoint could not be read"] * 3


@pytest.mark.parametrize("substudy", ["none", "ra", "proxy", "proxy/full", LEADERBOARD, "never run"])
def test_a_trial_is_optunas_without_what_is_large(store: Store, substudy: str) -> None:
    def plain(trial: FrozenTrial, read: set[str]) -> list[Any]:
        attributes = {name: value for name, value in trial.user_attrs.items() if name in read}
        times = (trial.datetime_start, trial.datetime_complete)
        known = [trial.number, id_of_trial(trial), trial.state, trial.values, times, trial.distributions, attributes]
        return [*known, [(name, value, type(value)) for name, value in trial.params.items()]]

    whole, lean = store.trials("rich", substudy), store.lean_trials("rich", substudy)
    assert [plain(trial, READ) for trial in lean] == [plain(trial, READ) for trial in whole]
    assert not any(trial.intermediate_values or "applied" in trial.user_attrs for trial in lean)


def statements(store: Store) -> list[str]:
    """What is asked of the storage from now on."""
    asked: list[str] = []
    sql.event.listen(store.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    return asked


def test_as_many_statements_are_asked_of_many_trials_as_of_few(store: Store) -> None:
    asked = statements(store)
    store.attempts("rich")
    substudies = 5
    assert sum("FROM trial" in each for each in asked) == 4 * substudies
    assert not any("intermediate" in each for each in asked)


def test_trials_that_have_ended_are_read_once(store: Store) -> None:
    before = store.outcomes("rich")
    asked = statements(store)
    assert store.outcomes("rich") == before
    assert not any("trial_params" in each or "trial_values" in each for each in asked)


def test_a_comparison_reads_no_epoch_and_no_intermediate_value_until_a_figure_asks(store: Store) -> None:
    asked = statements(store)
    found = stored_comparison([(store, "rich")], with_importance=False)
    assert to_json(found)["strategies"]
    assert not any("intermediate" in each or "autoaug_epochs.policy" in each for each in asked)
    assert list(found.records) == store.epochs("rich")


def trainings(epochs: Iterable[Record]) -> dict[tuple[str, int, str], list[Record]]:
    """The epochs of each training."""
    found: dict[tuple[str, int, str], list[Record]] = defaultdict(list)
    for record in epochs:
        found[record.substudy, record.trial, record.training].append(record)
    return found


def test_of_many_epochs_those_that_are_looked_at_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stored_comparison([(store, "rich")], with_importance=False)
    everything = list(whole.records)
    monkeypatch.setattr(records, "MOST_EPOCHS", 100)
    monkeypatch.setattr(records, "IN_FULL", 2)
    found = stored_comparison([(store, "rich")], with_importance=False)
    by_training, thinned = trainings(everything), trainings(found.records)
    assert list(thinned) == list(by_training), "each training is there, in the order in which they are stored"
    in_full = {each for each in by_training if thinned[each] == by_training[each]}
    assert {each for each in in_full if each[0] in ("ra", "none")} == {
        *(("ra", number, "") for number in (10, 11)),
        *(("none", number, "") for number in (11, 14)),
    }, "the best two of each search"
    assert {each for each in by_training if each[0] in (LEADERBOARD, "proxy/full")} <= in_full
    for each in set(by_training) - in_full:
        (last,), epochs = thinned[each], by_training[each]
        sums = {name: sum(getattr(e, name) for e in epochs) for name in ("gpu_seconds", "wall_seconds", "images")}
        assert last == replace(epochs[-1], policy=None, **sums)
    assert anytime(found.records, outcomes=found.outcomes) == anytime(everything, outcomes=found.outcomes)


def test_epochs_of_some_trials(store: Store) -> None:
    trial = store.trials("rich", "ra")[3]
    found = epochs_of(store, [id_of_trial(trial)])
    assert found == [record for record in store.epochs("rich") if (record.substudy, record.trial) == ("ra", 3)]
    assert len(found) == 12


def test_a_trial_that_takes_the_place_of_one_that_was_deleted_is_read(tmp_path: Path) -> None:
    """SQLite gives the numbers of what was deleted once more."""
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    for value in (0.25, 0.5):
        store.define("s", {"task": {}, "metric": "val_accuracy", "seed": 0, "spaces": {"ra": {}}})
        search = store.open("s", "ra", "maximize")
        search.enqueue_trial(POINTS[0])
        trial = search.ask(SPACE)
        assert store.outcomes("s")[0].state == "RUNNING"
        store.finish(id_of_trial(trial), TrialState.COMPLETE, [value])
        assert [(outcome.state, outcome.value) for outcome in store.outcomes("s")] == [("COMPLETE", value)]
        delete_study(store, "s")
