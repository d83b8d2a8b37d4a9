"""A study is diagnosed: its winners are trained again as their final runs were, and nothing else is touched."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling, refused

from autoaug import Budget, Study, Task, Trial
from autoaug.diagnose import (
    DIAGNOSTICS,
    DiagnosisEvent,
    Diagnostic,
    Measured,
    Subject,
    conduct_diagnosis,
    plan_diagnosis,
)
from autoaug.diagnose import _conduct as conduct_module
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.interruption import Interruption
from autoaug.record import TrialKind
from autoaug.store import Store, diagnoses
from autoaug.strategies import none
from autoaug.study import predict
from autoaug.train import Diverged

TASK = Task(
    data="digits:reduced=20,corrupted=0.3",
    model="convnet",
    epochs=2,
    refine_epochs=1,
    batch_size=50,
    lr=0.2,
    device="cpu",
)


def study(**more: Any) -> Study:
    """Two arms without a search: one trial and two final runs each."""
    given: dict[str, Any] = {
        "name": "small",
        "task": TASK,
        "strategies": {"none": none(), "mixup": none().mixed("mixup", alpha=1.0)},
        "budget": Budget(trials=1),
        "seeds": 2,
    }
    return Study(**given | more)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage in which the study was run."""
    folder = tmp_path_factory.mktemp("diagnosed")
    store = Store(f"sqlite:///{folder / 'a.db'}")
    run(study(), store, "local", Options(artifacts=str(folder / "artifacts")))
    store.close()
    return folder / "a.db"


@pytest.fixture(autouse=True)
def costs_are_measured_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoaug.diagnose._plan.predict", partial(predict, patience=0.01))


@pytest.fixture
def stored(kept: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    (tmp_path / "autoaug.db").write_bytes(kept.read_bytes())
    return Store(f"sqlite:///{tmp_path / 'autoaug.db'}")


def test_the_training_is_the_final_run_over_again_and_looking_at_it_changes_nothing(stored: Store) -> None:
    """Accuracies on the validation images, after augmentation and after refinement, are those of the final runs."""
    plan = plan_diagnosis(study(), stored, only=["crops"], seeds=2)
    reads = stored.test_reads("small")
    conduct_diagnosis(plan, stored)
    found = {(each.strategy, each.seed, each.phase): each.values["as they are"] for each in diagnoses(stored, "small")}
    finals = {o.trial: o for o in stored.outcomes("small") if o.kind is TrialKind.FINAL}
    expected = {
        (record.strategy, finals[record.trial].seed, record.phase): record.metrics["val_accuracy"]
        for record in stored.epochs("small")
        if record.kind is TrialKind.FINAL and record.epoch in (2, 3)
    }
    assert found == {key: pytest.approx(value, abs=1e-6) for key, value in expected.items()}
    assert len(found) == 8
    assert stored.test_reads("small") == reads


def test_what_is_planned_is_all_that_is_left(stored: Store) -> None:
    names = ["cross_entropy", "in_between"]
    plan = plan_diagnosis(study(), stored, only=names)
    assert [f"{each}" for each in plan.trainings] == ["none, seed 0", "mixup, seed 0"]
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert plan.unit == "CPU-seconds"
    conduct_diagnosis(plan_diagnosis(study(), stored, ["mixup"], names), stored)
    left = plan_diagnosis(study(), stored, only=[*names, "crops"], seeds=2).trainings
    assert [(f"{each}", list(each.diagnostics)) for each in left] == [
        ("none, seed 0", [*names, "crops"]),
        ("none, seed 1", [*names, "crops"]),
        ("mixup, seed 0", ["crops"]),
        ("mixup, seed 1", [*names, "crops"]),
    ]
    assert plan_diagnosis(study(), stored, ["mixup"], names).trainings == []
    mixed = {each.phase: each.values for each in diagnoses(stored, "small") if each.diagnostic == "cross_entropy"}
    assert mixed["augment"]["as trained"] > mixed["augment"]["clean"], "of mixed images"
    assert mixed["refine"]["as trained"] == pytest.approx(mixed["refine"]["clean"], abs=1e-5), "nothing is always on"


def test_labels_that_were_replaced_are_those_of_the_data(stored: Store) -> None:
    plan = plan_diagnosis(study(), stored, ["none"], ["corrupted_labels"])
    conduct_diagnosis(plan, stored)
    last = diagnoses(stored, "small")[-1]
    assert set(last.values) == {"real", "corrupted"}
    assert last.values["real"] < last.values["corrupted"], "wrong labels are learned later"
    clean = replace(study(), name="small", task=replace(TASK, data="digits"))
    left_out = plan_diagnosis(clean, stored, ["none"], ["corrupted_labels", "crops"])
    assert list(left_out.left_out) == ["corrupted_labels"]
    assert [each.diagnostics for each in left_out.trainings] == [("crops",)]


def test_a_black_box_attack_is_made_with_another_run_of_the_baseline(stored: Store) -> None:
    plan = plan_diagnosis(study(), stored, ["mixup"], ["black_box"])
    attacker, attacked = plan.trainings
    assert (f"{attacker}", f"{attacked}") == ("none, the run that attacks", "mixup, seed 0")
    seeds = {each.seed_of(0) for each in plan_diagnosis(study(), stored, only=["black_box"], seeds=2).trainings}
    assert len(seeds) == 3, "the strategies share the seeds of the final runs, and nobody has the attacker's"
    conduct_diagnosis(plan, stored)
    assert {each.strategy for each in diagnoses(stored, "small")} == {"mixup"}


def test_an_interruption_keeps_what_was_measured(stored: Store) -> None:
    plan, interruption = plan_diagnosis(study(), stored, only=["crops"]), Interruption()

    def stop(event: DiagnosisEvent) -> None:
        if event.found:
            interruption.request()

    with pytest.raises(KeyboardInterrupt):
        conduct_diagnosis(plan, stored, stop, interruption=interruption)
    [found] = diagnoses(stored, "small")
    assert (found.strategy, found.phase) == ("none", "augment")
    assert len(plan_diagnosis(study(), stored, only=["crops"]).trainings) == 2


def broken(subject: Subject) -> Measured:
    """Measure nothing."""
    raise RuntimeError("no such layer")


def infinite(subject: Subject) -> Measured:
    """Measure no number."""
    return Measured({"value": float("inf")})


def rows(**measures: Any) -> dict[str, Diagnostic]:
    return {name: Diagnostic(measure, "", "of the test", "ours") for name, measure in measures.items()}


def test_a_row_that_fails_is_told_and_the_others_go_on(stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, row in rows(broken=broken, infinite=infinite).items():
        monkeypatch.setitem(DIAGNOSTICS, name, row)
    events = list[DiagnosisEvent]()
    plan = plan_diagnosis(study(), stored, ["none"], ["broken", "infinite", "crops"])
    conduct_diagnosis(plan, stored, events.append)
    failed = {event.failed for event in events if event.failed}
    assert failed == {
        "broken: RuntimeError: no such layer",
        "infinite: ValueError: its value 'value' is inf: give a finite number, or leave it out",
    }
    assert {each.diagnostic for each in diagnoses(stored, "small")} == {"crops"}


def test_a_training_that_diverges_is_told_and_the_others_go_on(stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    events, train = list[DiagnosisEvent](), conduct_module.train

    def diverging(task: Task, policy: Any, mix: Any, *others: Any, **more: Any) -> Iterator[Any]:
        if more["watched"].__self__.training.strategy == "none":
            raise Diverged("diverged: the training loss is nan in epoch 1: lower Task.lr (0.2)")
        return train(task, policy, mix, *others, **more)

    monkeypatch.setattr(conduct_module, "train", diverging)
    conduct_diagnosis(plan_diagnosis(study(), stored, only=["crops"]), stored, events.append)
    assert [event.failed.partition(":")[0] for event in events if event.failed] == ["diverged"]
    assert {each.strategy for each in diagnoses(stored, "small")} == {"mixup"}
    with pytest.raises(ValueError, match=r"^none, the run that attacks: diverged: .*leave the diagnostics out"):
        conduct_diagnosis(plan_diagnosis(study(), stored, only=["black_box"]), stored)


def loop(trial: Trial) -> Iterator[dict[str, float]]:
    for _ in trial.epochs(1):
        yield {"val_accuracy": 0.5}


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        (
            {"train": loop, "task": Task(data="digits", epochs=1)},
            {},
            "of its own, loop",
        ),
        ({"name": "other"}, {}, "study 'other' was not run in sqlite:.*give another --storage"),
        ({}, {"strategies": ["nonne"]}, "unknown strategy 'nonne': did you mean 'none'"),
        ({}, {"only": ["whitebox"]}, "unknown diagnostic 'whitebox': did you mean 'white_box'"),
        ({}, {"seeds": 0}, "seeds=0: give the number of trainings"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(
    stored: Store, changes: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_diagnosis(study(**changes), stored, **asked)


def test_a_strategy_without_a_complete_trial_is_refused_by_name_and_left_out_else(stored: Store) -> None:
    more = study(strategies={**study().strategies, "later": none()})
    with pytest.raises(ValueError, match="no trial of later of study 'small' is complete yet: run the study"):
        plan_diagnosis(more, stored, ["later"], ["crops"])
    assert {each.strategy for each in plan_diagnosis(more, stored, only=["crops"]).trainings} == {"none", "mixup"}


FILE = """
from autoaug import Budget, Study, Task
from autoaug.diagnose import DIAGNOSTICS, Diagnostic, Measured
from autoaug.strategies import none

def pixels(subject):
    return Measured({"mean": 0.5})

DIAGNOSTICS["pixels"] = Diagnostic(pixels, "", "of the user", "ours")
study = Study(name="small", task=Task(data="digits:reduced=20,corrupted=0.3", model="convnet", epochs=2,
    refine_epochs=1, batch_size=50, lr=0.2, device="cpu"), strategies={"none": none(),
    "mixup": none().mixed("mixup", alpha=1.0)}, budget=Budget(trials=1), seeds=2)
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    before = dict(DIAGNOSTICS)
    for call in calling(tmp_path, monkeypatch):
        (tmp_path / "s.py").write_text(FILE)
        yield call
    DIAGNOSTICS.clear()
    DIAGNOSTICS.update(before)


@pytest.mark.usefixtures("stored")
def test_the_command_says_the_cost_measures_and_shows_what_was_found(call: Call, tmp_path: Path) -> None:
    only = ("--only", "crops", "--only", "pixels", "--strategy", "none")
    planned = call("diagnose", "s.py", *only, "--dry-run")
    assert planned.stdout.startswith("small · 1 training (none) · about ")
    assert planned.stdout.endswith("CPU-seconds, and the measurements\n")
    done = call("diagnose", "s.py", *only, "-o", "found.json")
    assert done.exit_code == 0
    assert "none, seed 0: pixels, refined: mean 0.5000" in done.stdout
    assert "crops, accuracy" in done.stdout
    written = json.loads((tmp_path / "found.json").read_text())
    assert written[0]["series"]["zoom"][0] == 0.5
    assert [each["diagnostic"] for each in written] == ["crops", "pixels"] * 2
    again = call("diagnose", "s.py", *only, "--json")
    plan, found = map(json.loads, again.stdout.splitlines())
    assert plan["trainings"] == []
    assert [each["values"] for each in found["diagnoses"] if each["diagnostic"] == "pixels"] == [{"mean": 0.5}] * 2
    assert "crops, accuracy" in call("compare", "small").stdout
    refused(call("diagnose", "s.py", "--only", "crop"), "unknown diagnostic 'crop': did you mean 'crops'")
    refused(call("diagnose", "s.py", "--storage", "sqlite:///none.db"), "there is no storage sqlite:///none.db yet")


@pytest.mark.usefixtures("stored")
def test_the_command_keeps_what_was_measured_and_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("autoaug.diagnose.conduct_diagnosis", interrupt)
    stopped = call("diagnose", "s.py", "--only", "crops")
    assert stopped.exit_code == 130
    assert "interrupted; what was measured is kept. Go on with:\n" in stopped.stdout
    assert "autoaug diagnose s.py --only crops" in stopped.stdout
