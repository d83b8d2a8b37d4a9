"""The file of a storage is deleted, replaced or overwritten under a driver: it stops, and nothing it found is lost."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import HEAD, TASK, Call, calling, refused, study
from studies_for_tests import at_epoch, tiny

from autoaug import Budget, Study
from autoaug.execution import Event, Options, refuse_displaced, spool_of, write_pending
from autoaug.executors import run
from autoaug.record import TrialKind
from autoaug.store import SPOOL_FOLDER, Moved, Store, delete_study
from autoaug.store._watch import inode_of, names_of
from autoaug.strategies import none


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(artifacts=tmp_path / "artifacts", checkpoint_seconds=0)


def one_trial(epochs: int = 4) -> Study:
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
    return replace(study, task=replace(study.task, epochs=epochs))


def beside(file: Path) -> list[Path]:
    return [file, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm"))]


def delete(file: Path, older: Path) -> None:
    file.unlink()


def delete_all(file: Path, older: Path) -> None:
    for path in beside(file):
        path.unlink()


def replace_by_older(file: Path, older: Path) -> None:
    os.replace(older, file)


def move_away(file: Path, older: Path) -> None:
    file.rename(file.with_name("elsewhere.db"))


def overwrite_by_another(file: Path, older: Path) -> None:
    """The same inode, other content: a storage with another id, as `cp` puts it there."""
    empty_log(file)
    shutil.copyfile(older, file)


def overwrite_by_nonsense(file: Path, older: Path) -> None:
    empty_log(file)
    file.write_bytes(b"no database " * 10_000)


def empty_log(file: Path) -> None:
    """Bring everything into the file, as SQLite does from time to time."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def copy_of(file: Path, name: str) -> Path:
    """A copy as SQLite makes it: whole, whatever is in the write-ahead log."""
    copy = file.with_name(name)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def go_on(store: Store, options: Options) -> list[Event]:
    """What whoever comes next does, once the process is gone that stopped. It is this one."""
    for path in (options.artifacts / SPOOL_FOLDER).glob("*.jsonl"):
        pretend_dead(path)
    write_pending(store, options)
    store.requeue(store.open("tiny", "none", "maximize"), 1, "its driver ended")
    heard: list[Event] = []
    run(one_trial(), store, options=options, listen=heard.append)
    return heard


def pretend_dead(path: Path) -> None:
    if not path.name.endswith(".free.jsonl"):
        path.rename(path.with_suffix(".free.jsonl"))


def epochs(store: Store) -> list[int]:
    return [record.epoch for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL]


WAYS: dict[str, tuple[Callable[[Path, Path], None], str, str]] = {
    "deleted": (delete, r"its file is gone; what had been written is rescued in .*x\.rescued\.db", "x.rescued.db"),
    "deleted with its log": (delete_all, r"its file is gone; what had been written is rescued in", "x.rescued.db"),
    "replaced": (replace_by_older, r"another file was put in its place; what had been .* rescued", "x.rescued.db"),
    "moved away": (move_away, r"its file is gone; it lies at .*/elsewhere\.db now", "elsewhere.db"),
    "overwritten": (overwrite_by_another, r"its file was overwritten, and now holds another storage", "copy.db"),
    "not a database": (
        overwrite_by_nonsense,
        r"its file was overwritten and cannot be read now \(file is not a database\)",
        "copy.db",
    ),
}
"""What is done to the file, what is said of it, and where the right one lies afterwards."""


@pytest.mark.parametrize("way", WAYS)
def test_a_driver_stops_and_whoever_puts_the_file_back_loses_nothing(file: Path, options: Options, way: str) -> None:
    do, said, right = WAYS[way]
    store = Store(f"sqlite:///{file}")
    older = file.with_name("older.db")
    Store(f"sqlite:///{older}").close()

    def take_away() -> None:
        copy_of(file, "copy.db")
        do(file, older)

    with pytest.raises(Moved, match=rf"storage sqlite:///.*x\.db is not what was opened: .*{said}"):
        run(one_trial(), store, options=options, listen=at_epoch(2, take_away))
    store.close()
    assert list((options.artifacts / SPOOL_FOLDER).glob("*.jsonl")), "what was measured since"
    if right == "x.rescued.db":
        assert not any(path.exists() for path in beside(file)[1:]), "a log would spoil what is put there"
    if right == "copy.db":
        for path in beside(file)[1:]:
            path.unlink(missing_ok=True)
    os.replace(file.with_name(right), file)
    again = Store(f"sqlite:///{file}")
    trained = go_on(again, options)
    assert epochs(again) == [1, 2, 3, 4], "none is lost, and none is trained twice"
    done = [event.record.epoch for event in trained if event.record and event.job.kind is not TrialKind.FINAL]
    assert done == [4]
    assert [outcome.state for outcome in again.outcomes("tiny")] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert not list((options.artifacts / SPOOL_FOLDER).glob("*"))
    again.close()


def test_an_older_copy_of_the_same_storage_is_noticed_by_the_trial_that_it_lacks(file: Path, options: Options) -> None:
    store = Store(f"sqlite:///{file}")
    store.define("tiny", one_trial().describe())
    older = copy_of(file, "older.db")

    def set_back() -> None:
        with closing(sqlite3.connect(older)) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)

    with pytest.raises(Moved, match=r"trial id 1 is not in it any more: it is an older copy, or the study was deleted"):
        run(one_trial(), store, options=options, listen=at_epoch(2, lambda: (copy_of(file, "copy.db"), set_back())))
    store.close()
    spool = options.artifacts / SPOOL_FOLDER
    kept = list(spool.glob("*.jsonl"))
    assert len(kept) == 1
    behind = Store(f"sqlite:///{file}")
    pretend_dead(kept[0])
    write_pending(behind, options)
    behind.close()
    assert list(spool.glob("*.jsonl")), "an older copy does not take them, and does not drop them"
    os.replace(file.with_name("copy.db"), file)
    again = Store(f"sqlite:///{file}")
    go_on(again, options)
    assert epochs(again) == [1, 2, 3, 4]
    again.close()


def test_a_study_that_is_deleted_under_its_driver_ends_it_with_a_reason(file: Path, options: Options) -> None:
    store, other = Store(f"sqlite:///{file}"), Store(f"sqlite:///{file}")
    with pytest.raises(Moved, match=r"trial id 1 is not in it any more: .* the study was deleted"):
        run(one_trial(), store, options=options, listen=at_epoch(1, lambda: delete_study(other, "tiny")))
    store.close()
    other.close()


# What lies there is never made, opened or lost


def test_no_file_is_made_where_one_was_deleted(file: Path) -> None:
    store = Store(f"sqlite:///{file}")
    store.engine.dispose()  # no connection is left that holds the old one
    delete_all(file, file) if file.with_name("x.db-wal").exists() else file.unlink()
    for _ in range(2):
        with pytest.raises(Moved, match=r"its file is gone$"):
            store.names()
    assert store.look()
    assert not file.exists()
    store.close()


def test_a_rescue_overwrites_nothing(file: Path) -> None:
    file.with_name("x.rescued.db").write_text("of an earlier time")
    store = Store(f"sqlite:///{file}")
    store.define("tiny", one_trial().describe())
    file.unlink()
    with pytest.raises(Moved, match=r"rescued in .*x\.rescued-2\.db"):
        store.names()
    assert file.with_name("x.rescued.db").read_text() == "of an earlier time"
    with closing(Store(f"sqlite:///{file.with_name('x.rescued-2.db')}")) as rescued:
        assert (rescued.names(), rescued.identity) == (["tiny"], store.identity)
    store.close()


def test_the_names_of_a_file_that_is_open_are_known(file: Path) -> None:
    with file.open("w"):
        inode = inode_of(file)
        assert inode
        if names_of(inode) is None:
            pytest.skip("this system does not list the files that a process has open")
        assert names_of(inode) == [str(file)]
        file.rename(file.with_name("y"))
        assert names_of(inode) == [str(file.with_name("y"))]
        file.with_name("y").unlink()
        assert names_of(inode) == []


def test_a_new_file_does_not_take_the_place_of_one_that_still_lacks_something(
    file: Path, options: Options, call: Call
) -> None:
    store = Store(f"sqlite:///{file}")
    spool_of(store, options).append(1, "report", {"epoch": 1, "value": 0.5})
    store.close()
    for path in beside(file):
        path.unlink(missing_ok=True)
    where = ("--storage", f"sqlite:///{file}", "--artifacts", str(options.artifacts))
    said = r"x\.db is not the one that was there before, and .*\.jsonl holds what that one still lacks: put it back"
    refused(call("run", "s.py", *where), said)
    assert not file.exists()
    new = Store(f"sqlite:///{file}")
    refused(call("run", "s.py", *where), said)
    with pytest.raises(ValueError, match=said):
        refuse_displaced(new.storage_url, options, new.identity)
    refuse_displaced("sqlite:///y.db", options)  # another storage may share the folder
    new.close()


def test_a_log_whose_file_was_moved_away_is_not_removed_by_a_new_one(file: Path, call: Call) -> None:
    store = Store(f"sqlite:///{file}")
    store.define("tiny", one_trial().describe())
    file.rename(file.with_name("y.db"))
    log = beside(file)[1].read_bytes()
    assert log
    said = r"x\.db is gone, and .*x\.db-wal holds its latest writes: put it back, or remove the log to begin anew"
    for line in ("run s.py", "compare tiny"):
        refused(call(*line.split(), "--storage", f"sqlite:///{file}"), said)
    assert (file.exists(), beside(file)[1].read_bytes()) == (False, log)
    file.with_name("y.db").rename(file)
    assert store.names() == ["tiny"], "nobody has seen that it was away"
    store.close()


# As a user meets it

DELETES = """
import os
from pathlib import Path
CALLS = Path({calls!r})

def policy():
    fixed = Fixed(policy_tree(apply("rotate", 0.3)))
    forward = fixed.forward

    def counted(images, rng):
        if images.shape[0] == 100:  # a minibatch of the training
            with CALLS.open("a") as file:
                file.write(".")
            if CALLS.stat().st_size == 30:
                for name in ("x.db", "x.db-wal", "x.db-shm"):
                    os.unlink(name)
        return forward(images, rng)

    fixed.forward = counted
    return fixed
"""


@pytest.mark.slow
def test_the_command_says_what_happened_and_goes_on_once_the_file_is_back(call: Call, tmp_path: Path) -> None:
    text = study(
        task=TASK.replace("epochs=1", "epochs=6, device='cpu'"),
        strategies="{'one': Strategy(policy=policy, space={})}",
        budget="Budget(trials=1)",
        seeds="1",
        space="{}",
    )
    (tmp_path / "s.py").write_text(text.replace(HEAD, HEAD + DELETES.format(calls=str(tmp_path / "calls"))))
    line = ("run", "s.py", "--storage", "sqlite:///x.db", "--checkpoint-seconds", "0")
    process = [sys.executable, "-m", "autoaug", *line]
    ended = subprocess.run(process, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.splitlines()[-1:] == [
        "error: storage sqlite:///x.db is not what was opened: its file is gone; what had been written is rescued in "
        f"{tmp_path / 'x.rescued.db'}"
    ]
    folder = tmp_path / "artifacts" / SPOOL_FOLDER
    said, again = ended.stdout.splitlines()[-2:]
    put_back = f"stopped; first put back the storage that was opened, for which {folder} keeps what was measured since."
    assert said == f"{put_back} Go on with:"
    assert again.endswith("autoaug run s.py --storage sqlite:///x.db --checkpoint-seconds 0")
    refused(call(*line), r"put it back \(a \*\.rescued\.db beside it is a copy\)")
    assert not (tmp_path / "x.db").exists()
    (tmp_path / "x.rescued.db").rename(tmp_path / "x.db")
    assert call(*line).exit_code == 0
    with closing(Store(f"sqlite:///{tmp_path / 'x.db'}")) as store:
        assert epochs(store) == [1, 2, 3, 4, 5, 6], "none is lost, and none is trained twice"
