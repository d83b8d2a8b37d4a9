"""A metric of the user's: given as a value, tried before a study runs, known in every process and to every reader."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from command_line import study as text_of_study
from studies_for_tests import tiny
from torch import Tensor

from autoaug import Budget, Task
from autoaug.compare import stored_comparison
from autoaug.data import npz
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.metrics import (
    METRICS,
    Metric,
    adopted,
    facts_of,
    label_of,
    metric_of,
    own_metrics,
    range_of,
    stored_table,
    words_of,
)
from autoaug.record import TrialKind
from autoaug.store import Store, compact
from autoaug.strategies import none
from autoaug.study import complete_definition, preflight


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The table as it was, whatever a test adds to it."""
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


def missed(logits: Tensor, targets: Tensor) -> float:
    """Ten for each image of class 0 that is taken for another, one for each other mistake; as a plain number."""
    wrong = (logits.argmax(1) != targets).float()
    return (wrong * (1 + 9 * (targets == 0))).mean().item()


COST = Metric(function=missed, direction="minimize", label="miss cost", words="cost of mistakes", range=(0.0, 10.0))


# As a value


def test_a_metric_that_is_given_as_a_value_becomes_a_row() -> None:
    asked = tiny(metric=COST)
    assert (asked.metric, asked.direction) == ("val_miss_cost", "minimize")
    assert METRICS["miss_cost"] is COST
    assert own_metrics() == {"miss_cost": COST}
    assert replace(asked, seeds=5).metric == asked.metric
    assert tiny(metric=METRICS["nll"]).metric == "val_nll", "a row is itself"


def test_a_function_alone_does_not_say_which_direction_is_better() -> None:
    with pytest.raises(ValueError, match=r"Study.metric is .*missed.*: say which direction is better: Metric\("):
        tiny(metric=missed)


@pytest.mark.parametrize("label", ["", "  ", "!!", "val cost", "x" * 61])
def test_a_label_that_makes_no_name_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match=r"cannot name a metric: give one of 1 to 60 letters and digits"):
        tiny(metric=replace(COST, label=label))
    assert not own_metrics()


def test_two_metrics_do_not_share_a_name() -> None:
    assert adopted(COST) == "miss_cost"
    other = Metric(function=torch.dot, direction="maximize", label="miss cost")
    with pytest.raises(ValueError, match=r"METRICS has another row 'miss_cost': give another label"):
        adopted(other)
    with pytest.raises(ValueError, match=r"another row 'nll'"):
        adopted(replace(COST, label="nll"))
    assert list(own_metrics()) == ["miss_cost"]


def test_a_function_that_was_defined_again_takes_the_place_of_its_row() -> None:
    """As where a cell of a notebook is run twice."""

    def define() -> Metric:
        def cost(logits: Tensor, targets: Tensor) -> float:
            return 0.0

        return Metric(function=cost, direction="minimize", label="cost")

    first, second = define(), define()
    assert first != second
    assert (adopted(first), adopted(second)) == ("cost", "cost")
    assert METRICS["cost"] is second


# Before a study runs


def result(value: Any) -> Callable[[Tensor, Tensor], Any]:
    return lambda logits, targets: value


def raising(logits: Tensor, targets: Tensor) -> float:
    raise RuntimeError("no positives")


def in_place(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.sub_(logits.mean()).mean()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raising, r"fails of logits \[600, 10\] and targets \[600\]: RuntimeError: no positives"),
        (result(float("nan")), r"gives nan of logits .*: give a finite number"),
        (result(float("inf")), r"gives inf of"),
        (result(None), r"gives a NoneType of .*: give a number"),
        (result("x"), r"gives a str of"),
        (result(torch.zeros(3)), r"gives a tensor \[3\] of .*: give one number"),
        (result(10.5), r"gives 10.5 of .*: its range is 0 to 10"),
        (in_place, r"changes the logits, which other metrics are given: work on a copy"),
    ],
)
def test_a_metric_that_gives_no_number_is_refused_before_any_time_is_spent(function: Any, said: str) -> None:
    asked = tiny(metric=replace(COST, function=function))
    with pytest.raises(ValueError, match=f"^the metric 'miss_cost' {said}"):
        preflight(asked)


def test_a_sum_is_held_to_the_range_of_its_mean() -> None:
    asked = tiny(metric=Metric(function=result(700.0), direction="minimize", label="c", range=(0, 1), additive=True))
    with pytest.raises(ValueError, match=r"gives 1.16667, divided by the samples since it is additive, of"):
        preflight(asked)


def test_a_metric_that_needs_more_classes_than_there_are_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (90, 8, 8, 1), dtype=np.uint8), np.arange(90) % 3
    np.savez(tmp_path / "three.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    task = Task(data=npz(tmp_path / "three.npz"), model="convnet", epochs=1, batch_size=10, device="cpu")
    asked = tiny(task=task, metric="val_top5", space={})
    with pytest.raises(ValueError, match=r"the metric 'val_top5' of study 'tiny' needs 6 classes or more, and .* 3:"):
        preflight(asked)
    preflight(replace(asked, metric="val_balanced_accuracy"))


# Stored with the study


def test_the_facts_of_a_row_are_plain_data_and_come_back() -> None:
    METRICS["miss_cost"] = COST
    METRICS["free"] = Metric(function=missed, direction="maximize", label="free")
    stored = json.loads(json.dumps(tiny(metric="val_miss_cost").describe(), allow_nan=False))
    assert set(stored["metrics"]) == {"miss_cost", "free"}
    for name in ("miss_cost", "free"):
        here, read = METRICS[name], stored_table(stored)[name]
        assert facts_of(read) == facts_of(here)
        assert (read.range, read.direction, read.better) == (here.range, here.direction, here.better)
        with pytest.raises(RuntimeError, match="in the file of its study"):
            read.function(torch.zeros(1, 2), torch.zeros(1))
    del METRICS["miss_cost"], METRICS["free"]
    table = stored_table(stored)
    assert label_of("test_miss_cost", table) == "test miss cost"
    assert words_of("val_miss_cost", table) == "validation cost of mistakes"
    assert (range_of("val_miss_cost", table), range_of("val_free", table)[0]) == ((0.0, 10.0), float("-inf"))
    assert metric_of("val_miss_cost", table=table).direction == "minimize"
    assert stored_table({}) == METRICS
    assert complete_definition(stored)["metrics"] == stored["metrics"]
    assert "metrics" not in tiny().describe(), "a study without rows of its own is stored as before"


def test_a_study_whose_metric_changes_its_direction_is_another_one(store: Store) -> None:
    first = tiny(metric=COST)
    store.define("tiny", first.describe(), complete_definition)
    METRICS["miss_cost"] = replace(COST, label="renamed")
    store.define("tiny", tiny(metric="val_miss_cost").describe(), complete_definition)
    METRICS["miss_cost"] = replace(COST, direction="maximize")
    with pytest.raises(ValueError, match=r"run with the metric miss_cost.direction = minimize, and now has maximize"):
        store.define("tiny", tiny(metric="val_miss_cost").describe(), complete_definition)


MODULE = """
from autoaug.metrics import METRICS, Metric

def missed(logits, targets):
    wrong = (logits.argmax(1) != targets).float()
    return (wrong * (1 + 9 * (targets == 0))).mean().item()
"""
VALUE = "Metric(function=missed, direction='minimize', label='miss cost', range=(0.0, 10.0))"
SMALL = {"strategies": "{'none': none(), 'again': none()}", "budget": "Budget(trials=1)", "seeds": "2"}


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A folder in which a study was run by a row that its file adds, in processes of its workers; the file is gone.

    Nothing of the study refers to the file: who unpickled the study alone would not know the row.
    """
    text = text_of_study(metric="'val_miss_cost'", **SMALL)
    (tmp_path / "s.py").write_text(f"{MODULE}\nMETRICS['miss_cost'] = {VALUE}\n{text}")
    call(tmp_path, "run", "s.py", "--processes", "1", "-q")
    (tmp_path / "s.py").unlink()
    return tmp_path


def call(folder: Path, *arguments: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-m", "autoaug", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_workers_measure_it_and_readers_without_the_file_know_it(ran: Path) -> None:
    said = call(ran, "compare", "tiny", "--html", "page.html", "--csv", "table.csv")
    assert "test miss cost" in said
    assert "less is better" in said
    plain = json.loads(call(ran, "compare", "tiny", "--json"))
    assert (plain["metric"], plain["direction"]) == ("val_miss_cost", "minimize")
    means = [each["test"]["mean"] for each in plain["strategies"]]
    assert means == sorted(means), "less is better"
    assert all(0 <= each["test"]["low"] <= each["test"]["high"] <= 10 for each in plain["strategies"])
    page = (ran / "page.html").read_text()
    assert "best val miss cost" in page
    assert not own_metrics(), "this process does not have the row"
    store = Store(f"sqlite:///{ran}/autoaug.db")
    found = stored_comparison([(store, "tiny")])
    assert (found.direction, found.label(found.test_metric)) == ("minimize", "test miss cost")
    finals = optuna.load_study(study_name="tiny/leaderboard", storage=store.optuna)
    assert finals.directions[0].name == "MINIMIZE"
    assert store.leaderboard("tiny").metric_names == ["test_miss_cost", "gpu_seconds"]
    assert [each.left_alone for each in compact(store, keep=6)] == [""]


def test_a_store_of_an_earlier_version_lacks_the_new_rows(store: Store, options: Options) -> None:
    asked = tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=1)
    added = {name: METRICS.pop(name) for name in list(METRICS) if name not in ("accuracy", "nll")}
    run(asked, store, options=options)
    METRICS.update(added)
    (row,) = stored_comparison([(store, "tiny")]).rows
    assert set(row.others) == {"nll"}
    (final,) = [each for each in store.outcomes("tiny") if each.kind is TrialKind.FINAL]
    assert {name for name in final.metrics if name.startswith("test_")} == {"test_accuracy", "test_nll"}
