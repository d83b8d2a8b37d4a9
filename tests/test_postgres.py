"""The same code on PostgreSQL: a study runs, goes on, and is read back as on SQLite."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postgres_server import Server, needs_postgres, postgres
from schedulers import hand_out_at_once
from studies_for_tests import tiny
from test_dashboard import ask, served

from autoaug import Budget, Task
from autoaug.execution import Event, Options
from autoaug.executors import run
from autoaug.record import TrialKind, last_attempts
from autoaug.store import SPOOL_FOLDER, Store, Unreachable
from autoaug.strategies import none, trivialaugment

pytestmark = needs_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as running:
        yield running


@pytest.fixture
def there(server: Server) -> Iterator[Store]:
    store = Store(server.url)
    yield store
    store.close()


def test_a_study_runs_and_goes_on(there: Store, tmp_path: Path) -> None:
    study, options = tiny(budget=Budget(trials=2), seeds=1), Options(artifacts=tmp_path)
    here = Store(f"sqlite:///{tmp_path / 'x.db'}")
    for store in (here, there):
        run(replace(study, budget=Budget(trials=1)), store, options=options)
        run(study, store, options=options)

    def found(store: Store) -> list[Any]:
        ends = last_attempts(store.outcomes("tiny"))
        return [
            (o.strategy, o.kind, o.state, dict(o.point), o.value, o.epochs, o.images)
            for o in ends
            if o.kind is not TrialKind.FINAL
        ]

    assert found(there) == found(here)
    assert [o.state for o in there.outcomes("tiny") if o.kind is TrialKind.FINAL] == ["COMPLETE"] * len(
        study.strategies
    )
    assert isinstance(there.outcomes("tiny")[0].images, int)


def test_a_trial_that_diverges_fails_with_the_reason_that_it_has_elsewhere(there: Store, tmp_path: Path) -> None:
    task = Task(data="digits", model="convnet", epochs=1, batch_size=400, lr=1e9, warmup=0.0)
    arms = {"none": none()}
    study = tiny(name="wild", task=task, metric="val_nll", strategies=arms, space={}, budget=Budget(trials=1))
    run(study, there, options=Options(artifacts=tmp_path))
    again = Store(there.storage_url)
    (outcome,) = again.outcomes("wild")
    again.close()
    reason = "diverged: the validation negative log-likelihood is nan in epoch 1: lower Task.lr (1e+09)"
    assert (outcome.state, outcome.reason) == ("FAIL", reason)


def test_leases_archives_and_added_strategies(there: Store) -> None:
    there.beat(7, "host:1")
    lease = there.leases()[7]
    assert lease.owner == "host:1"
    assert 0 <= lease.age < 5
    assert there.take_lease(7, "host:2", lease)
    assert not there.take_lease(7, "host:3", lease)
    assert not there.take_lease(7, "host:3", None)
    assert there.leases()[7].owner == "host:2"
    study = tiny(name="other", strategies={"none": none()})
    there.define("other", study.describe())
    there.enqueue_final("other", "none", 0, {}, source=0)
    there.define("other", replace(study, strategies={"none": none(), "ta": trivialaugment()}).describe())
    there.enqueue_final("other", "ta", 0, {}, source=0)
    assert [trial.params["strategy"] for trial in there.leaderboard("other").trials] == ["none", "ta"]
    assert there.archive("other") == "other~1"
    assert there.outcomes("other") == []
    assert len(there.outcomes("other~1")) == 2


def test_many_desks_hand_out_each_trial_once_and_no_more_than_the_budget_has(server: Server) -> None:
    handed = hand_out_at_once(tiny(name="crowded", budget=Budget(trials=5)), server.url, schedulers=4)
    assert sorted(handed) == [(name, number) for name in ("none", "ra") for number in range(5)]


def test_a_server_that_restarts_while_trials_run_costs_nothing(there: Store, server: Server, tmp_path: Path) -> None:
    study = tiny(name="restarted", strategies={"none": none()}, budget=Budget(trials=2), seeds=1)
    restarts = []

    def restart(event: Event) -> None:
        if event.record and len(restarts) < 3 and event.job.trial_id not in restarts:
            restarts.append(event.job.trial_id)
            server.restart()

    run(study, there, options=Options(artifacts=tmp_path), listen=restart)
    outcomes = there.outcomes("restarted")
    assert len(restarts) == 3
    kinds = [TrialKind.SEARCH, TrialKind.SEARCH, TrialKind.FINAL]
    assert [(o.state, o.attempt, o.kind) for o in outcomes] == [("COMPLETE", 1, kind) for kind in kinds]
    for outcome in outcomes:
        stored = [r.epoch for r in there.epochs("restarted") if (r.trial, r.kind) == (outcome.trial, outcome.kind)]
        assert stored == list(range(1, outcome.epochs + 1))
        assert set(there.trials("restarted", outcome.substudy)[outcome.trial].intermediate_values) >= (
            set() if outcome.kind is TrialKind.FINAL else set(stored)
        )


def test_pages_say_that_their_server_is_away_and_go_on_once_it_is_back(there: Store, server: Server) -> None:
    there.define("paged", tiny(name="paged").describe())
    with served(server.url) as port:
        assert ask(port, "/autoaug/api/studies.json")[0] == 200
        server.stop()
        try:
            for path in ("/autoaug/api/studies.json", "/autoaug/api/study/paged.json", "/api/studies"):
                status, said = ask(port, path)
                assert status == 503
                assert "pages go on by themselves once it is back" in said["reason"]
        finally:
            server.start()
        assert ask(port, "/autoaug/api/study/paged.json")[0] == 200
        assert ask(port, "/api/studies")[0] == 200


@pytest.mark.parametrize("seconds", [0.3, 60.0], ids=["kept in a file", "waited for"])
def test_a_server_that_takes_no_writes_for_a_while_costs_nothing(
    there: Store, server: Server, tmp_path: Path, seconds: float
) -> None:
    """As after a failover, when a driver still talks to what is a standby now: reads work, and no write does."""
    name = "kept" if seconds < 1 else "waited"
    study = tiny(name=name, strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
    study = replace(study, task=replace(study.task, epochs=4))
    told: list[int] = []
    back: list[threading.Timer] = []

    def fail_over(event: Event) -> None:
        if event.record and event.job.kind is not TrialKind.FINAL:
            told.append(event.record.epoch)
            if event.record.epoch == 1:
                server.refuse_writes(True)
                if seconds > 1:  # nothing is measured until it takes writes again
                    back.append(threading.Timer(0.5, server.refuse_writes, [False]))
                    back[0].start()
            if event.record.epoch == 3 and seconds < 1:
                server.refuse_writes(False)

    try:
        run(study, there, options=Options(artifacts=tmp_path, retry_seconds=seconds), listen=fail_over)
    finally:
        for timer in back:
            timer.join()
        server.refuse_writes(False)
    assert told == [1, 2, 3, 4]
    kinds = [TrialKind.SEARCH, TrialKind.FINAL]
    assert [(o.state, o.attempt, o.epochs, o.kind) for o in there.outcomes(name)] == [
        ("COMPLETE", 1, 4, kind) for kind in kinds
    ]
    assert not list((tmp_path / SPOOL_FOLDER).glob("*"))


def test_a_server_that_stays_away_ends_the_driver_and_loses_nothing(server: Server, tmp_path: Path) -> None:
    study = tiny(name="away", strategies={"none": none()}, budget=Budget(trials=1), seeds=1, space={})
    study = replace(study, task=replace(study.task, epochs=4))
    store, options = Store(server.url, retry_seconds=0.5), Options(artifacts=tmp_path, retry_seconds=0.5)
    stopped = []

    def stop(event: Event) -> None:
        if event.record and not stopped:
            stopped.append(event.record.epoch)
            server.stop()

    with pytest.raises(Unreachable, match=r"storage postgresql\+psycopg://.* did not answer for 0\.5 s: "):
        run(study, store, options=options, listen=stop)
    store.close()
    assert list((tmp_path / SPOOL_FOLDER).glob("*.jsonl")), "what was found meanwhile"
    server.start()
    store = Store(server.url)
    trained: list[Event] = []
    run(study, store, options=options, listen=trained.append)
    assert [(o.state, o.attempt, o.epochs) for o in store.outcomes("away")] == [("COMPLETE", 1, 4)] * 2
    assert {event.job.kind for event in trained} == {TrialKind.FINAL}, "only the final run was still to do"
    assert not list((tmp_path / SPOOL_FOLDER).glob("*"))
    store.close()
