"""The Ray executor finds what the local one finds, with the same scheduler, worker and storage."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.cloudpickle
import torch
from optuna.distributions import FloatDistribution
from ray_for_tests import ON_TWO_CORES, numbers, open_store, until_all_cores_are_free
from ray_for_tests import two_cores as two_cores
from studies_for_tests import tiny

from autoaug import Budget, Study, Task, Trial
from autoaug.cli._project import load_study
from autoaug.execution import Event, Options, Scheduler
from autoaug.executors import EXECUTORS, run
from autoaug.executors.ray import Looking, SchedulerSearcher, run_ray
from autoaug.metrics import METRICS
from autoaug.ops import OPS
from autoaug.processes import process_name
from autoaug.store import gallery_of
from autoaug.strategies import none
from autoaug.testing import ExecutorTestCase

pytestmark = ON_TWO_CORES


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(artifacts=tmp_path / "artifacts", at_once=1)


class TestRay(ExecutorTestCase):
    @pytest.fixture
    def executor(self) -> Any:
        return EXECUTORS["ray"]

    def has_workers(self) -> bool:
        return True

    def interruptions(self) -> tuple[int, ...]:
        return (3,)


def test_both_executors_find_the_same_one_trial_at_a_time(tmp_path: Path, options: Options) -> None:
    study = tiny(budget=Budget(trials=2), seeds=1)
    here, there = open_store(tmp_path, "local"), open_store(tmp_path, "ray")
    events: list[Event] = []
    run(study, here, "local", options)
    run(study, there, "ray", options, events.append)
    assert numbers(there, study) == numbers(here, study)
    assert (gallery := gallery_of(here, "tiny"))
    assert gallery_of(there, "tiny") == gallery, "the workers of Ray draw the same pictures"
    assert [e.state for e in events if e.state] == ["RUNNING", "COMPLETE"] * 6
    assert sum(e.record is not None for e in events) == len(there.epochs("tiny"))
    workers = {trial.user_attrs["worker"] for trial in there.trials("tiny", "none")}
    assert process_name() not in workers, "the driver trains nothing"


def test_ctrl_c_while_tune_works_ends_a_study_and_leaves_the_cluster_free(tmp_path: Path, options: Options) -> None:
    study, store, asked = tiny(task=Task(data="digits", epochs=200, device="cpu")), open_store(tmp_path), list[Event]()

    def listen(event: Event) -> None:
        if event.record and not asked:
            asked.append(event)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        run(study, store, "ray", options, listen)
    assert [(each.state, each.reason) for each in store.outcomes("tiny")][:1] == [("FAIL", "interrupted")]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    until_all_cores_are_free()


def test_a_loop_of_ones_own_and_the_metric_that_it_gives_reach_the_workers(tmp_path: Path, options: Options) -> None:
    """The loop is a closure, which no worker could import, and the row of its metric is made where the study is."""
    offset = 3.0

    def costly(trial: Trial) -> Iterator[dict[str, float]]:
        weight = torch.nn.Parameter(torch.zeros(1))
        optimiser = torch.optim.SGD([weight], lr=trial["lr"])
        for epoch in trial.epochs(2):
            optimiser.zero_grad()
            (weight - 1).square().sum().backward()
            optimiser.step()
            cost = (weight - 1).square().item() + offset
            yield {"val_cost_on_ray": cost, **({"test_cost_on_ray": cost} if trial.final and epoch == 2 else {})}

    study = Study(
        name="costly",
        train=costly,
        task=Task(data=None, device="cpu"),
        space={"train.lr": FloatDistribution(0.01, 0.4)},
        strategies={"none": none()},
        metric="val_cost_on_ray",
        minimize=True,
        budget=Budget(trials=2),
        seeds=2,
    )
    stores = {executor: open_store(tmp_path, executor) for executor in ("local", "ray")}
    try:
        for executor, store in stores.items():
            run(study, store, executor, options)
    finally:
        del METRICS["cost_on_ray"]
    seen = [
        sorted((o.kind.name, o.root, o.seed, o.state, o.value, o.epochs) for o in store.outcomes("costly"))
        for store in stores.values()
    ]
    assert seen[0] == seen[1]
    assert {state for *_, state, _, _ in seen[0]} == {"COMPLETE"}
    assert len(seen[0]) == 4


PROJECT = {
    "search_spaces/mine.py": "from optuna.distributions import FloatDistribution\n"
    "strength = {'policy.strength': FloatDistribution(0, 1)}\n",
    "studies/helpers.py": """
import torch
from torch import nn
from autoaug.data import Source, Split
from autoaug.ops import OPS, Op
from autoaug.policy import Fixed, apply, policy_tree

def darken(images, amount):
    return images * (1 - amount.view(-1, 1, 1, 1))

OPS["darken"] = Op("darken", darken, 0.5, "factor", False, "exact", "ours")

def policy(strength):
    return Fixed(policy_tree(apply("darken", strength)))

def squares(root):
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(60, 1, 8, 8, generator=rng)
    split = Split(images, torch.arange(60) % 2)
    return Source(train=split, val=split, test=split, classes=("a", "b"))

class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))

    def forward(self, images):
        return self.net(images)
""",
    "studies/ours.py": """
from autoaug import Budget, Command, Study, Task, Trial
from autoaug.strategies import Strategy
from search_spaces.mine import strength
from studies.helpers import Net, policy, squares

study = Study(
    name="ours",
    task=Task(data=squares, model=Net, epochs=1, batch_size=20),
    strategies={"darken": Strategy(policy=policy, space=strength)},
    budget=Budget(trials=2),
    seeds=1,
)
""",
}


def test_an_op_a_model_and_data_of_a_users_project_work_on_workers_that_never_saw_them(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPS, "darken", OPS["brightness"])  # what the project registers goes when the test ends
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = load_study(str(tmp_path / "project" / "studies" / "ours.py"))
    store = open_store(tmp_path)
    run(found.study, store, "ray", replace(options, project=found.root))
    assert [(o.state, o.reason) for o in store.outcomes("ours")] == [("COMPLETE", "")] * 3


def test_what_tune_pickles_holds_nothing_of_the_storage(tmp_path: Path, options: Options) -> None:
    store = open_store(tmp_path, "canary")
    searcher = SchedulerSearcher(Scheduler(tiny(), store), lambda event: None, options)
    assert b"canary" not in ray.cloudpickle.dumps(searcher)
    assert b"canary" not in ray.cloudpickle.dumps(Looking(searcher))


def test_more_than_a_node_has_is_refused(tmp_path: Path, options: Options) -> None:
    with pytest.raises(
        ValueError, match=r"each trial asks for 64 CPUs, 0 GPUs and the largest node of the cluster has 2"
    ):
        run_ray(tiny(), open_store(tmp_path), replace(options, cpus_per_trial=64), lambda event: None)
