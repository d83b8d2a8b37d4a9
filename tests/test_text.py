"""Text of others is shown on one line, in printable characters, of bounded length, wherever it is shown."""

import csv
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Call, calling, study
from outcomes_for_tests import comparison, finals
from rich.console import Console
from studies_for_tests import tiny

from autoaug.cli._checks import Finding
from autoaug.cli._console import LineProgress, plan_table
from autoaug.cli._leaderboard import Leaderboard
from autoaug.compare import Comparison, to_csv
from autoaug.execution import Event, Job
from autoaug.executors import Progress
from autoaug.export import EXPORTERS, export
from autoaug.page import report
from autoaug.policy import PolicyTree, apply, load_tree, policy_tree
from autoaug.policy._errors import PolicyError
from autoaug.policy._files import encode, save
from autoaug.study import plan
from autoaug.text import LOG, LONGEST, cell, counted, shown

HOSTILE = "\x1b[2J\x9b31m[red]a\u202eb\u2066\u2028\r\n\x85second\x00\x07\udcffé"
"""Clears the screen, is markup, turns the direction of writing, breaks lines, rings the bell, cannot be encoded."""

SHOWN = r"\x1b[2J\x9b31m[red]a\u202eb\u2066 second\x00\x07\udcffé"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def harmless(text: str) -> None:
    """What is shown holds the text, escaped, and nothing that a terminal or a page would obey."""
    assert SHOWN in text
    assert text.replace("\n", "").isprintable()
    assert not any(line.startswith("second") for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HOSTILE, SHOWN),
        ("  two  spaces\tand a tab \n\n  and lines\n", "  two  spaces and a tab and lines"),
        ("", ""),
        (None, "None"),
        (ValueError("x\ny"), "x y"),
        ("日本語 ± – … ß", "日本語 ± – … ß"),
        (r"C:\x1b", r"C:\x1b"),
    ],
)
def test_a_text_becomes_one_printable_line(text: object, line: str) -> None:
    assert shown(text) == line


def test_of_a_long_text_the_middle_is_left_out_and_counted() -> None:
    assert shown("x" * LONGEST) == "x" * LONGEST
    said = shown(f"begin {'x' * 100_000} end", most=100)
    assert said.startswith("begin xxx")
    assert said.endswith("xxx end")
    assert "… (99,910 characters left out) …" in said
    assert said.count("x") + 99_910 == 100_000 + "characters".count("x")


def test_an_error_that_cannot_be_read_is_shown_too() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("within")

    assert shown(Broken()) == "Broken, which cannot be read"


def test_what_the_library_logs_is_shown_safely(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, LOG.name):
        LOG.warning("of %s", HOSTILE)
    assert caplog.messages == [f"of {SHOWN}"]


HOSTILE_MODEL = """
import torch
class Net(torch.nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.net = torch.nn.Linear(64 * channels, classes)
    def forward(self, images):
        if self.training and len(images) > 64:  # the preflight tries fewer
            raise RuntimeError({error!r} + "x" * 100_000)
        return self.net(images.flatten(1))
"""


def test_an_error_of_a_users_code_is_one_plain_line_everywhere(call: Call, tmp_path: Path) -> None:
    fields = {"strategies": "{'none': none()}", "budget": "Budget(trials=1)", "seeds": "1"}
    model = HOSTILE_MODEL.format(error=HOSTILE)
    text = study(task="Task(data='digits', model=Net, epochs=1)", space="{}", **fields)
    (tmp_path / "s.py").write_text(model + text)
    ran = call("run", "s.py")
    assert ran.exit_code == 1
    event = next(line for line in ran.stdout.splitlines() if line.startswith("none trial 0: fail"))
    harmless(event)
    assert event.endswith("(s.py:9)"), "the place of the error is not cut off"
    assert len(ran.stdout) < 5 * LONGEST
    for said in (ran.stderr, call("compare", "s.py").stderr):
        (hint,) = (line for line in said.splitlines() if "failed, last" in line)
        harmless(hint)
    for line in call("compare", "s.py", "--json").stdout.splitlines():
        json.loads(line)


def test_an_error_of_a_study_file_is_one_plain_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(f"raise RuntimeError({HOSTILE!r} + 'x' * 100_000)")
    said = call("run", "s.py").stderr
    assert said.startswith("error: s.py, line 1: RuntimeError: ")
    assert said.count("\n") == 1
    harmless(said)
    assert len(said) < 1.2 * LONGEST


def drawn(picture: object) -> str:
    console = Console(width=400, record=True, file=io.StringIO(), highlight=False)
    console.print(picture)
    return console.export_text()


def hostile_comparison() -> Comparison:
    """A study whose names somebody else has written into its storage."""
    outcomes = [each for name in ("none", HOSTILE) for each in finals(name, {0: 0.5, 1: 0.6}, study=HOSTILE)]
    facts = {"metric": "val_accuracy", "baseline": "none", "spaces": {"none": {}, HOSTILE: {}}}
    return comparison(outcomes, definition=facts, provenance={HOSTILE: HOSTILE})


def test_tables_and_pages_show_the_names_of_others_safely() -> None:
    found = hostile_comparison()
    text = drawn(Leaderboard(found))
    harmless(text)
    assert text.count(SHOWN) >= 4, "title, both tables, legend"
    page = report(found, {})
    for part in page.split("<script")[0].split("</style>")[1].splitlines():
        assert part.isprintable(), part
    assert page.count(SHOWN) >= 5
    assert "<script>" not in report(comparison(definition={"metric": "val_accuracy"}, provenance={"<script>": "x"}), {})


def test_the_plan_and_the_progress_show_names_safely() -> None:
    lines = [replace(line, dimensions=(HOSTILE,)) for line in plan(tiny())]
    harmless(drawn(plan_table(tiny(), lines)))
    event = Event(Job("none", 1, 0, {}, 1, 0), state="FAIL", reason=HOSTILE)
    file = io.StringIO()
    LineProgress(Console(file=file, width=20), Progress(tiny(), []))(event)
    harmless(file.getvalue())
    assert file.getvalue().count("\n") == 1


def test_csv_holds_no_formula_and_no_escape_codes() -> None:
    outcomes = finals("=cmd|' /C calc'!A0", {0: 0.5}) + finals(HOSTILE, {0: 0.4})
    found = comparison(outcomes, definition={"spaces": {"=cmd|' /C calc'!A0": {}, HOSTILE: {}}})
    read = list(csv.DictReader(io.StringIO(to_csv(found.rows))))
    assert [row["strategy"] for row in read] == ["'=cmd|' /C calc'!A0", SHOWN]


@pytest.mark.parametrize("value", [-0.25, 3, None, True])
def test_numbers_stay_numbers_in_csv(value: object) -> None:
    assert cell(value) is value


def hostile_policy() -> PolicyTree:
    return policy_tree(apply("rotate", 0.5), provenance={HOSTILE.replace("\udcff", ""): f"{HOSTILE[:-2]}\nimport os"})


@pytest.mark.parametrize("format", sorted(set(EXPORTERS) - {"timm"}))  # its text is one known word
def test_an_exported_file_holds_nothing_but_printable_lines(format: str) -> None:
    text = export(hostile_policy(), format, allow_lossy=True).text
    assert text.replace("\n", "").isprintable()
    assert not any(line.startswith(("import os", "second")) for line in text.splitlines())


def test_a_policy_file_comes_back_exactly(tmp_path: Path) -> None:
    tree = hostile_policy()
    assert encode(tree).replace("\n", "").isprintable()
    save(tree, tmp_path / "p.json")
    assert load_tree(tmp_path / "p.json") == tree


def test_a_hostile_policy_file_is_refused_in_one_plain_line(call: Call, tmp_path: Path) -> None:
    bad = {"schema": "autoaug.policy/1", "root": {"kind": "apply", "op": HOSTILE, "strength": 1}, HOSTILE: 1}
    (tmp_path / "p.json").write_text(json.dumps(bad))
    for command in (("export", "p.json", "--format", "json"), ("show", "p.json")):
        said = call(*command).stderr
        assert said.startswith("error: p.json")
        assert said.count("\n") == 1
        assert said[:-1].isprintable()
    assert str(PolicyError(HOSTILE)) == SHOWN


def test_what_the_doctor_finds_is_shown_safely(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = Finding(HOSTILE, "fail", HOSTILE)
    monkeypatch.setattr("autoaug.cli._checks.CHECKS", {"clock": lambda where: finding})
    harmless(call("doctor").stdout)


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (1, "strategy", "1 strategy"),
        (2, "strategy", "2 strategies"),
        (0, "study", "0 studies"),
        (1, "final run", "1 final run"),
        (12_000, "final run", "12,000 final runs"),
        (2, "day", "2 days"),
        (3, "class", "3 classes"),
        (2, "batch", "2 batches"),
        (2, "epoch", "2 epochs"),
    ],
)
def test_what_is_counted_agrees_with_its_number(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said
