"""The examples of commands, run as their readers run them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoaug import Budget, Command, Study
from autoaug.cli._project import load_study
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.store import Store
from autoaug.testing import CommandTestCase

EXAMPLES = Path(__file__).parent.parent / "examples"


def study_in(path: Path) -> Study:
    """The study of an example, and an example that is short enough to be read."""
    assert all(len(file.read_text().splitlines()) <= 60 for file in path.parent.glob(f"{path.stem}*"))
    return load_study(str(path)).study


class TestShell(CommandTestCase):
    @pytest.fixture
    def command(self) -> Command:
        return Command(["sh", "command.sh"], cwd=EXAMPLES)

    def params(self) -> Mapping[str, Any]:
        return {"lr": 0.25}

    def metric(self) -> str:
        return "val_error"


def test_the_shell_example_finds_the_largest_rate_that_helps(store: Store, options: Options) -> None:
    """What it minimises is 9 (1 - 2 lr)^10 after five steps from zero."""
    run(study_in(EXAMPLES / "command.py"), store, options=options)
    outcomes = store.outcomes("command")
    assert [outcome.state for outcome in outcomes] == ["COMPLETE"] * 6
    for outcome in outcomes:
        rate = outcome.point["train.lr"]
        assert outcome.metrics["val_error"] == pytest.approx(9 * (1 - 2 * rate) ** 10, abs=1e-4)
    final = [outcome.metrics for outcome in outcomes if outcome.kind == "final"]
    assert all(metrics["test_error"] == metrics["val_error"] for metrics in final)


@pytest.mark.slow
def test_torchrun_searches(store: Store, options: Options) -> None:
    short = replace(study_in(EXAMPLES / "torchrun" / "study.py"), budget=Budget(trials=1), seeds=1)
    run(short, store, options=replace(options, only=("trivialaugment",)))  # each trial imports torch three times
    outcomes = store.outcomes("torchrun")
    assert [(outcome.state, outcome.epochs, outcome.attempt) for outcome in outcomes] == [("COMPLETE", 4, 1)] * 2
    assert all(outcome.gpu_seconds > 0.5 for outcome in outcomes), "what the ranks spend is the trial's cost"
