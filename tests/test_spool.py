"""While the storage is away a training goes on; what it finds is kept in a file, and written once it is back."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, PendingRollbackError, ProgrammingError
from studies_for_tests import tiny

from autoaug import Budget, Study
from autoaug.execution import Event, Options, Scheduler, write_pending
from autoaug.execution._pending_writes import spool_of
from autoaug.executors import run
from autoaug.processes import this_process
from autoaug.record import Outcome, Record, TrialKind
from autoaug.store import SPOOL_FOLDER, Moved, Spool, Store, Unreachable, delete_study, settle
from autoaug.store._retrying import RetryPolicy, is_transient
from autoaug.store._spool import claim, make, read
from autoaug.strategies import none


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{file}", retry_seconds=0.1)
    yield opened
    opened.close()


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(artifacts=tmp_path / "artifacts", retry_seconds=0.1)


class Lock:
    """Somebody who holds the lock of a SQLite file, so that nobody else can write."""

    def __init__(self, file: Path) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        self.connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self.connection.execute("ROLLBACK")
        self.connection.close()


def one_trial(epochs: int = 5) -> Study:
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
    return replace(study, task=replace(study.task, epochs=epochs))


def searched(store: Store) -> list[Outcome]:
    return [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]


def during_epochs(file: Path, first: int, last: int) -> Callable[[Event], None]:
    """Takes the storage away once the `first` epoch of the search is stored, until the `last` one was measured."""
    held: list[Lock] = []

    def listen(event: Event) -> None:
        if event.record and event.job.kind is not TrialKind.FINAL:
            if event.record.epoch == first:
                held.append(Lock(file))
            if event.record.epoch == last and held:
                held.pop().release()

    return listen


def test_what_is_measured_while_the_storage_is_away_is_written_when_it_is_back(
    store: Store, options: Options, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(one_trial(), store, options=options, listen=during_epochs(file, 1, 3))
    (outcome,) = searched(store)
    assert (outcome.state, outcome.attempt, outcome.epochs) == ("COMPLETE", 1, 5)
    (trial,) = store.trials("tiny", "none")
    assert set(trial.intermediate_values) == {1, 2, 3, 4, 5}
    assert [record.epoch for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL] == [1, 2, 3, 4, 5]
    assert "were made late: the storage was away" in caplog.text
    assert not list((options.artifacts / SPOOL_FOLDER).glob("*"))


def test_a_driver_without_its_storage_ends_with_a_reason_and_the_next_one_writes_what_was_found(
    store: Store, options: Options, file: Path
) -> None:
    lock: list[Lock] = []

    def take_away(event: Event) -> None:
        if event.record and event.record.epoch == 2 and event.job.kind is not TrialKind.FINAL and not lock:
            lock.append(Lock(file))

    with pytest.raises(Unreachable, match=r"storage sqlite:///.*x\.db did not answer for 0\.1 s: database is locked"):
        run(one_trial(3), store, options=options, listen=take_away)
    assert [outcome.state for outcome in searched(store)] == ["RUNNING"]
    (path,) = (options.artifacts / SPOOL_FOLDER).glob("*.jsonl")
    left = read(path)
    assert left
    assert {"report", "write_epoch", "conclude"} <= {call for call, _ in left.writes}
    lock[0].release()
    run(one_trial(3), store, options=options)
    (outcome,) = searched(store)
    assert (outcome.state, outcome.attempt, outcome.epochs) == ("COMPLETE", 1, 3), "nothing was trained again"
    assert store.trials("tiny", "none")[0].user_attrs["epochs"] == 3


def epoch(number: int) -> Record:
    of = {"study": "tiny", "strategy": "none", "trial": 0}
    return Record(epoch=number, phase="augment", metrics={"val_accuracy": 0.5}, gpu_seconds=2.5, **of)


def leave(spool: Spool, trial_id: int) -> Path:
    """What a worker leaves that measured an epoch and ended while the storage was away."""
    spool.append(trial_id, "report", {"epoch": 1, "value": 0.5})
    spool.append(trial_id, "write_epoch", {"record": epoch(1)})
    spool.append(trial_id, "annotate", {"attributes": {"warning": "no checkpoint"}})
    spool.append(trial_id, "conclude", {"state": TrialState.COMPLETE, "objectives": ["val_accuracy"]})
    return spool.path(trial_id)


def dead() -> str:
    """A process of this host that has ended."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return str(replace(this_process(), pid=gone.pid))


def test_what_a_dead_process_left_is_written_and_that_of_a_living_one_is_its_own(
    store: Store, options: Options
) -> None:
    scheduler = Scheduler(one_trial(), store)
    job = scheduler.next()
    assert job
    living = leave(spool_of(store, options), job.trial_id)
    write_pending(store, options)
    assert store.is_running(job.trial_id)
    assert living.exists()
    path = leave(replace(spool_of(store, options), owner=dead()), job.trial_id)
    write_pending(store, options)
    (outcome,) = searched(store)
    assert (outcome.state, outcome.value, outcome.epochs) == ("COMPLETE", 0.5, 1)
    assert store.trials("tiny", "none")[0].user_attrs["warning"] == "no checkpoint"
    assert not path.exists()


def test_of_a_trial_that_another_worker_took_over_what_was_measured_is_kept_and_its_end_is_dropped(
    store: Store, options: Options, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(one_trial(), store)
    job = scheduler.next()
    assert job
    path = leave(replace(spool_of(store, options), owner=dead()), job.trial_id)
    scheduler.lost(job, "no sign of life")
    write_pending(store, options)
    assert [outcome.state for outcome in searched(store)] == ["FAIL", "WAITING"]
    assert store.epochs("tiny") == [epoch(1)]
    assert store.spent("tiny", "none") == 2.5, "it was spent, whoever goes on"
    dropped = "1 of 4 writes about trial id 1 were made late, the others are dropped: it has ended, or another worker"
    assert dropped in caplog.text
    assert not path.exists()


def test_hosts_that_share_no_disk_lose_nothing_that_one_measured_while_the_file_of_the_storage_was_away(
    store: Store, file: Path, options: Options
) -> None:
    """The trial is taken over by another one, which sees nothing of what the first has on its disk."""
    away = file.with_name("away.db")
    acknowledged: list[Record] = []

    def listen(event: Event) -> None:
        if event.record:
            acknowledged.append(event.record)
            if event.record.epoch == 1:
                file.rename(away)

    with pytest.raises(Moved):
        run(one_trial(3), store, options=options, listen=listen)
    store.close()
    away.rename(file)
    assert [record.epoch for record in acknowledged] == [1, 2]
    back, elsewhere = Store(store.storage_url), replace(options, artifacts=options.artifacts.with_name("elsewhere"))
    back.requeue(back.open("tiny", "none", "maximize"), 1, "no sign of life")
    run(one_trial(3), back, options=elsewhere)
    write_pending(back, options)
    kept = [record for record in back.epochs("tiny") if record.attempt == 1 and record.kind is not TrialKind.FINAL]
    assert kept == acknowledged
    back.close()


def test_what_is_late_goes_to_its_own_trial_whatever_became_of_its_study(store: Store, options: Options) -> None:
    job = Scheduler(one_trial(), store).next()
    assert job
    leave(replace(spool_of(store, options), owner=dead()), job.trial_id)
    archived = store.archive("tiny")
    Scheduler(one_trial(), store)
    store.finish(job.trial_id, TrialState.FAIL, reason="given up")
    write_pending(store, options)
    assert (store.epochs("tiny"), store.epochs(archived)) == ([], [replace(epoch(1), study=archived)])


def test_what_is_late_does_not_go_to_a_trial_that_got_the_id_of_a_deleted_one(store: Store, options: Options) -> None:
    first = Scheduler(one_trial(), store).next()
    assert first
    leave(replace(spool_of(store, options), owner=dead()), first.trial_id)
    delete_study(store, "tiny")
    second = Scheduler(replace(one_trial(), name="other", strategies={"standard": none()}), store).next()
    assert second
    assert second.trial_id == first.trial_id
    write_pending(store, options)
    assert (store.epochs("other"), store.trials("other", "standard")[0].intermediate_values) == ([], {})
    assert store.is_running(second.trial_id)


def test_a_storage_that_does_not_know_a_trial_takes_nothing_of_it_and_drops_nothing(
    store: Store, options: Options
) -> None:
    store.spool = spool_of(store, options)
    path = leave(store.spool, 1)
    with pytest.raises(Moved, match="trial id 1 is not in it any more"):
        settle(store, 1)
    assert path.exists()


def test_a_file_is_made_by_one_process_and_what_is_appended_meanwhile_is_another(
    store: Store, options: Options
) -> None:
    spool = replace(spool_of(store, options), owner=dead())
    path = leave(spool, 1)
    first = claim(path)
    assert first
    assert claim(path) is None
    spool.append(1, "report", {"epoch": 2, "value": 0.25})
    assert sorted(len(left.writes) for left in spool.left()) == [1, 4]
    make(store, first)
    (left,) = spool.left()
    assert (left.path, [call for call, _ in left.writes]) == (path, ["report"])
    spool.release(1)
    (released,) = spool.left()
    assert released.free
    again = claim(released.path)
    assert again
    assert again.free, "whoever claimed it may die"
    assert [left.path for left in spool.left()] == [again.path]


def test_what_cannot_be_written_yet_stays(store: Store, options: Options, file: Path) -> None:
    job = Scheduler(one_trial(), store).next()
    assert job
    path = leave(replace(spool_of(store, options), owner=dead()), job.trial_id)
    store.retry_policy.gave_up = True  # it tries once
    lock = Lock(file)
    with pytest.raises(Unreachable):
        write_pending(store, options)
    lock.release()
    write_pending(store, options)
    assert [(outcome.state, outcome.epochs) for outcome in searched(store)] == [("COMPLETE", 1)]
    assert not list(path.parent.iterdir())


def test_lines_that_were_cut_off_or_are_not_ours_do_no_harm(store: Store, options: Options, tmp_path: Path) -> None:
    spool = replace(spool_of(store, options), owner=dead())
    path = leave(spool, 1)
    with path.open("a") as file:
        file.write('\n{"call": "drop_everything", "arguments": {}}\n{"call": "report", "argum')
    spool.append(1, "report", {"epoch": 2, "value": 0.25})
    found = read(path)
    assert found
    assert [call for call, _ in found.writes] == ["report", "write_epoch", "annotate", "conclude", "report"]
    (path.parent / "x.jsonl").write_bytes(b"\x80\x04\x95pickle")
    (path.parent / "y.jsonl").write_text(json.dumps({"storage": "of another study", "trial_id": 1, "owner": dead()}))
    assert [left.path for left in spool.left()] == [path]


# RetryPolicy


class Server:
    """Fails for a while, in one of the ways in which databases do."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return "answer"


def lost(text: str = "server closed the connection") -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception(text))


def hidden(cause: Exception) -> StorageInternalError:
    error = StorageInternalError("An exception is raised during the commit")
    error.__cause__ = cause
    return error


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between retries, which take no time: its clock shows their sum."""
    taken: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=taken.append))
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: sum(taken)))
    return taken


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("error", [lost(), hidden(lost()), hidden(PendingRollbackError("Can't reconnect until"))])
def test_an_action_without_an_answer_is_tried_again(error: Exception) -> None:
    server = Server(2, error)
    assert RetryPolicy(5.0, "sqlite:///x")(server) == "answer"
    assert server.calls == 3


def test_after_waiting_in_vain_it_tries_once_until_there_is_an_answer(pauses: list[float]) -> None:
    policy, server = RetryPolicy(0.3, "sqlite:///x"), Server(1000, lost())
    with pytest.raises(Unreachable, match=r"storage sqlite:///x did not answer for 0\.3 s: server closed"):
        policy(server)
    assert server.calls == len(pauses) + 1 >= 2
    assert sum(pauses[:-1]) < 0.3 <= sum(pauses)
    before = server.calls
    with pytest.raises(Unreachable):
        policy(server)
    assert server.calls == before + 1
    server.left = 0
    assert policy(server) == "answer"
    again = Server(2, lost())
    policy.seconds = 5.0
    assert policy(again) == "answer", "it retries again"


def said(state: str, kind: type[DBAPIError] = InternalError) -> DBAPIError:
    """An error that a PostgreSQL server calls by its SQLSTATE."""
    return kind("UPDATE", {}, SimpleNamespace(sqlstate=state))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "away"),
    [
        ("25006", True),  # read-only, after a failover
        ("57P01", True),  # shut down by its administrator
        ("57P03", True),  # it is starting
        ("53100", True),  # its disk is full
        ("53300", True),  # too many connections
        ("08006", True),  # the connection failed
        ("40P01", True),  # a deadlock
        ("55P03", True),  # a lock
        ("58030", True),  # the system's input or output
        ("25P02", False),  # we went on in a transaction that had failed
        ("42P01", False),  # no such table
        ("42501", False),  # no right to
        ("22003", False),  # a number out of range
    ],
)
def test_a_server_is_away_by_what_it_calls_its_errors(state: str, away: bool) -> None:
    assert is_transient(said(state)) == is_transient(said(state, OperationalError)) == away


@pytest.mark.parametrize("error", [lost("no such table: trials"), ProgrammingError("x", {}, Exception("syntax"))])
def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    server = Server(1, error)
    with pytest.raises(type(error)):
        RetryPolicy(5.0, "sqlite:///x")(server)
    assert server.calls == 1
