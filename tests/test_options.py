"""The options of `autoaug run` are the fields of `Options`, each written once."""

import re
import subprocess
import sys
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from autoaug.cli import app
from autoaug.cli._options import options_of
from autoaug.fields import TEXT, at_least
from autoaug.options import Help, Options

WIDE = {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}


def long_names(text: str) -> list[str]:
    """The options of a help page, in their order."""
    return re.findall(r"^\W*--([a-z-]+) ", text, re.MULTILINE)


def command(config: Any, received: dict[str, Any]) -> typer.Typer:
    made = typer.Typer()

    @made.command()
    @options_of(config)
    def go(study: str, *, quiet: bool = False, **fields: Any) -> None:
        received.update(fields)

    return made


def test_the_help_of_run_lists_its_options() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"], env=WIDE).stdout
    names = (
        "storage data executor only cpus-per-trial gpus-per-trial at-once gpus processes address autoscaling "
        "accelerator insecure artifacts retest retry-failed dry-run fresh json quiet help checkpoint-seconds "
        "lease-seconds expiry-seconds hang-seconds retry-seconds grace"
    )
    assert long_names(shown) == names.split()
    for line in (
        r"--only +STRATEGY +Run this one; may be repeated\. +│",
        r"--cpus-per-trial +<?\w+>? +CPU cores, and so torch threads, of a trial\. \[default: 1\.0\]",
        r"--at-once +<?\w+>? +The most trials at the same time\. +│",
        r"--artifacts +FOLDER\|URL +Where checkpoints lie: a folder or a URL\. \[default: artifacts\]",
        r"--retest +.* +Test the better points that were found after the final runs, too\.",
        r"Recovery",
        r"--hang-seconds +SECONDS +Without a training step, a trial is given up\. \[default: 1800\.0\]",
    ):
        assert re.search(line, shown), line


def test_every_field_but_what_the_command_sets_itself_is_an_option_of_run() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"], env=WIDE).stdout
    hidden = {field.name for field in fields(Options)} - {name.replace("-", "_") for name in long_names(shown)}
    assert hidden == {"local", "project", "interruption"}


def test_a_new_field_is_a_new_option() -> None:
    new = ("attempts", Annotated[int, at_least(1), Help("So often.")], 3)
    more = make_dataclass("More", [new], bases=(Options,), frozen=True, kw_only=True)
    received: dict[str, Any] = {}
    made = command(more, received)
    assert re.search(r"--attempts .*So often\. \[default: 3\]", CliRunner().invoke(made, ["--help"], env=WIDE).stdout)
    assert CliRunner().invoke(made, ["s"]).exit_code == 0
    assert more(**received) == more()
    assert CliRunner().invoke(made, ["s", "--attempts", "7"]).exit_code == 0
    assert more(**received) == more(attempts=7)


def test_a_field_without_help_is_no_option() -> None:
    more = make_dataclass("More", [("hidden", bool, False)], bases=(Options,), frozen=True, kw_only=True)
    assert "--hidden" not in CliRunner().invoke(command(more, {}), ["--help"], env=WIDE).stdout


@dataclass(frozen=True)
class Kinds:
    """A field of every kind that an option may have."""

    names: Annotated[tuple[Annotated[str, TEXT], ...], Help("Several.")] = ()
    count: Annotated[int | None, at_least(1), Help("A number or none.")] = None
    folder: Annotated[Path, Help("A path.")] = Path("here")
    on: Annotated[bool, Help("A flag.")] = False


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ("", {"names": [], "count": None, "folder": Path("here"), "on": False}),
        ("--names a --names b", {"names": ["a", "b"], "count": None, "folder": Path("here"), "on": False}),
        ("--count 2 --folder there --on", {"names": [], "count": 2, "folder": Path("there"), "on": True}),
    ],
)
def test_values_arrive_in_the_type_of_their_field(arguments: str, values: dict[str, Any]) -> None:
    received: dict[str, Any] = {}
    result = CliRunner().invoke(command(Kinds, received), ["s", *arguments.split()])
    assert result.exit_code == 0, result.output
    assert received == values


@pytest.mark.parametrize("arguments", ["--no-on", "--count x"])
def test_what_is_no_option_or_no_value_is_refused(arguments: str) -> None:
    assert CliRunner().invoke(command(Kinds, {}), ["s", *arguments.split()]).exit_code == 2


def test_options_import_nothing_heavy() -> None:
    code = "import sys, autoaug.options; print(sorted({'torch', 'numpy', 'optuna', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
