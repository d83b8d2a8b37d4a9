"""The table of metrics: what is measured, and that a study is searched, ranked, tested and drawn by its own row."""

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from command_line import Call, calling
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from outcomes_for_tests import comparison, finals
from studies_for_tests import tiny
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, one_hot

from autoaug import Budget, Study
from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import (
    Comparison,
    LeaderboardRow,
    legend,
    stored_comparison,
    tables,
    to_csv,
    to_json,
    verdict,
    winning_policy,
)
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.metrics import METRICS, Metric, label_of, metric_of, on_split, range_of, words_of
from autoaug.page import report
from autoaug.record import LEADERBOARD, Outcome, TrialKind
from autoaug.store import Store
from autoaug.strategies import none
from autoaug.train._evaluation import Evaluation

CPU = torch.device("cpu")


def samples(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of ten classes, and labels."""
    rng = Generator().manual_seed(seed)
    return 3 * torch.randn(count, 10, generator=rng), torch.randint(10, (count,), generator=rng)


def evaluated(logits: Tensor, targets: Tensor, part: int) -> dict[str, float]:
    """What an evaluation in parts of so many samples gives."""
    evaluation = Evaluation(CPU, logits.shape[1])
    for some, goals in zip(logits.split(part), targets.split(part), strict=True):
        evaluation.add(some, goals)
    return evaluation.values()


# The table


def test_names_are_rows_on_splits() -> None:
    assert on_split("test", "val_nll") == on_split("test", "nll") == "test_nll"
    assert metric_of("val_nll") is metric_of("train_nll") is metric_of("nll") is METRICS["nll"]
    assert (label_of("test_nll"), words_of("val_nll")) == ("test nll", "validation negative log-likelihood")
    assert (label_of("hyper_norm"), words_of("hyper_norm")) == ("hyper_norm", "hyper_norm")
    assert (range_of("test_accuracy"), range_of("hyper_norm")) == ((0, 1), (-math.inf, math.inf))


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("val_acuracy", "did you mean 'val_accuracy'"),
        ("test_nl", "did you mean 'test_nll'"),
        ("acuracy", "did you mean 'accuracy'"),
        ("val_", "did you mean 'val_nll'"),
        ("zzz", "known are accuracy, balanced_accuracy, "),
    ],
)
def test_an_unknown_metric_is_answered_with_the_near_ones(name: str, fix: str) -> None:
    with pytest.raises(ValueError, match="unknown metric") as error:
        metric_of(name)
    assert fix in str(error.value)


@pytest.mark.parametrize("name", ["test_accuracy", "train_nll", "nll", "val_error"])
def test_a_study_is_searched_by_a_row_on_validation_and_nothing_else(name: str) -> None:
    with pytest.raises(ValueError, match=f"^unknown metric '{name}' of study 'tiny': .*'?val_"):
        tiny(metric=name)


# Evaluation


@pytest.mark.parametrize("count", [37, 1000, 2500])
def test_means_over_samples_are_the_very_sums_of_their_parts(count: int) -> None:
    """Results must not move in the last digit: sums of float32 over parts of 1,000, in order."""
    logits, targets = samples(count)
    right, nll = torch.zeros(()), torch.zeros(())
    for some, goals in zip(logits.split(1000), targets.split(1000), strict=True):
        right += (some.argmax(1) == goals).sum()
        nll += cross_entropy(some, goals, reduction="sum")
    accuracy, mean = (torch.stack([right, nll]) / count).tolist()
    found = evaluated(logits, targets, 1000)
    assert (found["accuracy"], found["nll"]) == (accuracy, mean)


def test_soft_targets_that_are_sure_count_as_labels() -> None:
    logits, targets = samples(500)
    hard, soft = evaluated(logits, targets, 200), evaluated(logits, one_hot(targets, 10).float(), 200)
    assert soft == {**hard, "nll": pytest.approx(hard["nll"], rel=1e-6)}


def test_a_row_that_is_no_mean_over_samples_is_given_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many classes are predicted at all: of parts of one sample it would be one."""
    row = Metric(function=lambda logits, _: logits.argmax(1).unique().numel(), direction="maximize", label="classes")
    monkeypatch.setitem(METRICS, "classes", row)
    logits, targets = samples(500)
    found = evaluated(logits, targets, 1)
    assert found["classes"] == 10.0
    assert found["nll"] == pytest.approx(cross_entropy(logits, targets).item(), rel=1e-5)


# A row of one's own


def wrong(logits: Tensor, targets: Tensor) -> Tensor:
    return 1 - (logits.argmax(1) == targets).float().mean()


ERROR = Metric(function=wrong, direction="minimize", label="error", range=(0.0, 1.0), proportion=True)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, store: Store, options: Options) -> Study:
    """A study by the error, which was run. Adding the row was all that the metric takes."""
    monkeypatch.setitem(METRICS, "error", ERROR)
    asked = tiny(metric="val_error")
    run(asked, store, options=options)
    return asked


@pytest.fixture
def found(study: Study, store: Store) -> Comparison:
    return stored_comparison([(store, study.name)])


def by_name(found: Comparison) -> dict[str, LeaderboardRow]:
    return {row.name: row for row in found.rows}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_a_study_is_searched_by_the_new_row(study: Study, store: Store) -> None:
    for record in store.epochs("tiny"):
        assert record.metrics["val_error"] == pytest.approx(1 - record.metrics["val_accuracy"])
    search = optuna.load_study(study_name="tiny/ra", storage=store.optuna)
    assert (search.direction, search.metric_names) == (StudyDirection.MINIMIZE, ["val_error"])
    finals = optuna.load_study(study_name="tiny/leaderboard", storage=store.optuna)
    assert finals.directions == [StudyDirection.MINIMIZE, StudyDirection.MINIMIZE]
    assert finals.metric_names == ["test_error", "gpu_seconds"]
    outcomes = store.outcomes("tiny")
    for name in study.strategies:
        searched = [each for each in outcomes if each.strategy == name and each.kind is not TrialKind.FINAL]
        assert len({each.value for each in searched}) > 1, "or any point would be the best one"
        best = min(searched, key=lambda each: each.value or 0.0)
        tested = [each for each in outcomes if each.strategy == name and each.kind is TrialKind.FINAL]
        assert [each.point for each in tested] == [best.point] * 2


def test_the_leaderboard_ranks_and_tests_by_the_new_row(found: Comparison) -> None:
    scores = {
        name: [
            each.metrics["test_error"]
            for each in found.outcomes
            if each.kind is TrialKind.FINAL and each.strategy == name
        ]
        for name in found.strategies
    }
    rows = by_name(found)
    assert [row.name for row in found.rows] == sorted(scores, key=lambda name: mean(scores[name]))
    for name, row in rows.items():
        assert row.test
        assert row.test.mean == pytest.approx(mean(scores[name]))
        assert row.others["accuracy"].test
        assert row.others["accuracy"].test.mean == pytest.approx(1 - row.test.mean)
        assert set(row.others) == {*METRICS} - {"error"}
        best = min(
            each.value or 1.0 for each in found.outcomes if each.strategy == name and each.kind is not TrialKind.FINAL
        )
        assert row.val_best == best
        assert row.doubt
        assert row.doubt.width == METRICS["error"].half_width(best, row.doubt.images)
    versus = rows["ra"].vs_baseline
    assert versus
    assert versus.difference == pytest.approx(mean(scores["ra"]) - mean(scores["none"]))
    by_accuracy = rows["ra"].others["accuracy"].vs_baseline
    assert by_accuracy
    assert by_accuracy.p == pytest.approx(versus.p)
    assert by_accuracy.difference == pytest.approx(-versus.difference)


def test_people_and_machines_read_the_new_row(found: Comparison, study: Study, store: Store) -> None:
    result, search = tables(found)
    assert result.headings[2] == "test error"
    assert search.headings[:3] == ["strategy", "test accuracy", "delta"]
    assert "best val_error" in search.headings
    assert any("less is better" in line for line in legend(found))
    assert any(line.startswith("rank: mean place by test error") for line in legend(found))
    said = json.loads(json.dumps(to_json(found)))
    assert (said["metric"], said["direction"]) == ("val_error", "minimize")
    rows = by_name(found)
    for each in said["strategies"]:
        test = rows[each["name"]].test
        assert test
        assert each["test"]["mean"] == test.mean
        assert each["test_accuracy"]["mean"] == pytest.approx(1 - test.mean)
        assert "others" not in each
    lines = list(csv.DictReader(io.StringIO(to_csv(found.rows))))
    assert [float(line["test_mean"]) for line in lines] == sorted(float(line["test_mean"]) for line in lines)
    assert {"test_accuracy_mean", "test_nll_mean", "vs_baseline_nll_p", "test_reads"} <= set(lines[0])
    facts = winning_policy(study, store).provenance
    assert facts["test_error"].startswith(f"{found.rows[0].test.mean:.4f}")  # type: ignore[union-attr]
    assert facts["val_error"] == found.rows[0].val_best


def test_figures_and_the_page_show_the_new_row(found: Comparison) -> None:
    figures = load_figures(shipped_root())
    for line in figures["race"](found).data:
        assert list(line.y) == sorted(line.y, reverse=True), "the best error so far falls"
        assert line.y[-1] == pytest.approx(by_name(found)[line.name].val_best, abs=1e-4)
    assert figures["race"](found).layout.yaxis.title.text == "best val error"
    drawn = figures["learning curves"](found)
    assert drawn.layout.yaxis.title.text == "val error"
    for line in (each for each in drawn.data if each.name and each.yaxis == "y"):
        ends = [
            each
            for each in found.records
            if each.kind is TrialKind.FINAL and each.strategy == line.name and each.epoch == line.x[-1]
        ]
        assert line.y[-1] == pytest.approx(mean([each.metrics["val_error"] for each in ends]), abs=1e-4)
    page = report(found, figures)
    for text in ("test error", "test accuracy", "test nll", "optimising val_error", "best val error"):
        assert text in page


# A study by the log-likelihood


ACCURACY = {"none": (0.80, 0.82, 0.81), "sharp": (0.90, 0.92, 0.92), "calm": (0.70, 0.72, 0.70)}
NLL = {"none": (0.50, 0.52, 0.48), "sharp": (0.70, 0.73, 0.67), "calm": (0.40, 0.41, 0.38)}
"""The most accurate strategy has the worst log-likelihood, and the least accurate one the best."""


def by_hand(metric: str) -> Comparison:
    outcomes: list[Outcome] = []
    for name in NLL:
        for seed, (accuracy, nll) in enumerate(zip(ACCURACY[name], NLL[name], strict=True)):
            outcomes += finals(name, {seed: 0.0}, metrics={"test_accuracy": accuracy, "test_nll": nll})
    return comparison(outcomes, definition={"metric": metric, "spaces": {name: {} for name in NLL}})


def test_the_log_likelihood_decides_where_a_study_asks_for_it() -> None:
    found = by_hand("val_nll")
    rows = by_name(found)
    assert list(rows) == ["calm", "none", "sharp"]
    assert [row.rank for row in rows.values()] == [1.0, 2.0, 3.0]
    sharp, calm = rows["sharp"].vs_baseline, rows["calm"].vs_baseline
    assert sharp
    assert calm
    # differences .2, .21, .19: t = .2 / (.01 / sqrt(3)), and p = 1 - t / sqrt(t² + 2) for two degrees of freedom
    t = 0.2 / (0.01 / math.sqrt(3))
    assert (sharp.difference, sharp.p) == (pytest.approx(0.2), pytest.approx(1 - t / math.sqrt(t**2 + 2)))
    # differences -.1, -.11, -.1: mean -.31 / 3, standard error .01 / 3, t = 31
    p = 1 - 31 / math.sqrt(31**2 + 2)
    assert (calm.difference, calm.p) == (pytest.approx(-0.31 / 3), pytest.approx(p))
    assert calm.p_holm == sharp.p_holm == pytest.approx(2 * (1 - t / math.sqrt(t**2 + 2)))
    assert (sharp.verdict, calm.verdict) == ("worse", "better")
    assert verdict(rows["calm"], "none").startswith("better than none: -0.1033 [-0.1177, -0.0890], p 0.002")
    assert rows["sharp"].others["accuracy"].vs_baseline
    assert rows["sharp"].others["accuracy"].vs_baseline.verdict == "better"
    assert "rank: mean place by test nll over the final runs that all share" in legend(found)
    assert any(line.startswith("* of the accuracy: more than chance") for line in legend(found))
    assert any(line.startswith("difference to none, paired by seed; less is better; p") for line in legend(found))


def test_the_same_runs_are_ranked_the_other_way_round_by_accuracy() -> None:
    found = by_hand("val_accuracy")
    rows = by_name(found)
    assert list(rows) == ["sharp", "none", "calm"]
    assert rows["sharp"].vs_baseline
    assert rows["sharp"].vs_baseline.verdict == "better"
    assert rows["sharp"].others["nll"].vs_baseline
    assert rows["sharp"].others["nll"].vs_baseline.verdict == "worse"
    assert not any(line.startswith("difference") and "less is better" in line for line in legend(found))


def test_an_interval_of_a_log_likelihood_ends_at_zero_and_that_of_a_difference_nowhere() -> None:
    outcomes = [
        *finals("none", {0: 0.0}, metrics={"test_nll": 9.0}),
        *finals("none", {1: 0.0}, metrics={"test_nll": 0.1}),
        *finals("ra", {0: 0.0}, metrics={"test_nll": 0.1}),
        *finals("ra", {1: 0.0}, metrics={"test_nll": 0.3}),
    ]
    rows = by_name(comparison(outcomes, definition={"metric": "val_nll"}))
    assert rows["ra"].test
    assert rows["ra"].test.low == 0.0
    assert rows["ra"].vs_baseline
    assert rows["ra"].vs_baseline.low is not None
    assert rows["ra"].vs_baseline.low < -9.0


def two_points(store: Store, **more: Any) -> Study:
    """A study by the log-likelihood whose search has ended: the first point is accurate, the second is calibrated."""
    asked = tiny(metric="val_nll", strategies={"none": none()}, budget=Budget(trials=2), seeds=1, **more)
    store.define(asked.name, asked.describe())
    search = store.open(asked.name, "none", asked.direction, asked.metric)
    for alpha, value in ((0.25, 0.9), (0.75, 0.3)):
        point = {"task.refine_epochs": 0, "mix.alpha": alpha}
        trial = create_trial(state=TrialState.COMPLETE, params=point, distributions=asked.space_of("none"), value=value)
        search.add_trial(trial)
    return asked


def test_the_point_with_the_best_log_likelihood_is_tested(store: Store, options: Options) -> None:
    asked = two_points(store)
    run(asked, store, options=options)
    (tested,) = [each for each in store.outcomes("tiny") if each.kind is TrialKind.FINAL]
    assert (tested.state, tested.point["mix.alpha"]) == ("COMPLETE", 0.75)
    (stored,) = store.trials("tiny", LEADERBOARD)
    assert stored.values == [pytest.approx(tested.metrics["test_nll"]), pytest.approx(tested.gpu_seconds)]
    assert store.leaderboard("tiny").directions == [StudyDirection.MINIMIZE, StudyDirection.MINIMIZE]


def test_final_runs_of_an_earlier_version_keep_their_axes_and_are_ranked_by_the_metric(
    store: Store, options: Options
) -> None:
    asked = two_points(store)
    directions = ["maximize", "minimize"]
    old = optuna.create_study(storage=store.optuna, study_name="tiny/leaderboard", directions=directions)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        old.set_metric_names(["test_accuracy", "gpu_seconds"])
    run(asked, store, options=options)
    (stored,) = store.trials("tiny", LEADERBOARD)
    (tested,) = [each for each in store.outcomes("tiny") if each.kind is TrialKind.FINAL]
    assert stored.values[0] == pytest.approx(tested.metrics["test_accuracy"])
    (row,) = stored_comparison([(store, "tiny")]).rows
    assert row.test
    assert row.test.mean == tested.metrics["test_nll"]


@pytest.fixture
def call(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    yield from calling(tmp_path, monkeypatch)


def test_the_command_line_says_by_which_metric(call: Call) -> None:
    from command_line import study as text

    with open("s.py", "w", encoding="utf-8") as file:
        file.write(text(metric="'val_nll'", strategies="{'none': none()}", budget="Budget(trials=1)", seeds="1"))
    done = call("run", "s.py")
    assert "test_nll " in done.stdout
    assert "test_accuracy" not in done.stdout
    assert "test nll" in done.stdout
    assert json.loads(call("compare", "tiny", "--json").stdout)["metric"] == "val_nll"
    assert "a score of" not in call("run", "s.py", "--dry-run", "--fresh").stdout, "a loss has no such width"


LOADED = """
import sys
from autoaug.cli import app
try:
    app(["compare", "tiny", "--json", "--csv", "table.csv"])
except SystemExit as end:
    print("exit", end.code, file=sys.stderr)
print(sorted({"torch", "torchvision", "ray"} & set(sys.modules)), file=sys.stderr)
"""


def test_a_stored_study_is_compared_without_torch(store: Store, options: Options, tmp_path: Path) -> None:
    """Ten trials and more, so that the importance of dimensions is computed, and a second look at the same runs."""
    run(tiny(strategies={"none": none()}, budget=Budget(trials=10), seeds=2), store, options=options)
    shown = {"AUTOAUG_STORAGE": store.storage_url}
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, env=os.environ | shown
    )
    assert done.stderr == "exit 0\n[]\n"
    found = json.loads(done.stdout)
    assert (found["metric"], len(found["strategies"])) == ("val_accuracy", 1)
    assert found["importance"]["strategies"]["none"]
    assert (tmp_path / "table.csv").read_text().startswith("strategy,test_mean")


def test_what_reads_a_storage_loads_no_torch() -> None:
    code = "import sys, autoaug.store, autoaug.compare, autoaug.metrics; print({'torch', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
