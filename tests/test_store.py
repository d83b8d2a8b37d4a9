"""The storage: what is written can be read, what has ended stays as it is, and no password is shown."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from autoaug.record import Outcome, Record, TrialKind
from autoaug.store import Loss, Store, open_retrying, resolve, show_url
from autoaug.store._url import portable

DEFINITION = {
    "task": {"data": "digits", "epochs": 3},
    "metric": "val_accuracy",
    "seed": 0,
    "baseline": "none",
    "seeds": 2,
    "budget": {"trials": 2},
    "spaces": {"none": {"mix.alpha": "0 to 1"}, "ra": {}},
}
SPACE = {"mix.alpha": FloatDistribution(0, 1)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'x.db'}"


@pytest.fixture
def store(url: str) -> Store:
    opened = Store(url)
    opened.define("s", DEFINITION)
    return opened


def epoch(number: int = 1, **more: Any) -> Record:
    given = {"study": "s", "strategy": "none", "trial": 0, "epoch": number, "phase": "augment", "gpu_seconds": 0.5}
    return Record(**given | {"metrics": {"val_accuracy": 0.1 * number}, "images": 100, "seed": 7} | more)


def ask(store: Store) -> Any:
    return store.open("s", "none", "maximize").ask(SPACE)


def test_a_trial_and_its_epochs_come_back_as_they_were(store: Store, url: str) -> None:
    trial = ask(store)
    records = [epoch(1), epoch(2, policy={"op": "rotate"}, phase="refine")]
    for record in records:
        store.write_epoch(trial._trial_id, record)
    assert store.finish(trial._trial_id, TrialState.COMPLETE, [0.2], epochs=2)
    again = Store(url)
    assert again.epochs("s") == records
    assert again.outcomes("s") == [
        Outcome(
            study="s",
            strategy="none",
            trial=0,
            root=0,
            state="COMPLETE",
            point=trial.params,
            value=0.2,
            metrics={"val_accuracy": 0.2},
            gpu_seconds=1.0,
            epochs=2,
            images=200,
        )
    ]


def test_an_epoch_that_is_repeated_replaces_the_first(store: Store) -> None:
    trial = ask(store)
    for value in (0.1, 0.3):
        store.write_epoch(trial._trial_id, epoch(metrics={"val_accuracy": value}))
    assert [record.metrics["val_accuracy"] for record in store.epochs("s")] == [0.3]


def test_the_cost_of_a_search_counts_running_and_lost_work_and_no_final_run(store: Store) -> None:
    for number, kind in [(1, TrialKind.SEARCH), (2, TrialKind.RERUN), (4, TrialKind.FINAL)]:
        store.write_epoch(ask(store)._trial_id, epoch(number, kind=kind, gpu_seconds=number))
    assert store.spent("s", "none") == 3.0
    assert [record.kind for record in store.epochs("s")] == list(TrialKind)
    assert sum(record.gpu_seconds for record in store.epochs("s") if record.kind.charged) == 3.0
    assert store.spent("s", "ra") == 0.0


def test_what_has_ended_cannot_be_written_again(store: Store) -> None:
    trial = ask(store)
    assert store.report(trial._trial_id, 1, 0.5)
    assert store.finish(trial._trial_id, TrialState.FAIL, reason="cancelled")
    assert not store.report(trial._trial_id, 2, 0.9)
    assert not store.finish(trial._trial_id, TrialState.COMPLETE, [0.9], epochs=2)
    (outcome,) = store.outcomes("s")
    assert (outcome.state, outcome.reason, outcome.value) == ("FAIL", "cancelled", None)


def test_a_trial_that_dies_by_itself_is_queued_again_with_its_point_and_at_most_three_times(store: Store) -> None:
    search = store.open("s", "none", "maximize")
    trial = search.ask(SPACE)
    trial.report(0.4, 1)
    point, seen = trial.params, []
    for attempt in (1, 2, 3):
        seen.append((trial.number, trial.user_attrs.get("attempt", 1), trial.params))
        became = TrialState.WAITING if attempt < 3 else TrialState.FAIL
        assert store.requeue(search, trial._trial_id, "lost", "own") == became
        if attempt < 3:
            trial = search.ask(SPACE)
    assert seen == [(0, 1, point), (1, 2, point), (2, 3, point)]
    outcomes = store.outcomes("s")
    assert [(o.root, o.attempt, o.state, o.reason) for o in outcomes] == [
        (0, 1, "FAIL", "lost"),
        (0, 2, "FAIL", "lost"),
        (0, 3, "FAIL", "lost, 3 times without progress"),
    ]
    assert search.trials[1].intermediate_values == {1: 0.4}, "the successor keeps what was acknowledged"


def test_requeueing_a_trial_that_has_ended_does_nothing(store: Store) -> None:
    search = store.open("s", "none", "maximize")
    trial = search.ask(SPACE)
    search.tell(trial, 0.5)
    assert store.requeue(search, trial._trial_id, "lost") is None
    assert len(search.trials) == 1


def lose(store: Store, loss: Loss, reached: int = 0) -> TrialState | None:
    """The next attempt at a trial stores an epoch, where it reaches one, and is lost."""
    search = store.open("s", "none", "maximize")
    trial = search.ask(SPACE)
    if reached:
        store.write_epoch(trial._trial_id, Record(study="s", strategy="none", epoch=reached, phase="augment"))
    return store.requeue(search, trial._trial_id, "lost", loss)


def test_a_loss_that_is_not_the_trials_own_costs_no_attempt(store: Store) -> None:
    assert [lose(store, "foreign") for _ in range(15)] == [TrialState.WAITING] * 15
    assert [lose(store, "own") for _ in range(3)] == [TrialState.WAITING, TrialState.WAITING, TrialState.FAIL]


def test_the_count_begins_anew_when_an_attempt_gets_further_than_those_before_it(store: Store) -> None:
    for epoch in (5, 9, 10, 11):
        assert lose(store, "own", epoch) == TrialState.WAITING
    assert lose(store, "own", 11) == TrialState.WAITING, "again up to the same epoch: no progress"
    assert lose(store, "own", 3) == TrialState.WAITING, "nor is one that falls behind"
    assert lose(store, "own", 12) == TrialState.WAITING
    assert [lose(store, "own") for _ in range(3)] == [TrialState.WAITING, TrialState.WAITING, TrialState.FAIL]
    assert store.outcomes("s")[-1].reason == "lost, 3 times without progress"


def test_a_death_that_nobody_saw_is_forgiven_more_often_but_not_for_ever(store: Store) -> None:
    assert [lose(store, "unseen") for _ in range(9)] == [TrialState.WAITING] * 9
    assert lose(store, "foreign") == TrialState.WAITING
    assert lose(store, "unseen") == TrialState.FAIL


def test_a_waiting_trial_is_claimed_once(store: Store) -> None:
    store.enqueue_final("s", "ra", 1, {"policy.n": 2}, source=4)
    (waiting,) = store.trials("s", "leaderboard")
    assert store.claim(waiting._trial_id)
    assert not store.claim(waiting._trial_id)
    (outcome,) = store.outcomes("s")
    assert (outcome.strategy, outcome.seed, outcome.kind, outcome.point) == ("ra", 1, TrialKind.FINAL, {"policy.n": 2})


def test_a_lease_ages_by_the_clock_of_the_server(store: Store) -> None:
    store.beat(5, "host:1")
    lease = store.leases()[5]
    assert lease.owner == "host:1"
    assert 0 <= lease.age < 5
    store.beat(5, "host:2")
    assert store.leases()[5].owner == "host:2"


def test_a_lease_is_taken_by_one_and_only_while_it_is_what_was_seen(store: Store) -> None:
    store.beat(5, "host:1")
    seen = store.leases()[5]
    while store.leases()[5].beat == seen.beat:  # SQLite's clock tells milliseconds
        store.beat(5, "host:1")
    assert not store.take_lease(5, "host:2", seen), "it has given a sign of life"
    seen = store.leases()[5]
    assert [store.take_lease(5, taker, seen) for taker in ("host:2", "host:3")] == [True, False]
    assert store.leases()[5].owner == "host:2"
    assert [store.take_lease(6, taker, None) for taker in ("host:2", "host:3")] == [True, False]
    assert store.leases()[6].owner == "host:2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task": {"data": "digits", "epochs": 4}},
            r"study 's' was run with task epochs = 3, and now has 4: .*--fresh",
        ),
        ({"metric": "val_nll"}, r"metric val_accuracy, and now has val_nll"),
        ({"spaces": {"none": {"mix.alpha": "0 to 2"}}}, r"the space of 'none', mix.alpha = 0 to 1, and now has 0 to 2"),
        ({"spaces": {"none": {}}}, r"mix.alpha = 0 to 1, and now has absent"),
    ],
)
def test_a_study_cannot_change_under_its_name(store: Store, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.define("s", DEFINITION | change)
    assert store.definition("s") == DEFINITION


def test_strategies_may_be_added_and_the_final_runs_that_exist_stay(store: Store) -> None:
    store.enqueue_final("s", "ra", 0, {}, source=0)
    store.define("s", DEFINITION | {"spaces": {"new": {}}, "seeds": 5})
    store.enqueue_final("s", "new", 0, {}, source=0)
    assert store.strategies("s") == ["none", "ra", "new"]
    assert [outcome.strategy for outcome in store.outcomes("s")] == ["ra", "new"]
    assert [trial.params["strategy"] for trial in store.leaderboard("s").trials] == ["ra", "new"]


def test_an_archived_study_keeps_everything_and_frees_its_name(store: Store) -> None:
    trial = ask(store)
    store.write_epoch(trial._trial_id, epoch())
    store.finish(trial._trial_id, TrialState.COMPLETE, [0.1])
    store.define("s2", DEFINITION)
    assert store.archive("s") == "s~1"
    assert store.outcomes("s") == []
    assert store.names() == ["s2", "s~1"]
    assert [outcome.state for outcome in store.outcomes("s~1")] == ["COMPLETE"]
    assert len(store.epochs("s~1")) == 1
    store.define("s", DEFINITION)
    assert ask(store).number == 0
    assert store.archive("s") == "s~2"


def test_a_final_run_reads_the_test_split_once(store: Store) -> None:
    assert store.note_test_read(9, "s", "none", seed=0, root=0, who="me")
    assert store.note_test_read(11, "s", "none", seed=0, root=0, who="me"), "the next attempt at the same run"
    assert not store.note_test_read(12, "s", "none", seed=0, root=1, who="me")
    assert store.test_reads("s") == 1
    assert store.note_test_read(12, "s", "none", seed=0, root=1, who="you", retest=True)
    assert store.note_test_read(13, "s", "none", seed=1, root=2, who="me")
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT trial_id, who, why, at FROM autoaug_test_reads ORDER BY id").all()
    assert [row[:3] for row in rows] == [
        (9, "me", "final run"),
        (12, "you", "retest"),
        (13, "me", "final run"),
    ]
    assert all(abs(row[3] - time.time()) < 60 for row in rows)


def test_references_stand_for_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "sqlite:///a.db")
    (tmp_path / "url").write_text("sqlite:///b.db\n")
    assert resolve("env:WHERE") == "sqlite:///a.db"
    assert resolve(f"file:{tmp_path / 'url'}") == "sqlite:///b.db"
    assert resolve("sqlite:///c.db") == "sqlite:///c.db"


CANARY = "hunter2canary"
SECRET = f"postgresql+psycopg://me:{CANARY}@127.0.0.1:1/nowhere"


@pytest.mark.parametrize(
    ("storage_url", "message"),
    [
        (lambda folder: "env:NOT_SET_ANYWHERE", r"the environment variable NOT_SET_ANYWHERE is not set"),
        (lambda folder: f"file:{folder}/none", r"holds no URL"),
        (lambda folder: f"sqlite:///{folder}/no/such/folder/x.db", r"cannot be opened"),
        (lambda folder: "nonsense", r"'nonsense' is no storage URL: write sqlite:///"),
        (lambda folder: "mysql://process_name@127.0.0.1/x", r"mysql.*"),
        (lambda folder: SECRET, r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/nowhere cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened_says_so(
    tmp_path: Path, storage_url: Callable[[Path], str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Store(storage_url(tmp_path))
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_password_is_shown_or_handed_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOAUG_STORAGE", raising=False)
    assert CANARY not in show_url(SECRET)
    assert CANARY not in show_url(f"postgresql+psycopg://h/d?password={CANARY}")
    assert portable(SECRET) == "env:AUTOAUG_STORAGE"
    assert resolve("env:AUTOAUG_STORAGE") == SECRET
    assert portable("env:X") == "env:X"
    assert Path(portable("sqlite:///x.db").removeprefix("sqlite:///")).is_absolute()


def test_tables_of_another_version_are_refused(store: Store, url: str) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE autoaug_meta SET value = '999'")
    with pytest.raises(ValueError, match=r"autoaug tables of version 999"):
        Store(url)


def test_a_storage_that_cannot_be_opened_leaves_no_connection_open(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[Any] = []

    def fail(engine: Any, shown: str) -> None:
        engine.connect().close()  # it goes into the pool
        engines.append(engine)
        assert engine.pool.checkedin() == 1
        raise RuntimeError("no room for tables")

    monkeypatch.setattr("autoaug.store._opening.prepare_tables", fail)
    with pytest.raises(ValueError, match=r"cannot be opened: .*no room for tables"):
        Store(url)
    assert engines[-1].pool.checkedin() == 0


def test_a_worker_makes_nothing_in_the_place_of_a_file_that_is_away(tmp_path: Path) -> None:
    """It would take the log of the file away with it when it closes, and with that what others wrote last."""
    path, away = tmp_path / "x.db", tmp_path / "away.db"
    Store(f"sqlite:///{path}").close()
    path.rename(away)
    with pytest.raises(ValueError, match=r"x\.db is gone: put it back"):
        open_retrying(f"sqlite:///{path}", retry_seconds=0.0)
    assert not list(tmp_path.glob("x.db*"))
    Timer(0.5, away.rename, (path,)).start()
    opened = open_retrying(f"sqlite:///{path}", retry_seconds=60.0)
    assert opened.names() == []
    opened.close()
