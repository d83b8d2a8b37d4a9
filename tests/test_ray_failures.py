"""Workers of Ray that are killed, hang or end themselves: each is replaced, and its trial goes on."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.cloudpickle
from commands_for_tests import none_left, trial_in
from ray_for_tests import ON_TWO_CORES, finals, open_store
from ray_for_tests import two_cores as two_cores
from studies_for_tests import tiny
from torch import Generator, Tensor, nn

from autoaug import Budget, Command, Task
from autoaug.cli._project import load_study
from autoaug.execution import Event, Options
from autoaug.executors import run
from autoaug.policy import Fixed, Policy, ready
from autoaug.processes import Process
from autoaug.record import TrialKind
from autoaug.strategies import Strategy, none
from autoaug.trial import Lost, records

pytestmark = ON_TWO_CORES


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(artifacts=tmp_path / "artifacts", at_once=1)


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
