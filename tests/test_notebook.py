"""A study in a notebook: what a cell shows while it runs and after, and the notebook that is shipped."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from outcomes_for_tests import comparison, finals
from studies_for_tests import tiny

from autoaug import Budget, Task, run
from autoaug.compare import to_html
from autoaug.execution import Event, Job, Options
from autoaug.executors import Progress
from autoaug.notebook import table_of
from autoaug.record import Record
from autoaug.store import Store
from autoaug.strategies import none

NOTEBOOK = Path(__file__).parent.parent / "examples" / "quickstart.ipynb"


def one(**more: Any) -> Any:
    """A study of one trial and one final run."""
    return tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=1, space={}, **more)


def test_a_comparison_is_a_table_in_a_notebook() -> None:
    found = comparison(finals("none", {0: 0.5, 1: 0.6}))
    html = found._repr_html_()
    assert html.count("<table>") == 2
    assert "<td>none</td>" in html
    assert "0.5500" in html
    assert repr(found) == "Comparison('s', test_accuracy of none 0.5500)"
    assert html.startswith("<p><strong>No verdict before the last final run: 2 of 6 so far</strong>")
    assert "<li>± half a 95 % interval (Student&#x27;s t) over 2 final runs</li>" in html


def test_a_study_shows_what_is_asked_and_its_plan() -> None:
    html = tiny(budget=Budget(trials=3, gpu_seconds=60.0))._repr_html_()
    assert "<strong>tiny: Does ra beat none by test accuracy (more is better)?</strong>" in html
    assert "each strategy: 3 trials and 60 gpu seconds to search, then 2 final runs on the test images" in html
    assert "<tr><td>ra</td><td>3</td><td>≤ 3</td><td>2</td><td>task.refine_epochs, mix.alpha, policy.n" in html
    several = tiny(strategies={name: none() for name in ("none", "b", "c")}, metric="val_nll", space={})._repr_html_()
    assert "Which of 2 strategies beat none by test negative log-likelihood (less is better)?" in several
    assert "<td>b</td>" in several
    assert "<td>nothing</td>" in several
    own = tiny(train=trained, task=Task(data=None), strategies={"none": none()}, space={})._repr_html_()
    assert "trained on its own data" in own
    assert "<strong>tiny: What is none worth by" in own


def trained(trial: Any) -> Any:
    """A loop that is never run."""
    yield {}


def test_nothing_that_a_comparison_says_is_markup() -> None:
    evil = "<script>alert(1)</script>"
    html = to_html(comparison(finals(evil, {0: 0.5, 1: 0.6}), definition={"baseline": evil}))
    assert set(re.findall(r"<(\w+)", html)) == {"p", "strong", "table", "thead", "tr", "th", "tbody", "td", "ul", "li"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_run_opens_the_storage_that_the_command_line_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the study, or of AUTOAUG_STORAGE, or autoaug.db in this folder; what is returned was read there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUTOAUG_STORAGE", raising=False)
    options = Options(artifacts=tmp_path / "artifacts")
    for environment, study, file in (
        (None, one(), "autoaug.db"),
        ("sqlite:///named.db", one(), "named.db"),
        ("sqlite:///named.db", one(storage="sqlite:///own.db"), "own.db"),
    ):
        if environment:
            monkeypatch.setenv("AUTOAUG_STORAGE", environment)
        found = run(study, options=options)
        kept = Store(f"sqlite:///{file}", existing=True).outcomes("tiny")
        assert list(found.outcomes) == kept
        assert [row.name for row in found.rows] == ["none"]
        assert len(kept) == 2


def test_a_table_follows_a_study() -> None:
    study = tiny()
    progress = Progress(study)
    before = table_of(progress).cells
    job = Job("ra", 0, 1, {}, 1, 0)
    progress.see(Event(job, record=Record(epoch=1, phase="augment", metrics={"val_accuracy": 0.5}, gpu_seconds=2.0)))
    during = table_of(progress).cells
    progress.see(Event(job, state="COMPLETE"))
    assert before[1] == ["ra", "0/3", "–", "0.0", "", ""]
    assert during[1] == ["ra", "0/3", "–", "2.0", "", "trial 1 epoch 1"]
    assert table_of(progress).cells == [["none", "0/3", "–", "0.0", "", ""], ["ra", "1/3", "0.5000", "2.0", "", ""]]


def test_a_study_runs_inside_a_running_event_loop(store: Store, options: Options) -> None:
    """As in a cell of a notebook, whose kernel has one."""

    async def cell() -> None:
        run(one(), store, options=options)

    asyncio.run(cell())
    assert [outcome.state for outcome in store.outcomes("tiny")] == ["COMPLETE", "COMPLETE"]


def test_the_notebook_is_stored_without_what_it_printed() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


TABLE = '<table><thead><tr><th scope="col">strategy</th>'


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """In a kernel of its own, whose event loop runs: its loop and metric reach workers of Ray too."""
    notebook = nbformat.read(shutil.copy(NOTEBOOK, tmp_path), as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    live_tables = [output.data["text/html"] for output in outputs if output.output_type == "display_data"]
    results = [output.data for output in outputs if output.output_type == "execute_result"]
    assert not any("\x1b" in str(output) for output in outputs), "no escape codes"
    assert [html.count("3/3 final runs") for html in live_tables] == [3, 0], "one table for each run, up to date"
    assert live_tables[1].startswith(TABLE)
    assert "<td>1/1 final run</td>" in live_tables[1], "what Ray ran"
    boards = [data["text/html"] for data in results if TABLE in data.get("text/html", "")]
    assert [board.count("<td>none</td>") for board in boards] == [2, 2]
    states = {name: [each.state for each in stored(tmp_path, name)] for name in ("notebook", "notebook-ray")}
    assert states == {"notebook": ["COMPLETE"] * 15, "notebook-ray": ["COMPLETE"] * 2}
    code = "import sys, policy; print('autoaug' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True) == "False\n"


def stored(folder: Path, name: str) -> Any:
    """The trials of a study in the storage of the notebook."""
    return Store(f"sqlite:///{folder / 'notebook.db'}", existing=True).outcomes(name)
