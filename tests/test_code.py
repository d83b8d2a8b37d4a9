"""What of a user's project travels to workers, and that nothing of it is left there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from autoaug.executors import _code
from autoaug.executors._code import Code, sources

FILES = {
    "search_spaces/mine.py": "space = {}\n",
    "studies/asked.py": "import helpers.deep.far, search_spaces.mine\nfrom studies.parts import model\n",
    "studies/other.py": "raise RuntimeError('another study, which nobody asked for')\n",
    "studies/parts/__init__.py": "",
    "studies/parts/model.py": "def build():\n    from . import late\n    from ..later import value\n",
    "studies/parts/late.py": "import helpers.latest\n",
    "studies/parts/unused.py": "",
    "studies/later.py": "value = 1\n",
    "helpers/__init__.py": "",
    "helpers/deep/__init__.py": "",
    "helpers/deep/far.py": "# -*- coding: latin-1 -*-\nname = 'é'\n",
    "helpers/latest.py": "import json, autoaug, torch\nfrom helpers.broken import *\n",
    "helpers/broken.py": "def (:\n",
    "autoaug/mine.py": "",
    "notes.py": "",
}
NEEDED = {
    "search_spaces/mine.py",
    "studies/asked.py",
    "studies/parts/__init__.py",
    "studies/parts/model.py",
    "studies/parts/late.py",
    "studies/later.py",
    "helpers/__init__.py",
    "helpers/deep/__init__.py",
    "helpers/deep/far.py",
    "helpers/latest.py",
    "helpers/broken.py",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of which the study `asked` is imported, and what it imports when it is."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="latin-1" if "latin-1" in text else "utf-8")
    before = dict(sys.modules)
    taken = [name for name in before if name.partition(".")[0] in ("studies", "search_spaces", "helpers")]
    for name in taken:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)
    import_module("studies.asked")
    yield tmp_path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def test_what_is_imported_travels_and_what_that_may_still_import(project: Path) -> None:
    code = dict(sources(project))
    assert code.keys() == NEEDED
    assert code["helpers/deep/far.py"] == FILES["helpers/deep/far.py"].encode("latin-1"), "byte by byte"


def test_without_a_project_nothing_travels() -> None:
    assert sources(None) == ()


def test_code_that_holds_data_is_refused_with_its_largest_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "studies" / "later.py").write_text(f"value = '{'x' * 10_000_000}'\n")
    with pytest.raises(ValueError, match=r"are 10\.0 MB, of which studies/later\.py is 10\.0 MB, and 10 MB are sent"):
        sources(project)
    monkeypatch.setattr(_code, "MOST_BYTES", 20_000_000)
    assert len(sources(project)) == len(NEEDED)


WORKER = """
import sys
from autoaug.executors._code import install
install((("rows/__init__.py", b""), ("rows/more.py", b"value = 7")))
from rows.more import value
print(value, sys.path[0], flush=True)
sys.stdin.read()
"""


def start_worker(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process in which a project is installed, and the folder in which it lies."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout
    value, root = worker.stdout.readline().split()
    assert value == "7"
    return worker, Path(root)


def test_the_modules_of_a_project_are_removed_when_their_worker_ends_and_by_the_next_when_it_is_killed(
    tmp_path: Path,
) -> None:
    killed, left = start_worker(tmp_path)
    living, used = start_worker(tmp_path)
    killed.kill()
    killed.communicate()
    assert left.parent == tmp_path
    assert left.is_dir()
    third, _ = start_worker(tmp_path)
    assert not left.exists()
    assert (used / "rows" / "more.py").is_file(), "its worker lives"
    for worker in (living, third):
        worker.communicate()
        assert worker.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_taken_for_a_left_one_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_code.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_code.sys, "path", list(sys.path))
    lock, locked = _code.fcntl.flock, list[int]()

    def lose_the_first(handle: int, how: int) -> None:
        if not locked:
            next(tmp_path.iterdir()).rmdir()
        locked.append(handle)
        lock(handle, how)

    monkeypatch.setattr(_code.fcntl, "flock", lose_the_first)
    folder = _code.make_folder()
    assert folder.is_dir()
    assert len(locked) == 2
    os.close(locked[1])


def test_code_is_installed_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_code.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_code.sys, "path", list(sys.path))
    code: Code = (("once.py", b""),)
    for _ in range(2):
        _code.install(code)
    assert len(list(tmp_path.iterdir())) == 1
