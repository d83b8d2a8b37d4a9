"""A study in a notebook: what a cell shows while it runs and after, and the notebook that is shipped."""

import re
from typing import Any

import pytest
from outcomes_for_tests import comparison, finals
from studies_for_tests import tiny

from autoaug import Budget, run
from autoaug.compare import to_html
from autoaug.execution import Event, Job, Options
from autoaug.executors import Progress
from autoaug.notebook import table_of
from autoaug.record import Record
from autoaug.store import Store
from autoaug.strategies import none


def one(**more: Any) -> Any:
    """A study of one trial and one final run."""
    return tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=1, space={}, **more)


def test_a_comparison_is_a_table_in_a_notebook() -> None:
    html = comparison(finals("none", {0: 0.5, 1: 0.6}))._repr_html_()
    assert html.count("<table>") == 2
    assert "<td>none</td>" in html
    assert "0.5500" in html
    assert "<li>± half a 95 % interval by Student&#x27;s t, over 2 final runs</li>" in html


def test_nothing_that_a_comparison_says_is_markup() -> None:
    evil = "<script>alert(1)</script>"
    html = to_html(comparison(finals(evil, {0: 0.5, 1: 0.6}), definition={"baseline": evil}))
    assert set(re.findall(r"<(\w+)", html)) == {"p", "strong", "table", "thead", "tr", "th", "tbody", "td", "ul", "li"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_run_opens_the_storage_that_the_command_line_would(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
        stored = Store(f"sqlite:///{file}", existing=True).outcomes("tiny")
        assert list(found.outcomes) == stored
        assert [row.name for row in found.rows] == ["none"]
        assert len(stored) == 2


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
