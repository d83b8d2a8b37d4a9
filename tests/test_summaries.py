"""The last epoch, the best one and the median of the last ten stand in the outcome, and the leaderboard shows each."""

import csv
import io
import json
from statistics import median

import pytest
from command_line import Call, calling
from outcomes_for_tests import comparison, finals
from studies_for_tests import at_epoch, tiny

from autoaug import Budget, Study
from autoaug.compare import stored_comparison, tables, to_csv, to_json
from autoaug.execution import Options
from autoaug.execution._summaries import LAST, summarised
from autoaug.executors import run
from autoaug.metrics import METRICS
from autoaug.record import Outcome, Record, TrialKind
from autoaug.store import Store
from autoaug.strategies import none, online_score
from autoaug.train import Task


def epochs(accuracies: list[float], training: str = "", first: int = 1) -> list[Record]:
    """Epochs with an accuracy and a loss."""
    return [
        Record(epoch=first + k, phase="augment", training=training, metrics={"val_accuracy": each, "val_nll": 1 - each})
        for k, each in enumerate(accuracies)
    ]


# By hand


def test_the_best_is_that_of_the_direction_and_the_median_that_of_the_last_ten() -> None:
    accuracies = [0.9, 0.1, *(0.5 + k / 100 for k in range(9)), 0.2]
    found = summarised(epochs(accuracies))
    assert found["best"] == {"val_accuracy": 0.9, "val_nll": pytest.approx(0.1)}
    assert len(accuracies) > LAST
    # of .50 to .58 and .20 the fifth and the sixth are .53 and .54
    assert found["median"] == {"val_accuracy": pytest.approx(0.535), "val_nll": pytest.approx(0.465)}


def test_a_short_training_has_the_median_of_what_it_has() -> None:
    assert summarised(epochs([0.1, 0.7, 0.4]))["median"]["val_accuracy"] == 0.4
    assert summarised([]) == {"best": {}, "median": {}}


def test_an_epoch_that_was_made_again_counts_once_with_its_later_value() -> None:
    found = summarised([*epochs([0.1, 0.9, 0.8]), *epochs([0.4, 0.5], first=2)])
    assert (found["best"]["val_accuracy"], found["median"]["val_accuracy"]) == (0.5, 0.4)


def test_trainings_from_scratch_are_called_by_their_name() -> None:
    found = summarised([*epochs([0.1]), *epochs([0.6, 0.8], training="last_policy")])
    assert found["best"]["val_accuracy"] == 0.1
    assert found["median"]["last_policy_val_accuracy"] == pytest.approx(0.7)


def test_what_is_no_row_on_validation_has_no_direction_and_is_left_out() -> None:
    measured = {"lr": 0.1, "train_loss": 2.0, "test_accuracy": 0.5, "hyper_norm": 1.0}
    assert summarised([Record(epoch=1, phase="augment", metrics=measured)]) == {"best": {}, "median": {}}


# Of studies that were run


def expected(store: Store, outcome: Outcome) -> dict[str, list[float]]:
    """The values of the first training of a trial by metric, in the order of its epochs."""
    mine = [
        each for each in store.epochs(outcome.study) if (each.substudy, each.trial) == (outcome.substudy, outcome.trial)
    ]
    first = [each for each in mine if not each.training]
    return {name: [each.metrics[f"val_{name}"] for each in first] for name in METRICS}


def check(store: Store, outcome: Outcome) -> None:
    for name, values in expected(store, outcome).items():
        best = max(values) if METRICS[name].maximize else min(values)
        assert outcome.best[f"val_{name}"] == pytest.approx(best, abs=1e-6)
        assert outcome.median[f"val_{name}"] == pytest.approx(median(values[-LAST:]), abs=1e-6)
        assert outcome.metrics[f"val_{name}"] == pytest.approx(values[-1])


def learning() -> Study:
    """A study whose strategies search and learn, with three epochs each."""
    task = Task(data="digits-rotated", model="convnet", epochs=3, batch_size=100, lr=0.2, device="cpu")
    strategies = {"none": none(), "learner": online_score()}
    return tiny(task=task, space={}, strategies=strategies, budget=Budget(trials=1), seeds=2)


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_every_trial_keeps_them_and_the_leaderboard_shows_those_of_the_final_runs(
    store: Store, options: Options
) -> None:
    run(learning(), store, options=options)
    outcomes = store.outcomes("tiny")
    for outcome in outcomes:
        check(store, outcome)
    learned = [each for each in outcomes if each.kind is TrialKind.FINAL and each.strategy == "learner"]
    for each in learned:
        assert {"last_policy_val_accuracy", "last_policy_val_nll"} <= each.best.keys() & each.median.keys()
    found = stored_comparison([(store, "tiny")])
    for row in found.rows:
        mine = [each for each in outcomes if each.kind is TrialKind.FINAL and each.strategy == row.name]
        assert set(row.validation) == set(METRICS)
        for name, kept in {"last": "metrics", "best": "best", "median": "median"}.items():
            values = [getattr(each, kept)["val_nll"] for each in mine]
            assert row.validation["nll"][name].mean == pytest.approx(sum(values) / 2)
            assert row.validation["nll"][name].n == 2
    assert len(tables(found)) == 2
    third = tables(found, epochs=True)[2]
    of_accuracy = ["val accuracy, last epoch", "val accuracy, best epoch", "val accuracy, median of last 10"]
    assert third.headings == ["final runs", *of_accuracy]
    best = found.rows[0].validation["accuracy"]["best"]
    assert third.cells[0][2].startswith(f"{best.mean:.4f}")
    plain = json.loads(json.dumps(to_json(found)))
    assert plain["strategies"][0]["validation"]["accuracy"]["best"]["mean"] == best.mean
    (line, _) = csv.DictReader(io.StringIO(to_csv(found.rows)))
    assert float(line["final_val_accuracy_best_mean"]) == best.mean


def test_a_trial_that_was_interrupted_has_those_of_all_its_epochs(store: Store, options: Options) -> None:
    asked = tiny(
        task=Task(data="digits-rotated", model="convnet", epochs=4, batch_size=100, lr=0.2, device="cpu"),
        space={},
        strategies={"none": none()},
        budget=Budget(trials=1),
        seeds=1,
    )

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(asked, store, options=options, listen=at_epoch(3, stop))
    run(asked, store, options=options)
    ended = [each for each in store.outcomes("tiny") if each.state == "COMPLETE" and each.kind is TrialKind.SEARCH]
    (outcome,) = ended
    assert outcome.attempt == 2
    together: dict[int, Record] = {}
    for record in store.epochs("tiny"):
        if record.kind is TrialKind.SEARCH:
            together[record.epoch] = record
    values = [together[epoch].metrics["val_nll"] for epoch in sorted(together)]
    assert len(values) == 4
    assert outcome.best["val_nll"] == pytest.approx(min(values), abs=1e-6)
    assert outcome.median["val_nll"] == pytest.approx(median(values), abs=1e-6)


# Where they are not known


def test_final_runs_of_an_earlier_version_show_dashes() -> None:
    known = finals("ra", {0: 0.8, 1: 0.9}, best={"val_accuracy": 0.85}, median={"val_accuracy": 0.8})
    found = comparison([*finals("none", {0: 0.6, 1: 0.7}), *known])
    (first, second) = tables(found, epochs=True)[2].cells
    assert first == ["ra", "–", "0.8500 (2 equal)", "0.8000 (2 equal)"]
    assert second == ["none", "–", "–", "–"]
    assert len(tables(comparison(finals("none", {0: 0.6})), epochs=True)) == 2, "nothing is known of any"


def test_a_strategy_that_lacks_them_has_empty_cells_of_the_same_columns() -> None:
    known = finals("ra", {0: 0.6, 1: 0.7}, best={"val_accuracy": 0.85}, median={"val_accuracy": 0.8})
    first, second = csv.DictReader(io.StringIO(to_csv(comparison([*finals("none", {0: 0.8, 1: 0.9}), *known]).rows)))
    assert (first["strategy"], first["final_val_accuracy_best_mean"]) == ("none", "")
    assert (second["strategy"], second["final_val_accuracy_best_mean"]) == ("ra", "0.85")


@pytest.fixture
def call(tmp_path, monkeypatch):
    yield from calling(tmp_path, monkeypatch)


def test_the_command_line_shows_them_where_it_is_asked_to(call: Call) -> None:
    from command_line import study as text

    with open("s.py", "w", encoding="utf-8") as file:
        file.write(text(strategies="{'none': none()}", budget="Budget(trials=1)", seeds="1"))
    assert "median of last 10" not in call("run", "s.py").stdout
    assert "median of last 10" not in call("compare", "tiny").stdout
    said = call("compare", "tiny", "--epochs").stdout
    assert all(f"val accuracy, {words}" in said for words in ("last epoch", "best epoch", "median of last 10"))
