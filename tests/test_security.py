"""A password is never shown, no file is executed, and no name leads out of its folder."""

import ast
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling, study
from postgres_server import Server, needs_postgres, postgres
from studies_for_tests import tiny

from autoaug.store import Store, refuse_exposed, show_storage, show_url
from autoaug.store._secrets import without_secrets
from autoaug.strategies import none

LIBRARY = Path(__file__).parent.parent / "autoaug"
CANARY = f"Kanarienvogel{uuid.uuid4().hex}"
"""Another one in each process: a test looks at the command lines of the whole machine, where another suite may run."""
COMMAND = (sys.executable, "-m", "autoaug")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres(password=CANARY) as running:
        yield running


@contextmanager
def watched(seen: set[bytes]) -> Iterator[None]:
    """Keeps the command line of every process of this machine, as `ps` shows it, for as long as the block runs."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes())
                except OSError:
                    continue  # it has ended

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def holding(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold a text."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [str(path) for path in files if text.encode() in path.read_bytes()]


def call(folder: Path, name: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    """A command of ours, in a folder that also takes its output and all that it and Ray write elsewhere by default."""
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        (folder / "tmp").mkdir(exist_ok=True)
        places = {"TMPDIR": str(folder / "tmp"), "RAY_TMPDIR": str(folder / "tmp"), "HOME": str(folder)}
        return subprocess.Popen(
            [*COMMAND, *arguments], stdout=out, stderr=err, cwd=folder, env={**os.environ, **places, **environment}
        )


@pytest.mark.slow
@needs_postgres
def test_the_password_of_a_storage_is_nowhere(server: Server) -> None:
    """A canary password, every way to give it, both executors, runs that fail, and every command that reads."""
    # short: the paths of Ray's sockets have a limit
    with (
        tempfile.TemporaryDirectory(prefix="aa", ignore_cleanup_errors=True) as name,
        tempfile.TemporaryDirectory() as safe,
    ):
        folder, secret = Path(name), Path(safe) / "url"
        secret.write_text(server.url + "\n")
        for each in ("here", "there"):
            fields = {"name": repr(each), "strategies": "{'none': none()}", "budget": "Budget(trials=1)", "seeds": "1"}
            (folder / f"{each}.py").write_text(study(**fields))
        good = {"PLACE": server.url}
        wrong = {"PLACE": server.url.replace(CANARY, f"{CANARY}wrong")}
        down = {"PLACE": server.url.replace(f":{server.port}/", ":1/")}
        seen: set[bytes] = set()
        with watched(seen):
            runs = {
                "local": call(folder, "local", "run", "here.py", "--storage", "env:PLACE", **good),
                "ray": call(
                    folder, "ray", "run", "there.py", "--storage", f"file:{secret}", "--executor", "ray", "--json"
                ),
            }
            codes = {name: run.wait() for name, run in runs.items()}
            page = ("--html", "page.html", "--csv", "table.csv", "--json")
            reads = {
                "compare": call(folder, "compare", "compare", "here", "--storage", "env:PLACE", *page, **good),
                "doctor": call(folder, "doctor", "doctor", "--storage", "env:PLACE", "--json", **good),
                "wrong": call(folder, "wrong", "run", "here.py", "--storage", "env:PLACE", **wrong),
                "down": call(folder, "down", "run", "here.py", "--storage", "env:PLACE", **down),
            }
            codes |= {name: run.wait() for name, run in reads.items()}
            (folder / "site").write_bytes(dashboard(folder, **good))
        url_without_password = server.url.replace("+psycopg", "").replace(f":{CANARY}@", "@")
        dump = server.call("pg_dump", url_without_password, env={**os.environ, "PGPASSWORD": CANARY})
        (folder / "dump.sql").write_text(dump)
        (folder / "ps").write_bytes(b"\n".join(seen))
        printed = {name: (folder / f"{name}.err").read_text()[-2000:] for name in codes}
        assert codes == {"local": 0, "ray": 0, "compare": 0, "doctor": 0, "wrong": 2, "down": 2}, printed
        assert b"here.py" in (folder / "ps").read_bytes()
        assert "autoaug_epochs" in (folder / "dump.sql").read_text()
        assert "***" in printed["wrong"], "the user is told which storage it was"
        assert "dashboard --storage env:PLACE" in (folder / "local.out").read_text(), "the line can be pasted"
        assert list((folder / "tmp").rglob("*.log")), "Ray has written its logs here"
        assert b"none" in (folder / "site").read_bytes()
        assert holding(folder, CANARY) == []
        (folder / "planted").write_bytes(pickled := b"\x80\x05" + CANARY.encode())
        assert holding(folder, CANARY) == [str(folder / "planted")], f"{pickled!r} would have been found"


def dashboard(folder: Path, **environment: str) -> bytes:
    """What the dashboard answers."""
    process = call(folder, "dashboard", "dashboard", "--storage", "env:PLACE", "--port", "0", **environment)
    try:
        while not (places := re.findall(r" at (http://\S+)\s", (folder / "dashboard.out").read_text())[1:]):
            assert process.poll() is None, (folder / "dashboard.err").read_text()
            time.sleep(0.1)
        (native,) = places  # the first one is that of our pages
        ours = native + "autoaug/"
        answers = []
        for address in (f"{native}api/studies", ours):
            with urllib.request.urlopen(address) as answer:
                answers.append(bytes(answer.read()))
        return b"".join(answers)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


SECRET = "geheim%2F4711"
"""As a URL writes it; some drivers say it with its slash."""

DSNS = (
    f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/d",
    f"postgresql+psycopg://:{SECRET}@127.0.0.1:1/d",
    f"postgresql+psycopg://me:{SECRET}@x@127.0.0.1:1/d",
    f"postgresql+psycopg://me:p@ss:{SECRET}@127.0.0.1:1/d",
    f"postgresql+psycopg://me@127.0.0.1:1/d?password={SECRET}",
    f"postgresql+psycopg://me@127.0.0.1:1/d?PASSWORD={SECRET}",
    f"postgresql+psycopg://me@127.0.0.1:1/d?sslpassword={SECRET}&sslmode=prefer",
    f"postgresql+psycopg://me@127.0.0.1:1/d?passfile=/home/{SECRET}",
    f"postgresql+psycopg://me@127.0.0.1:1/d?options=-c%20token={SECRET}",
    f"postgresql+psycopg://me@127.0.0.1:1/d?token={SECRET}&token={SECRET}2",
    f"postgresql+psycopg://me:{SECRET}@127.0.0.1:port/d",
    f"postgresql+psycopg://me:{SECRET}@[::1/d",
    f"postgresql:/me:{SECRET}@127.0.0.1/d",
    f"postgresql//me:{SECRET}",
    f"mysql://me:{SECRET}@127.0.0.1/d",
    f"postgresql+nix://me:{SECRET}@127.0.0.1/d",
    f"host=127.0.0.1 port=1 user=me password={SECRET} dbname=d",
    f"dbname=d password='{SECRET}'",
    f"me:{SECRET}",
    f"sqlite:////no/such/folder/x.db?key={SECRET}",
    f"sqlite:///x.db?key={SECRET}",
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


@pytest.mark.parametrize("dsn", DSNS)
def test_no_way_to_write_a_storage_prints_its_secrets(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    """By environment, by file, in the study, on the command line, and in place of a name: refused, and never shown."""
    monkeypatch.setenv("PLACE", dsn)
    (tmp_path / "url").write_text(dsn)
    (tmp_path / "own.py").write_text(study(name="'own'", storage=repr(dsn)))
    ways = ("env:PLACE", "file:url", f"env:{dsn}", f"file:{dsn}", dsn)
    calls = [("compare", "x", "--storage", way) for way in ways] + [("compare", "own.py")]
    for arguments in calls:
        result = command(*arguments)
        said = result.stdout + result.stderr
        assert result.exit_code == 2, arguments
        assert said.startswith("error: ")
        assert "geheim" not in said
        assert "4711" not in said


@pytest.mark.parametrize(
    "name", ["sqlite:///x.db?timeout=5", "postgresql+psycopg://process_name@h:1/d?port=2&sslmode=require"]
)
def test_what_is_harmless_is_shown_as_it_can_be_pasted(name: str) -> None:
    assert show_url(name) == show_storage(name) == name
    refuse_exposed(name)


def test_an_unknown_option_is_hidden_and_refused_on_the_command_line() -> None:
    assert (
        show_url("postgresql://process_name@h/d?sslmode=off&x=1") == "postgresql://process_name@h/d?sslmode=off&x=***"
    )
    with pytest.raises(ValueError, match=r"x=\*\*\*: the option 'x' may hold a secret, and ps shows it: .* env:NAME"):
        refuse_exposed("postgresql://process_name@h/d?x=1")


@pytest.mark.parametrize("storage_url", ["env:PLACE", "file:/home/process_name/url", "file:~/.autoaug/url-1"])
def test_a_name_is_shown_as_it_was_given(storage_url: str) -> None:
    assert show_storage(storage_url) == storage_url


def test_what_a_driver_says_is_shown_without_the_secrets_of_the_url() -> None:
    url = "postgresql+psycopg://process_name:a%2Fb%20c@h/d?token=t%26k"
    said = "no: 'a/b c', a%2Fb%20c, a%2Fb+c, t&k, t%26k"
    assert without_secrets(said, url) == "no: '***', ***, ***, ***, ***"
    assert without_secrets(said, "sqlite:///x.db") == said


LOADS = {"load", "loads", "Unpickler", "read_pickle", "eval", "exec", "unsafe_load", "full_load"}
SAFE = {"json.load", "json.loads", "tomllib.load", "tomllib.loads"}
ACROSS_PROCESSES = {
    ("executors/_worker_process.py", "cloudpickle.loads"),
    ("testing/_mix.py", "pickle.loads"),
    ("testing/_mix_in_training.py", "pickle.loads"),
}
"""What the driver has just sent to its own worker, and what a suite has just dumped itself; it never lies on a disk."""


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every call of a builtin or of an imported name, in full, with its literal keyword arguments."""
    origin = {"eval": "eval", "exec": "exec"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            origin |= {each.asname or each.name.partition(".")[0]: each.name for each in node.names if each.asname}
            origin |= {
                each.name.partition(".")[0]: each.name.partition(".")[0] for each in node.names if not each.asname
            }
        elif isinstance(node, ast.ImportFrom):
            origin |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, dot, rest = ast.unparse(node.func).partition(".")
            if head in origin and not origin[head].startswith("autoaug."):
                yield (
                    f"{origin[head]}{dot}{rest}",
                    {e.arg: getattr(e.value, "value", None) for e in node.keywords if e.arg},
                )


def executes(name: str, keywords: dict[str, Any]) -> bool:
    """Whether a call may execute what it reads."""
    if name.endswith(("torch.load", "torch.jit.load")):
        return keywords.get("weights_only") is not True
    if name.startswith("numpy."):
        return keywords.get("allow_pickle", False) is not False
    return name.rpartition(".")[2] in LOADS and name not in SAFE


def test_no_file_is_executed() -> None:
    found = {
        (str(path.relative_to(LIBRARY)), name)
        for path in LIBRARY.rglob("*.py")
        for name, keywords in calls(ast.parse(path.read_text()))
        if executes(name, keywords)
    }
    assert found == ACROSS_PROCESSES


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("import pickle; pickle.load(file)", True),
        ("from pickle import load as read; read(file)", True),
        ("import torch; torch.load(path)", True),
        ("import torch; torch.load(path, weights_only=False)", True),
        ("import torch; torch.load(path, weights_only=True)", False),
        ("import numpy; numpy.load(path, allow_pickle=True)", True),
        ("import numpy as np; np.load(path)", False),
        ("import yaml; yaml.load(text)", True),
        ("eval(text)", True),
        ("import json; json.loads(text)", False),
    ],
)
def test_a_call_that_executes_is_found(line: str, bad: bool) -> None:
    ((name, keywords),) = calls(ast.parse(line))
    assert executes(name, keywords) == bad


NAMES = (
    "../../x",
    "/etc/x",
    "a/b",
    "a\\b",
    "a\x00b",
    "a\nb",
    "\x1b[31m",
    ".",
    "..",
    "",
    " ",
    "x" * 10_000_000,
    "leaderboard",
)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:10]))
def test_a_name_that_leads_out_of_its_folder_is_refused(name: str) -> None:
    for given in ({"name": name}, {"strategies": {name: none()}}):
        with pytest.raises(ValueError, match="cannot name a") as caught:
            tiny(**given)
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()


@needs_postgres
def test_a_password_in_a_relative_file_reaches_other_processes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text(server.url)
    monkeypatch.chdir(tmp_path)
    store = Store("file:url")
    storage_url = store.portable()
    store.close()
    monkeypatch.chdir("/")
    again = Store(storage_url)
    assert again.names() == store.names()
    again.close()
    store.close()
    assert CANARY not in storage_url
