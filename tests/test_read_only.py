"""Storages that may only be read: readers say so in one line and change nothing, and a run is refused."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling, refused, study
from disks import bound_by_permissions, disk, make_read_only
from postgres_server import Server, needs_postgres, postgres
from test_dashboard import ask, served, studies

from autoaug.execution import Options
from autoaug.executors import run
from autoaug.store import Look, Store
from autoaug.store._url import read_only_asked

FIELDS = {
    "strategies": "{'none': none(), 'ra': randaugment()}",
    "budget": "Budget(trials=1)",
    "seeds": "1",
}

READERS = ("compare tiny", "compare s.py --json", "export s.py --format json", "show s.py --strategy ra")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def finished() -> Any:
    namespace: dict[str, Any] = {}
    exec(study(**FIELDS), namespace)  # what the command line reads from s.py
    return namespace["study"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, finished: Any) -> Path:
    """The storage of a finished study, which no test changes."""
    folder = tmp_path_factory.mktemp("sound")
    store = Store(f"sqlite:///{folder / 'x.db'}")
    run(finished, store, options=Options(artifacts=folder / "artifacts"))
    store.close()
    return folder / "x.db"


@pytest.fixture
def media(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "media") as folder:
        yield folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_command_that_reads_works_on_media_that_nobody_can_write(
    call: Call, tmp_path: Path, media: Path, sound: Path
) -> None:
    shutil.copy(sound, media / "x.db")
    make_read_only(media)
    before = contents(media)
    (tmp_path / "s.py").write_text(study(**FIELDS))
    where = f"sqlite:///{media / 'x.db'}"
    line = f"{where} is opened read-only ({media / 'x.db'} is read-only): looks at it are not recorded"
    for command in READERS:
        result = call(*command.split(), "--storage", where)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.splitlines().count(line) == 1
        assert "not recorded, later ones" not in result.stderr, "it is said once"
    refused(call("run", "s.py", "--storage", where), r"x\.db is read-only: copy it to where you may write")
    with served(where, existing=True) as port:
        assert set(studies(port)) == {"tiny/none", "tiny/ra", "tiny/leaderboard"}
        assert ask(port, f"/api/studies/{studies(port)['tiny/ra']}")[0] == 200
    assert contents(media) == before


def with_a_log(sound: Path, folder: Path, *endings: str) -> None:
    """A storage of which the last write is still in the log, without some of its files, as a crash or a copy leaves."""
    shutil.copy(sound, folder / "open.db")
    with closing(sqlite3.connect(folder / "open.db")) as connection:
        connection.execute("UPDATE autoaug_studies SET name = 'late'")
        connection.commit()
        for ending in ("", *endings):
            shutil.copy(folder / f"open.db{ending}", folder / f"x.db{ending}")


def test_writes_that_are_still_in_the_log_are_read_or_their_lack_is_said(media: Path, sound: Path) -> None:
    with_a_log(sound, media, "-wal")
    (media / "empty.db-wal").touch()
    shutil.copy(sound, media / "empty.db")
    make_read_only(media)
    with pytest.raises(ValueError, match=r"its latest writes are still in .*x\.db-wal, .*: copy both files to such a"):
        Store(f"sqlite:///{media / 'x.db'}", existing=True)
    with closing(Store(f"sqlite:///{media / 'empty.db'}", existing=True)) as store:
        assert store.names() == ["tiny"]


def test_writes_that_are_still_in_the_log_are_read_beside_its_index(media: Path, sound: Path) -> None:
    with_a_log(sound, media, "-wal", "-shm")
    make_read_only(media)
    with closing(Store(f"sqlite:///{media / 'x.db'}", existing=True)) as store:
        assert store.names() == ["late"]


def test_a_file_that_another_user_may_not_write_is_read_and_left_as_it_is(sound: Path) -> None:
    folder = Path("/tmp") / f"autoaug-read-only-{os.getpid()}"
    folder.mkdir()
    try:
        shutil.copy(sound, folder / "x.db")
        (folder / "x.db").chmod(0o444)
        folder.chmod(0o777)

        def look() -> None:
            with closing(Store(f"sqlite:///{folder / 'x.db'}", existing=True)) as store:
                assert store.read_only == f"{folder / 'x.db'} is read-only"
                assert store.names() == ["tiny"]
                store.note_look("tiny", Look(["tiny"], {}, {}))
                assert len(store.outcomes("tiny")) == 4
            with pytest.raises(ValueError, match=r"x\.db is read-only: copy it to where you may write"):
                Store(f"sqlite:///{folder / 'x.db'}")

        bound_by_permissions(look)
        assert [path.name for path in folder.iterdir()] == ["x.db"]
    finally:
        shutil.rmtree(folder)


def test_a_reader_of_a_file_that_it_may_not_write_sees_what_another_user_writes_meanwhile(sound: Path) -> None:
    if os.getuid():
        pytest.skip("there is nobody else who could write: this needs root")
    folder = Path("/tmp") / f"autoaug-read-live-{os.getpid()}"
    folder.mkdir()
    try:
        shutil.copy(sound, folder / "x.db")
        folder.chmod(0o755)
        writer = sqlite3.connect(folder / "x.db")
        writer.execute("UPDATE autoaug_studies SET name = 'now'")
        writer.commit()

        def look() -> None:
            with closing(Store(f"sqlite:///{folder / 'x.db'}", existing=True)) as store:
                assert store.names() == ["now"]

        bound_by_permissions(look)
        writer.close()
        bound_by_permissions(look)
    finally:
        shutil.rmtree(folder)


FORMS: dict[str, Callable[[Path], str]] = {
    "an option": lambda path: f"sqlite:///{path}?mode=ro",
    "a relative path": lambda path: f"sqlite:///{path.name}?mode=ro",
    "SQLite's URI": lambda path: f"sqlite:///file:{path}?mode=ro&uri=true",
    "SQLite's URI, relative": lambda path: f"sqlite:///file:{path.name}?mode=ro&uri=true",
    "SQLite's URI, immutable": lambda path: f"sqlite:///file:{path}?immutable=1&uri=true",
}


@pytest.mark.parametrize("form", FORMS)
def test_who_asks_for_read_only_gets_it(call: Call, tmp_path: Path, sound: Path, form: str) -> None:
    where = FORMS[form](tmp_path / "y.db")
    refused(call("compare", "tiny", "--storage", where), r"there is no storage sqlite:///.*y\.db.* yet: run a study")
    shutil.copy(sound, tmp_path / "y.db")
    before = (tmp_path / "y.db").read_bytes()
    result = call("compare", "tiny", "--storage", where)
    assert result.exit_code == 0, result.stderr
    assert "is opened read-only (mode=ro asks for that): looks at it are not recorded\n" in result.stderr
    refused(call("run", "s.py", "--storage", where), r"is to be read only, and a run writes: leave mode=ro out")
    refused(call("dashboard", "--storage", where, "--write"), r"nothing may be written to .*: leave --write out")
    assert (tmp_path / "y.db").read_bytes() == before
    assert not (tmp_path / "y.db-wal").exists()


def test_other_uris_are_left_to_sqlite() -> None:
    for url in ("sqlite:///file:x?mode=memory&cache=shared&uri=true", "sqlite:///x.db", "postgresql://h/d?mode=ro"):
        assert read_only_asked(url) == (url, False)
    assert read_only_asked("sqlite:///file:///a%20b.db?mode=ro&uri=true") == ("sqlite:////a b.db", True)
    assert read_only_asked("sqlite:///x.db?timeout=3&mode=ro") == ("sqlite:///x.db?timeout=3", True)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE autoaug_meta SET value = '2' WHERE name = 'schema'", "DROP TABLE autoaug_looks"],
    ids=["its version", "a table that was added"],
)
def test_what_would_have_to_be_brought_up_to_date_is_not_read(tmp_path: Path, sound: Path, statement: str) -> None:
    shutil.copy(sound, tmp_path / "x.db")
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(ValueError, match=r"of an earlier version, and may only be read: copy it to where"):
        Store(f"sqlite:///{tmp_path / 'x.db'}?mode=ro", existing=True)


def test_a_file_that_is_gone_while_it_is_read_ends_no_dashboard(
    tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoaug.page._present.LOOK_AGAIN", 0.0)
    for name, more in (("x.db", ""), ("y.db", "?mode=ro")):
        shutil.copy(sound, tmp_path / name)
        with served(f"sqlite:///{tmp_path / name}{more}", existing=True) as port:
            assert ask(port, "/api/studies")[0] == 200
            for path in tmp_path.glob(f"{name}*"):
                path.unlink()
            for _ in range(2):
                status, said = ask(port, "/api/studies")
                assert status == 503
                assert "its file is gone" in said["reason"]
                assert said["reason"].endswith("pages go on by themselves once it is back")
            assert not (tmp_path / name).exists()
            shutil.copy(sound, tmp_path / name)
            assert ask(port, "/api/studies")[0] == 200


def test_another_file_in_the_place_of_one_that_is_gone_is_not_taken_for_it(
    tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoaug.page._present.LOOK_AGAIN", 0.0)
    shutil.copy(sound, tmp_path / "x.db")
    with served(f"sqlite:///{tmp_path / 'x.db'}", existing=True) as port:
        for path in tmp_path.glob("x.db*"):
            path.rename(tmp_path / path.name.replace("x.", "away."))
        assert "it lies at" in ask(port, "/api/studies")[1]["reason"]
        Store(f"sqlite:///{tmp_path / 'x.db'}").close()
        status, said = ask(port, "/api/studies")
        assert status == 503
        assert "another storage lies there now" in said["reason"]
        for path in tmp_path.glob("x.db*"):
            path.unlink()
        for path in tmp_path.glob("away.db*"):
            path.rename(tmp_path / path.name.replace("away.", "x."))
        assert len(studies(port)) == 3, "it was moved back"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as running:
        yield running


@needs_postgres
def test_a_server_that_takes_no_writes_is_read(server: Server, finished: Any, tmp_path: Path) -> None:
    store = Store(server.url)
    run(finished, store, options=Options(artifacts=tmp_path))
    found = store.outcomes("tiny")
    store.close()
    server.sql("CREATE ROLE reader LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    role = server.url.replace(f"//{server.user}@", "//reader@")
    with closing(Store(role, existing=True)) as reader:
        assert (reader.read_only, reader.outcomes("tiny")) == ("this role may only read", found)
        reader.note_look("tiny", Look(["tiny"], {}, {}))
        assert reader.looks("tiny") == []
    server.refuse_writes(True)
    try:
        with closing(Store(server.url, existing=True)) as reader:
            assert (reader.read_only, reader.outcomes("tiny")) == ("the server takes no writes", found)
    finally:
        server.refuse_writes(False)
    with closing(Store(server.url, existing=True)) as reader:
        assert reader.read_only == ""
    server.stop()
    server.become_standby()
    server.start()
    with closing(Store(server.url, existing=True)) as reader:
        assert (reader.read_only, reader.outcomes("tiny")) == ("the server is a standby", found)
