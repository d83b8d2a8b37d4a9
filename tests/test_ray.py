"""The Ray executor finds what the local one finds, with the same scheduler, worker and storage."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.cloudpickle
import torch
from commands_for_tests import none_left, trial_in
from optuna.distributions import FloatDistribution
from studies_for_tests import tiny
from torch import Generator, Tensor, nn
from waiting_for_tests import until

from autoaug import Budget, Command, Study, Task, Trial
from autoaug.cli._project import load_study
from autoaug.execution import Event, Options, Scheduler
from autoaug.executors import EXECUTORS, run
from autoaug.executors.ray import Looking, SchedulerSearcher, run_ray
from autoaug.metrics import METRICS
from autoaug.ops import OPS
from autoaug.policy import Fixed, Policy, ready
from autoaug.processes import Process, process_name
from autoaug.record import TrialKind, last_attempts
from autoaug.store import Store, gallery_of
from autoaug.strategies import Strategy, none
from autoaug.testing import ExecutorTestCase
from autoaug.trial import Lost, records

# Ray leaves sockets and files to the garbage collector and uses what Python deprecates: its own affair
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module", autouse=True)
def two_cores() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    until_all_cores_are_free()
    ray.shutdown()


def until_all_cores_are_free() -> None:
    """A study that ended, however it did, holds nothing of a cluster that lives on."""
    held = "an actor, or its placement group, holds a core"
    until(lambda: ray.available_resources().get("CPU") == 2, 60, otherwise=held)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(artifacts=tmp_path / "artifacts", at_once=1)


def open_store(tmp_path: Path, name: str = "x") -> Store:
    return Store(f"sqlite:///{tmp_path / name}.db")


def numbers(store: Store, study: Study) -> set[Any]:
    return {
        (o.strategy, o.kind, o.root, tuple(o.point.items()), o.state, o.value)
        for o in last_attempts(store.outcomes(study.name))
        if o.kind is not TrialKind.FINAL
    } | {(o.strategy, o.seed, tuple(o.point.items()), o.metrics["test_accuracy"]) for o in finals(store, study)}


def finals(store: Store, study: Study) -> list[Any]:
    return [o for o in last_attempts(store.outcomes(study.name)) if o.kind is TrialKind.FINAL]


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


KILLS_ITSELF = """
        if (rank, epoch) == (1, 3) and "attempt-1" in os.environ["AUTOAUG_TRIAL"]:
            os.kill(os.getpid(), 9)
"""


def test_two_workers_of_ray_train_are_one_trial_and_go_on_after_one_was_killed(tmp_path: Path) -> None:
    """The example, on this cluster."""
    files = sorted((Path(__file__).parent.parent / "examples" / "ray_train").glob("*.py"))
    assert all(len(file.read_text().splitlines()) <= 60 for file in files)
    command = load_study(str(files[0])).study.train
    assert isinstance(command, Command)
    here, there = KILLS_ITSELF + "        yield scores  # +", "\n        yield scores  # +"
    (tmp_path / "train.py").write_text(files[1].read_text().replace(there, here))
    address = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address, "OMP_NUM_THREADS": "1"}
    command = replace(command, env=address, cwd=tmp_path)
    with none_left(tmp_path), pytest.raises(Lost, match="ended without a word"):
        list(records(command, trial_in(tmp_path, final=True)))
    again = list(records(command, trial_in(tmp_path, 2, final=True)))
    assert [record.epoch for record in again] == [3, 4]
    assert again[-1].metrics["test_accuracy"] > 0.9


def test_a_worker_that_is_killed_is_replaced_and_its_trial_resumed(tmp_path: Path, options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(trials=2), seeds=1)
    longer = replace(study, task=replace(study.task, epochs=60))
    store = open_store(tmp_path)
    killed: list[str] = []

    def kill_the_first_worker(event: Event) -> None:
        if event.record and not killed:
            worker = store.trials("tiny", "none")[event.job.number].user_attrs["worker"]
            process = Process.parse(worker)
            assert process
            os.kill(process.pid, signal.SIGKILL)
            killed.append(worker)

    run(longer, store, "ray", options, kill_the_first_worker)
    search = [o for o in store.outcomes("tiny") if o.kind is not TrialKind.FINAL]
    assert [(o.root, o.attempt, o.state) for o in search] == [
        (0, 1, "FAIL"),
        (0, 2, "COMPLETE"),
        (1, 1, "COMPLETE"),
    ]
    assert search[0].reason == "its worker died"
    assert search[0].point == search[1].point


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


def hanging_once(flag: Path) -> Any:
    """A model that hangs for an hour by the lease's clock, in the first training step of the first worker."""
    driver = os.getpid()

    class Hanging(nn.Module):
        def __init__(self, classes: int, channels: int) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))

        def forward(self, images: Tensor) -> Tensor:
            if self.training and os.getpid() != driver and not flag.exists():
                flag.touch()
                clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
                import_module("autoaug.execution._lease").time = clock  # type: ignore[attr-defined]
                time.sleep(1000)
            return self.net(images)

    return Hanging


def test_a_worker_that_hangs_is_given_up_and_replaced(tmp_path: Path, options: Options) -> None:
    task = Task(data="digits-rotated", model=hanging_once(tmp_path / "hung"), epochs=2, batch_size=100)
    study = tiny(task=task, space={}, strategies={"none": none()}, budget=Budget(trials=1), seeds=1)
    store = open_store(tmp_path)
    run(study, store, "ray", replace(options, hang_seconds=1800, lease_seconds=0.1))
    search = [(o.attempt, o.state, o.reason) for o in store.outcomes("tiny") if o.kind is not TrialKind.FINAL]
    assert search == [(1, "FAIL", "hung: no step for 1800 s"), (2, "COMPLETE", "")]
    assert [o.state for o in finals(store, study)] == ["COMPLETE"]


def ending_its_worker() -> Callable[[], Policy]:
    """A policy that ends the process of a worker with the first image that it is given."""
    driver = os.getpid()

    class Ending(Fixed):
        def forward(self, images: Tensor, rng: Generator) -> Tensor:
            if os.getpid() != driver:
                os._exit(11)
            return super().forward(images, rng)

    return lambda: Ending(ready.none())


def test_a_trial_that_ends_its_own_worker_every_time_fails_and_the_others_go_on(
    tmp_path: Path, options: Options
) -> None:
    bad = Strategy(policy=ending_its_worker(), space={})
    study = tiny(space={}, strategies={"bad": bad, "none": none()}, budget=Budget(trials=1), seeds=1)
    store, events = open_store(tmp_path), list[Event]()
    run(study, store, "ray", options, events.append)
    ends = [(o.strategy, o.attempt, o.state, o.reason) for o in store.outcomes("tiny") if o.kind is not TrialKind.FINAL]
    assert ends == [
        ("bad", 1, "FAIL", "its worker died"),
        ("bad", 2, "FAIL", "its worker died"),
        ("bad", 3, "FAIL", "its worker died, 3 times without progress"),
        ("none", 1, "COMPLETE", ""),
    ]
    assert [(o.strategy, o.state) for o in finals(store, study)] == [("none", "COMPLETE")]
    lost = [event for event in events if event.job.strategy == "bad" and event.state != "RUNNING"]
    assert [event.state for event in lost] == ["WAITING", "WAITING", "FAIL"]


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
