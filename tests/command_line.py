"""What the tests of the command line share: a tiny study as a file, a call, and what a refusal looks like."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autoaug.cli import app

HEAD = """
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from autoaug import Budget, Study, Task
from autoaug.policy import Fixed, apply, policy_tree, ready
from autoaug.strategies import Strategy, none, randaugment
"""
TASK = "Task(data='digits-rotated', model='convnet', epochs=1, batch_size=100, lr=0.2)"
FIELDS = {
    "name": "'tiny'",
    "task": TASK,
    "strategies": "{'none': none(), 'ra': randaugment()}",
    "space": "{'mix.alpha': FloatDistribution(0.1, 1.0)}",
    "budget": "Budget(trials=2)",
    "seeds": "2",
}


def study(**fields: str) -> str:
    """The text of a study file. A field is given as Python source."""
    return f"{HEAD}study = Study({', '.join(f'{name}={text}' for name, text in (FIELDS | fields).items())})\n"


Call = Callable[..., Result]

POSTGRES = "postgresql+psycopg://process_name:hunter2@127.0.0.1:1/nowhere"

ROTAT = "{'x': Strategy(policy=lambda: Fixed(policy_tree(apply('rotat', 0.5))), space={})}"
"""A strategy whose policy names an operation that does not exist."""


def task(data: str) -> dict[str, str]:
    return {"task": f"Task(data='{data}', model='convnet', epochs=1)"}


def calling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Calls the command line in an empty folder that holds `s.py`, a tiny study."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUTOAUG_STORAGE", raising=False)
    (tmp_path / "s.py").write_text(study())

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["/somewhere/autoaug", *arguments])
        sys.modules.pop("s", None)
        result = CliRunner().invoke(app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    yield call
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("s", "studies", "search_spaces"):
            del sys.modules[name]


def files(folder: Path) -> set[Path]:
    """Every file and folder below a folder, but what Python caches."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def refused(result: Result, message: str) -> None:
    """One clear line on stderr, nothing on stdout, exit code 2."""
    assert result.stderr.startswith("error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert re.search(message, result.stderr), result.stderr
    assert result.stdout == ""
    assert result.exit_code == 2
