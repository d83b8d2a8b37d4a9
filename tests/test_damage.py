"""A storage that is damaged, empty or something else is refused in one line that says what to do, and left alone."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from command_line import Call, calling, files, refused, study

from autoaug.execution import Options
from autoaug.executors import run
from autoaug.store import Store
from autoaug.store._schema import ALWAYS_THERE
from autoaug.store._spool import Spool, read


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


READERS = ("compare tiny", "compare s.py", "export s.py --format json", "show s.py", "dashboard --port 0")
FIELDS = {
    "strategies": "{'none': none()}",
    "budget": "Budget(trials=1)",
    "seeds": "1",
    "space": "{'task.lr': FloatDistribution(0.1, 0.2)}",
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The storage of a finished study."""
    folder = tmp_path_factory.mktemp("sound")
    namespace: dict[str, object] = {}
    exec(study(**FIELDS), namespace)  # what the command line reads from s.py
    store = Store(f"sqlite:///{folder / 'x.db'}")
    run(namespace["study"], store, options=Options(artifacts=folder / "artifacts"))  # type: ignore[arg-type]
    store.close()
    return (folder / "x.db").read_bytes()


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


NO_STORAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty file": (lambda path: path.touch(), r"autoaug.db is an empty file: run a study first"),
    "a text": (lambda path: path.write_text("not a database\n"), r"file is not a database: give another file"),
    "half a header": (lambda path: path.write_bytes(b"SQLite"), r"file is not a database: give another file"),
    "a folder": (lambda path: path.mkdir(), r"autoaug.db is no file: give another"),
    "a database of something else": (
        other_database,
        r"holds no studies of autoaug, its tables are recipes: give another --storage",
    ),
}


@pytest.mark.parametrize("what", NO_STORAGE)
def test_what_is_no_storage_is_refused_and_nothing_is_made_of_it(call: Call, tmp_path: Path, what: str) -> None:
    make, message = NO_STORAGE[what]
    (tmp_path / "s.py").write_text(study(**FIELDS))
    path = tmp_path / "autoaug.db"
    make(path)
    before, there = path.is_file() and path.read_bytes(), files(tmp_path)
    for line in READERS:
        refused(call(*line.split()), message)
    assert (path.is_file() and path.read_bytes()) == before
    assert files(tmp_path) == there


DAMAGE = {
    **{f"DROP TABLE {table.name}": rf"the table {table.name} is missing" for table in list(ALWAYS_THERE)[1:]},
    "DROP TABLE trials": r"the table trials is missing",
    "DROP TABLE trial_values": r"the table trial_values is missing",
    "UPDATE autoaug_meta SET value = 'banana' WHERE name = 'schema'": r"its schema is 'banana', and this release reads",
    "UPDATE autoaug_meta SET value = '99' WHERE name = 'schema'": r"of version 99, .* upgrade autoaug or use another",
    "UPDATE autoaug_studies SET definition = '{'": r"the table autoaug_studies cannot be read \(JSONDecodeError",
    "UPDATE autoaug_studies SET definition = '[]'": r"the table autoaug_studies cannot be read",
    "UPDATE autoaug_studies SET definition = '{}'": r"the table autoaug_studies cannot be read \(KeyError: 'task'\)",
    "UPDATE autoaug_studies SET definition = json_set(definition, '$.spaces', 3)": r"autoaug_studies .*spaces is 3",
    "UPDATE autoaug_studies SET definition = json_set(definition, '$.version', 'x')": r"studies .*version is 'x'",
    "UPDATE autoaug_studies SET definition = json_set(definition, '$.baseline', 'x')": r"baseline 'x' is no strategy",
    "UPDATE autoaug_studies SET definition = json_set(definition, '$.metrics', 'x')": r"studies .*metrics is 'x'",
    "UPDATE autoaug_epochs SET metrics = 'x'": r"the table autoaug_epochs cannot be read",
    "UPDATE autoaug_epochs SET metrics = '{}'": r"autoaug_epochs cannot be read \(TypeError: metrics is \{\}",
    "UPDATE autoaug_epochs SET metrics = '[1,2,3,4,5,6,7,8,9,10,11,12]'": r"\(TypeError: metrics is \[1, 2, .*, 12\]\)",
    "UPDATE autoaug_epochs SET metrics = '[\"x\"]'": r"autoaug_epochs .*the metric 'train_loss' is 'x'",
    "UPDATE autoaug_trainings SET names = '3'": r"autoaug_epochs cannot be read \(TypeError: names is 3\)",
    "UPDATE trials SET state = 'BANANA'": r"a row of Optuna's tables cannot be read \(.*'BANANA'",
    "UPDATE trial_params SET distribution_json = '{' WHERE param_name = 'task.lr'": r"a row of Optuna's tables",
    "UPDATE trial_user_attributes SET value_json = '{'": r"a row of Optuna's tables cannot be read",
    "DELETE FROM trial_user_attributes WHERE key = 'point'": r"a trial .* cannot be read \(KeyError: 'point'\)",
    "DELETE FROM trial_params WHERE param_name = 'strategy'": r"a trial .* cannot be read \(KeyError: 'strategy'\)",
}


@pytest.mark.parametrize("statement", DAMAGE)
def test_a_damaged_storage_is_refused_by_its_table_and_left_as_it_is(
    call: Call, tmp_path: Path, sound: bytes, statement: str
) -> None:
    (tmp_path / "s.py").write_text(study(**FIELDS))
    path = tmp_path / "autoaug.db"
    path.write_bytes(sound)
    connection = sqlite3.connect(path)
    changed = connection.execute(statement).rowcount
    connection.commit()
    connection.close()
    assert changed, "the damage was done"
    before = dump(path)
    for line in ("compare tiny", "compare s.py", "export s.py --format json", "show s.py", "run s.py"):
        result = call(*line.split())
        refused(result, DAMAGE[statement])
        assert "sqlite:///autoaug.db" in result.stderr
    assert dump(path) == before


def test_a_metric_of_another_release_is_refused_by_its_name(call: Call, tmp_path: Path, sound: bytes) -> None:
    (tmp_path / "s.py").write_text(study(**FIELDS))
    (tmp_path / "autoaug.db").write_bytes(sound)
    connection = sqlite3.connect(tmp_path / "autoaug.db")
    connection.execute("UPDATE autoaug_studies SET definition = json_set(definition, '$.metric', 'val_x')")
    connection.commit()
    connection.close()
    for line in ("compare tiny", "export s.py --format json"):
        refused(
            call(*line.split()), r"unknown metric in the table autoaug_studies of the storage, 'val_x': did you mean"
        )


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = list(connection.iterdump())
    connection.close()
    return found


def test_a_file_whose_pages_are_gone_is_refused(call: Call, tmp_path: Path, sound: bytes) -> None:
    (tmp_path / "s.py").write_text(study(**FIELDS))
    (tmp_path / "autoaug.db").write_bytes(sound[:4096] + bytes(len(sound) - 4096))
    for line in ("compare tiny", "run s.py"):
        refused(call(*line.split()), r"sqlite:///autoaug.db .*(restore a copy|cannot be opened)")


def test_a_sound_storage_is_read(call: Call, tmp_path: Path, sound: bytes) -> None:
    (tmp_path / "s.py").write_text(study(**FIELDS))
    (tmp_path / "autoaug.db").write_bytes(sound)
    assert call("compare", "tiny").exit_code == 0
    assert call("export", "s.py", "--format", "json").exit_code == 0


def test_a_storage_that_is_empty_may_still_be_run_in(call: Call, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(study(**FIELDS))
    (tmp_path / "autoaug.db").touch()
    assert call("run", "s.py", "-q").exit_code == 0


SPOOLED = (
    b"",
    b"\xff\xfe\x00",
    b"[]\n3\nnull",
    b'{"storage": 1}',
    b"[" * 100_000,
    *(
        b'{"storage": "ID", "trial_id": 1, "owner": "x:1"}\n' + json.dumps(line).encode()
        for line in (
            {"call": "write_epoch", "arguments": {"record": {"epoch": "x"}}},
            {"call": "write_epoch", "arguments": {"record": {"epoch": 1, "phase": "augment", "metrics": [1]}}},
            {"call": "report", "arguments": {"nonsense": 3}},
            {"call": "annotate", "arguments": {"attributes": [1]}},
            {"call": "conclude", "arguments": {"state": "x"}},
            {"call": ["report"], "arguments": None},
            {"arguments": {}},
        )
    ),
)


@pytest.mark.parametrize("content", SPOOLED, ids=range(len(SPOOLED)))
def test_a_damaged_file_of_late_writes_is_passed_over(store: Store, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spool" / "x.jsonl"
    path.parent.mkdir()
    path.write_bytes(content.replace(b'"ID"', json.dumps(store.identity).encode()))
    assert read(path) is None
    assert list(Spool(path.parent, store.identity, "process_name:1").left()) == []
    (path.parent / "folder.jsonl").mkdir()
    assert read(path.parent / "folder.jsonl") is None


LOCKS = Path("/proc/locks")


@pytest.mark.skipif(not LOCKS.exists(), reason="only Linux lists the locks of a file")
def test_opening_a_storage_again_keeps_the_locks_of_those_that_have_it_open(tmp_path: Path) -> None:
    """POSIX cancels all locks that a process has on a file when it closes any handle of it: SQLite's too."""
    path = tmp_path / "x.db"
    first = Store(f"sqlite:///{path}")
    with first.engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT count(*) FROM autoaug_studies"))
        before = locks_of(path)
        Store(f"sqlite:///{path}", existing=True).close()
        assert before <= locks_of(path) != set()
    first.close()


def locks_of(path: Path) -> set[tuple[str, ...]]:
    """Kind, range and owner of every lock on a file that this process holds."""
    inode, mine = str(path.stat().st_ino), str(os.getpid())
    rows = [line.split()[1:] for line in LOCKS.read_text().splitlines()]
    return {tuple(row) for row in rows if row[3] == mine and row[4].rpartition(":")[2] == inode}
