"""Seconds of a fast GPU count more than those of a slow one, where a budget says so."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from optuna.trial import TrialState
from studies_for_tests import tiny

from autoaug import Budget, Study
from autoaug.compare import stored_comparison
from autoaug.execution import Options, Scheduler
from autoaug.execution._attempt import Attempt
from autoaug.execution._job import Job
from autoaug.executors import run
from autoaug.record import Record
from autoaug.store import Store
from autoaug.strategies import none
from autoaug.study import _price as price_module
from autoaug.study import complete_definition, gpu_weight, price

WEIGHTS = {"H100": 2.0, "A100": 1.0, "A100-SXM4-80GB": 1.25}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend that trainings are on a GPU of some name."""

    def pretend(name: str) -> None:
        monkeypatch.setattr(price_module, "pick_device", lambda wanted: torch.device("cuda"))
        monkeypatch.setattr(price_module, "device_name", lambda device: name)

    return pretend


def weighed(**more: Any) -> Study:
    return tiny(budget=Budget(gpu_seconds=100.0, gpu_weights=WEIGHTS, **more))


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("NVIDIA H100 80GB HBM3", 2.0),
        ("NVIDIA A100-PCIE-40GB", 1.0),
        ("NVIDIA A100-SXM4-80GB", 1.25),
        ("nvidia h100 pcie", 2.0),
        ("Tesla T4", None),
    ],
)
def test_the_longest_kind_that_is_part_of_the_name_holds(gpu: Any, name: str, weight: float | None) -> None:
    assert weighed().budget.weight_of(name) == weight
    gpu(name)
    assert price(weighed(), 0.5, "cuda") == 0.5 * (weight or 1)
    assert price(weighed(), 0.5, "cpu") == 1.0, "CPU-seconds are not weighed"
    assert price(tiny(), 0.5, "cuda") == 0.5
    warned = "" if weight else "Budget.gpu_weights names no kind of Tesla T4: its seconds count once"
    assert gpu_weight(weighed()) == (weight or 1.0, warned)
    assert gpu_weight(tiny()) == (None, "")


def test_on_a_cpu_nothing_is_weighed() -> None:
    assert gpu_weight(weighed()) == (None, "")


def test_an_epoch_costs_its_seconds_times_share_times_weight(store: Store, options: Options, gpu: Any) -> None:
    gpu("NVIDIA H100 80GB HBM3")
    job, shared = Job("ra", 1, 0, {}, 1, 0), replace(options, gpus_per_trial=0.25)
    epoch = Record(epoch=1, phase="augment", gpu_seconds=8.0, wall_seconds=8.5, device="cuda")
    signed = Attempt(weighed(), job, store, shared, lambda event: None).sign(epoch)
    assert (signed.gpu_seconds, signed.wall_seconds) == (8.0 * 0.25 * 2.0, 8.5)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("NVIDIA H100", {"gpu_weight": 2.0}),
        ("T4", {"gpu_weight": 1.0, "warning": "Budget.gpu_weights names no kind of T4: its seconds count once"}),
    ],
)
def test_a_trial_keeps_the_weight_of_its_gpu(
    store: Store, options: Options, gpu: Any, name: str, kept: dict[str, Any]
) -> None:
    gpu(name)
    study = tiny(strategies={"none": none()}, space={}, seeds=1, budget=Budget(trials=1, gpu_weights=WEIGHTS))
    run(study, store, options=options)
    for trial in (*store.trials("tiny", "none"), *store.trials("tiny", "leaderboard")):
        found = {key: value for key, value in trial.user_attrs.items() if key in ("gpu_weight", "warning")}
        assert found == kept
        assert trial.user_attrs["device"]


def test_the_weights_are_part_of_what_is_stored_and_stay(store: Store) -> None:
    Scheduler(weighed(), store)
    stored = complete_definition(store.definition("tiny") or {})
    assert stored["budget"]["gpu_weights"] == WEIGHTS
    more = Budget(gpu_seconds=200.0, gpu_weights={**WEIGHTS, "T4": 0.2})
    Scheduler(tiny(budget=more), store)
    other = Budget(gpu_seconds=100.0, gpu_weights={**WEIGHTS, "H100": 3.0})
    with pytest.raises(
        ValueError, match=r"was run with the budget's weight of GPUs H100 = 2\.0, and now has 3\.0: give"
    ):
        Scheduler(tiny(budget=other), store)


def test_a_study_of_a_release_without_weights_has_none() -> None:
    assert complete_definition({"spaces": {}, "budget": {"trials": 1}})["budget"]["gpu_weights"] == {}
    assert Budget(trials=1) == Budget(trials=1, gpu_weights={})


@pytest.mark.parametrize(
    "given",
    [
        {"H100": 0},
        {"H100": -1.0},
        {"H100": float("inf")},
        {"H100": "2"},
        {"H100": True},
        {"": 1.0},
        {1: 1.0},
        [("H100", 1)],
    ],
)
def test_what_weighs_nothing_is_refused(given: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^Budget\(gpu_weights=.*\): give numbers above 0 by kind of GPU, such as \{'H"
    ):
        Budget(gpu_seconds=1.0, gpu_weights=given)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({}, "of several kinds of device, not weighed"),
        ({"H100": 2.0, "A100": 1}, "of several kinds of device, weighed: H100 2, A100 1"),
    ],
)
def test_a_comparison_says_that_devices_are_mixed(store: Store, weights: dict[str, float], said: str) -> None:
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=2, gpu_weights=weights))
    scheduler = Scheduler(study, store)
    for number, device in enumerate(("NVIDIA H100", "NVIDIA A100")):
        assert "seconds" not in stored_comparison([(store, "tiny")]).provenance, "so far there is one kind at most"
        trial = scheduler.searches["none"].ask()
        store.annotate(trial._trial_id, device=device)
        store.finish(trial._trial_id, TrialState.COMPLETE, [0.5 + number / 10])
    assert stored_comparison([(store, "tiny")]).provenance["seconds"] == said
