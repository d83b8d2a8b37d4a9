"""A study whose checkpoints lie elsewhere goes on from there; what cannot is told."""

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling, refused
from optuna.trial import TrialState
from postgres_server import needs_postgres, postgres
from s3_server import S3, SECRET, s3
from studies_for_tests import tiny

from autoaug import Budget, Study, Task
from autoaug.artifacts import place_of
from autoaug.cli._checks import CHECKS, Target, guarded
from autoaug.execution import Event, Options, Scheduler
from autoaug.executors import EXECUTORS, conduct, ignore, run
from autoaug.executors._check import warn_of_unshared
from autoaug.record import Outcome, TrialKind
from autoaug.store import Store
from autoaug.strategies import none

HOST = socket.gethostname()


def one_trial(**more: Any) -> Study:
    """A search of one trial of five epochs, and one final run."""
    task = Task(data="digits-rotated", model="convnet", epochs=5, batch_size=200, lr=0.2, device="cpu")
    given: dict[str, Any] = {"task": task, "strategies": {"none": none()}, "space": {}, "seeds": 1}
    return tiny(**given | {"budget": Budget(trials=1)} | more)


@pytest.fixture
def server() -> Iterator[S3]:
    with s3() as running:
        yield running


def checkpoints(server: S3) -> list[str]:
    """What lies in the bucket beside the pictures of galleries."""
    return [name for name in server.files() if not name.endswith(".webp")]


def after(epoch: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """A listener that does something after an epoch of the search."""

    def listen(event: Event) -> None:
        if event.record and event.record.epoch == epoch and event.job.kind is not TrialKind.FINAL:
            act()

    return listen


def interrupt() -> None:
    raise KeyboardInterrupt


def metrics(store: Store) -> dict[Any, Any]:
    """What every epoch measured, to the last bit; of an epoch that was repeated, the last time."""
    return {(record.kind, record.epoch): dict(record.metrics) for record in store.epochs("tiny")}


def searched(store: Store) -> list[Outcome]:
    return [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]


def epochs_of(store: Store, attempt: int) -> list[int]:
    """The epochs of the search that an attempt trained."""
    return [each.epoch for each in store.epochs("tiny") if each.attempt == attempt and each.kind is TrialKind.SEARCH]


def test_a_study_goes_on_from_a_bucket_on_a_host_that_has_no_file_of_it(
    server: S3, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Store(f"sqlite:///{tmp_path / 'plain.db'}")
    run(one_trial(), plain, options=Options(artifacts=tmp_path / "plain"))
    for number, listen in enumerate((after(3, interrupt), lambda event: None)):
        host = tmp_path / f"host-{number}"
        host.mkdir()
        monkeypatch.chdir(host)
        options = Options(artifacts="s3://bucket/my runs", checkpoint_seconds=0)
        if number:
            run(one_trial(), store, options=options, listen=listen)
        else:
            with pytest.raises(KeyboardInterrupt):
                run(one_trial(), store, options=options, listen=listen)
            assert server.files() == ["bucket/my runs/tiny/none/0/1.pt"]
        assert not [path for path in host.rglob("*") if path.is_file()], "nothing lies on the host"
    assert [(each.state, each.warning) for each in searched(store)] == [("FAIL", ""), ("COMPLETE", "")]
    assert epochs_of(store, 2) == [3, 4, 5]
    assert metrics(store) == metrics(plain)
    assert not checkpoints(server), "those of finished trials are removed"


def test_a_bucket_that_goes_away_costs_the_checkpoints_and_not_the_training(
    server: S3, store: Store, tmp_path: Path
) -> None:
    options = Options(artifacts="s3://bucket/away", local=tmp_path, checkpoint_seconds=0, retry_seconds=0.2)
    run(one_trial(), store, options=options, listen=after(2, server.stop))
    assert [(each.state, each.epochs) for each in store.outcomes("tiny")] == [("COMPLETE", 5)] * 2
    warning = searched(store)[0].warning
    assert warning.startswith("no checkpoint: EndpointConnectionError: Could not connect to the endpoint URL: ")
    assert SECRET not in warning


def test_a_stale_file_of_an_earlier_study_of_the_same_name_is_removed(server: S3, store: Store, tmp_path: Path) -> None:
    trial = place_of("s3://bucket/stale").below("tiny", "none", "0")
    trial.write("1.pt", b"of an archived study")
    run(one_trial(), store, options=Options(artifacts="s3://bucket/stale", local=tmp_path))
    assert searched(store)[0].warning == ""
    assert not checkpoints(server)


def test_a_trial_that_begins_again_without_its_checkpoints_says_so(store: Store, options: Options) -> None:
    options = replace(options, checkpoint_seconds=0)
    for epoch in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            run(one_trial(), store, options=options, listen=after(epoch, interrupt))
        shutil.rmtree(options.local)  # as on another host
    run(one_trial(), store, options=options)
    second, third = searched(store)[1:]
    assert second.warning == (
        f"began again: no checkpoint of attempt 1 is in {options.artifacts}; it trained on {HOST}"
    )
    assert third.warning == (
        f"began again: no checkpoint of attempts 1 to 2 is in {options.artifacts}; they trained on {HOST}"
    )
    assert epochs_of(store, 3) == [1, 2, 3, 4, 5]


def test_a_trial_that_had_not_got_anywhere_begins_again_in_silence(store: Store, options: Options) -> None:
    scheduler = Scheduler(one_trial(), store)
    job = scheduler.next()
    assert job
    assert scheduler.lost(job, "its node died") == TrialState.WAITING
    run(one_trial(), store, options=options)
    assert [(each.attempt, each.warning) for each in searched(store)] == [(1, ""), (2, "")]


# What is said before anything is spent

call = pytest.fixture(calling)


def test_the_command_line_refuses_a_bucket_that_is_not_there(server: S3, call: Call, tmp_path: Path) -> None:
    refused(
        call("run", "s.py", "--artifacts", "s3://nowhere/runs"),
        "no checkpoints can be kept in s3://nowhere/runs: FileNotFoundError: .*: make the bucket",
    )
    assert not (tmp_path / "autoaug.db").exists()
    result = call("run", "s.py", "--artifacts", f"s3://somebody:{SECRET}@bucket/runs")
    refused(result, "artifacts are at s3://bucket/runs with a password")
    assert SECRET not in result.stderr


def test_the_doctor_examines_a_bucket_and_leaves_nothing(server: S3) -> None:
    where = Target("sqlite:///x.db", "s3://bucket/runs")
    assert guarded(CHECKS["checkpoints"], where).finding == "s3://bucket/runs can be written, read and removed from"
    found = guarded(CHECKS["fsync"], where)
    assert found.verdict != "fail"
    assert found.finding.startswith("1 MB is safe at s3://bucket/runs in ")
    assert server.files() == []
    found = guarded(CHECKS["checkpoints"], replace(where, artifacts="s3://nowhere/runs"))
    assert (found.verdict, "make the bucket" in found.fix) == ("fail", True)


def test_only_a_folder_of_one_host_that_several_use_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    warn_of_unshared(tmp_path, {"a"})
    warn_of_unshared("s3://bucket/runs", {"a", "b"})
    with monkeypatch.context() as patch:
        patch.setattr("autoaug.executors._check.network_file_system", lambda path: "nfs4")
        warn_of_unshared(tmp_path, {"a", "b"})
    assert caplog.messages == []
    warn_of_unshared(tmp_path, {"a", "b"})
    assert caplog.messages == [
        f"checkpoints in {tmp_path} are of this host: a trial that goes on elsewhere begins again; give --artifacts a "
        "shared folder or URL"
    ]


@needs_postgres
def test_a_driver_that_joins_those_of_other_hosts_is_told_what_a_folder_costs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "local", lambda *_: None)  # it would wait for the other
    with postgres() as running:
        store, study = Store(running.url), one_trial()
        job = Scheduler(study, store).next()
        assert job
        for owner in (f"{HOST}:1", "elsewhere:1"):
            assert caplog.messages == []
            store.beat(job.trial_id, owner)
            conduct(study, store, "local", Options(artifacts=tmp_path / "artifacts"), ignore)
        assert [each.partition(" are of")[0] for each in caplog.messages] == [
            f"checkpoints in {tmp_path / 'artifacts'}"
        ]
        store.close()
