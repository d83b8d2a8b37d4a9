"""A study that is run in processes of their own, in which something happens at some training step."""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution
from torch import Tensor

from autoaug import Budget, Study, Task
from autoaug.execution import Options, saving_on_sigterm
from autoaug.executors import conduct, ignore
from autoaug.store import Store
from autoaug.strategies import online_score, randaugment
from autoaug.train import TrainingRun, train_step
from autoaug.train import _loop as loop


def preempt() -> None:
    """What a scheduler does that wants the machine for somebody else."""
    os.kill(os.getpid(), signal.SIGTERM)


def sleep() -> None:
    """Hang where Python is."""
    Path("stuck").touch()
    time.sleep(10**6)


def hang_in_c() -> None:
    """Hang where Python never comes back to: in a lock that is taken twice."""
    mutex, lock = ctypes.create_string_buffer(256), ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    Path("stuck").touch()
    lock(mutex)


HAPPENINGS: dict[str, Callable[[], None]] = {"preempt": preempt, "sleep": sleep, "hang in C": hang_in_c}


def counting(happens: str, at_step: int) -> Callable[..., Tensor]:
    """A training step that counts in a file, and lets something happen at one of those of this process."""
    made = count(1)

    def step(run: TrainingRun, *batch: Tensor) -> Tensor:
        loss = train_step(run, *batch)
        with Path("steps").open("a") as file:
            file.write(".")
        if next(made) == at_step:
            HAPPENINGS[happens]()
        return loss

    return step


def study(**changed: Any) -> Study:
    """Three trials and a final run of two epochs of twenty steps each."""
    given: dict[str, Any] = {
        "name": "preempted",
        "task": Task(data="digits-rotated", model="convnet", epochs=2, batch_size=20, lr=0.2, device="cpu"),
        "space": {"mix.alpha": FloatDistribution(0, 1)},
        "strategies": {"ra": randaugment(sampler="tpe")},
        "budget": Budget(trials=3),
        "seeds": 1,
    }
    return Study(**given | changed)


STUDIES: dict[str, Callable[[], Study]] = {
    "randaugment": study,
    "a learner": partial(
        study,
        space={},
        strategies={"online": online_score()},
        budget=Budget(trials=1),
        deploy=("last_policy", "policy_schedule"),
    ),
}


def drive(folder: Path, name: str, happens: str, at_step: int, grace: float) -> None:
    """Run a study in a process of its own, as the command line does, in which something happens at some step."""
    os.chdir(folder)
    loop.train_step = counting(happens, at_step)
    options = Options(artifacts=folder / "artifacts", checkpoint_seconds=3600, grace=grace)
    try:
        with saving_on_sigterm(options):
            conduct(STUDIES[name](), Store("sqlite:///x.db"), "local", options, ignore)
    except KeyboardInterrupt:
        sys.exit(130)


FORKS = multiprocessing.get_context("forkserver")
"""Processes that begin with all modules loaded: many of them cost little."""

FORKS.set_forkserver_preload(
    ["autoaug", "autoaug.executors.local", "autoaug.strategies", "autoaug.policy", "optuna", "torch._dynamo"]
)


def driver(
    folder: Path, name: str = "randaugment", happens: str = "preempt", at_step: int = 0, grace: float = 60.0
) -> "multiprocessing.process.BaseProcess":
    """A process that runs a study, and is started."""
    process = FORKS.Process(target=drive, args=(folder, name, happens, at_step, grace))
    process.start()
    return process


def steps(folder: Path) -> int:
    """How many training steps were made so far, in whatever process."""
    return (folder / "steps").stat().st_size
