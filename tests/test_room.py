"""A full disk is said in one line, no trial is lost for it, and the study goes on once there is room."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling
from disks import disk, fill
from studies_for_tests import at_epoch, tiny

from autoaug import Budget, Study
from autoaug.execution import Event, Options, refuse_full, wait_for_room
from autoaug.executors import run
from autoaug.record import TrialKind
from autoaug.store import Spool, Store, Unreachable, Unwritable
from autoaug.store._spool import read
from autoaug.strategies import none


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def one_trial() -> Study:
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
    return replace(study, task=replace(study.task, epochs=4))


def options_on(folder: Path, seconds: float) -> Options:
    return Options(artifacts=folder / "artifacts", retry_seconds=seconds, checkpoint_seconds=0)


def searched(store: Store) -> list[tuple[str, int, int]]:
    outcomes = [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]
    return [(outcome.state, outcome.attempt, outcome.epochs) for outcome in outcomes]


def epochs(store: Store) -> list[int]:
    return [record.epoch for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL]


def test_a_study_ends_as_if_nothing_had_happened_where_room_is_made_in_time(
    small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fill_for_a_moment() -> None:
        threading.Timer(0.5, fill(small).unlink).start()

    with closing(Store(f"sqlite:///{small / 'x.db'}")) as store:
        run(one_trial(), store, options=options_on(small, 60.0), listen=at_epoch(2, fill_for_a_moment))
        assert searched(store) == [("COMPLETE", 1, 4)]
        assert epochs(store) == [1, 2, 3, 4]


def test_a_study_stops_where_none_is_made_and_goes_on_from_there_later(small: Path) -> None:
    options = options_on(small, 0.3)
    with closing(Store(f"sqlite:///{small / 'x.db'}")) as store:
        with pytest.raises(Unreachable):
            run(one_trial(), store, options=options, listen=at_epoch(2, lambda: fill(small)))
        assert store.retry_policy.lost
    (small / "filler").unlink()
    with closing(Store(f"sqlite:///{small / 'x.db'}")) as store:
        assert searched(store) == [("RUNNING", 1, 2)]
        store.requeue(store.open("tiny", "none", "maximize"), 1, "its driver ended")
        run(one_trial(), store, options=options)
        assert searched(store) == [("FAIL", 1, 2), ("COMPLETE", 2, 4)]
        assert set(epochs(store)) == {1, 2, 3, 4}
        assert len(epochs(store)) <= 5, "the checkpoint of the last epoch may have had no room"


def test_a_trial_that_had_no_room_is_given_back_and_costs_no_attempt(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the storage nor the folder takes an epoch; then there is room."""
    append = Spool.append

    def append_and_make_room(self: Spool, *given: Any) -> None:
        try:
            append(self, *given)
        finally:
            (small / "filler").unlink()

    monkeypatch.setattr(Spool, "append", append_and_make_room)
    with closing(Store(f"sqlite:///{small / 'x.db'}")) as store:
        run(one_trial(), store, options=options_on(small, 0.3), listen=at_epoch(2, lambda: fill(small)))
        assert searched(store) == [("FAIL", 1, 2), ("COMPLETE", 2, 4)]
        lost, again = store.trials("tiny", "none")
        assert "cannot be kept in" in lost.user_attrs["reason"]
        assert again.user_attrs["losses"] == {}
        assert set(epochs(store)) == {1, 2, 3, 4}


def test_no_trial_is_handed_out_while_nothing_can_be_kept(small: Path, tmp_path: Path) -> None:
    fill(small)
    heard: list[Event] = []
    with closing(Store(f"sqlite:///{tmp_path / 'x.db'}")) as store:
        with pytest.raises(Unwritable, match=r"nothing can be kept in .*artifacts.* \(No space left on device\): make"):
            run(one_trial(), store, options=options_on(small, 0.1), listen=heard.append)
        assert (heard, searched(store)) == ([], [])
        (small / "filler").unlink()
        run(one_trial(), store, options=options_on(small, 0.1))
        assert searched(store) == [("COMPLETE", 1, 4)]


def test_what_was_kept_before_the_disk_was_full_can_still_be_read(small: Path) -> None:
    spool = Spool(small / "spool", "of-some-storage", "host:1")
    spool.append(1, "report", {"epoch": 1, "value": 0.5})
    filler, before = fill(small), spool.path(1).read_bytes()
    with pytest.raises(Unwritable, match=r"cannot be kept in .*spool either \(No space left on device\): make room"):
        spool.append(1, "report", {"epoch": 2, "value": 0.25, "padding": "x" * 8192})
    with pytest.raises(Unwritable):
        spool.append(2, "report", {"epoch": 1, "value": 0.5})
    assert spool.path(1).read_bytes() == before
    assert not spool.holds(2), "half a file would be none"
    filler.unlink()
    spool.append(1, "report", {"epoch": 3, "value": 0.125})
    found = read(spool.path(1))
    assert found
    assert [arguments["epoch"] for _, arguments in found.writes] == [1, 3]


def test_a_line_says_once_what_is_waited_for(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    filler = fill(small)
    with pytest.raises(Unwritable):
        refuse_full(small / "artifacts")
    threading.Timer(0.3, filler.unlink).start()
    wait_for_room(small / "artifacts", 60.0)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("(No space left on device): make room there, or let it be written to; waiting up to 60 s")
    assert list((small / "artifacts").iterdir()) == []


def test_a_folder_that_is_no_folder_is_refused_as_one_without_room(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unwritable, match=r"nothing can be kept in .*file \(File exists\)"):
        refuse_full(tmp_path / "file")
    with pytest.raises(Unwritable, match=r"Not a directory"):
        Spool(tmp_path / "file" / "spool", "storage", "host:1").append(1, "report", {})


def test_the_command_promises_nothing_that_it_did_not_keep(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(study: object, store: Store, *_: object) -> None:
        store.retry_policy.lost = True
        raise Unwritable("no room")

    monkeypatch.setattr("autoaug.executors.conduct", full)
    result = call("run", "s.py", "--storage", "sqlite:///x.db")
    assert (result.exit_code, result.stderr) == (1, "error: no room\n")
    said, _ = result.stdout.splitlines()[-2:]
    assert said == "stopped; what there was no room for will be trained again: make room first. Go on with:"
