"""One round: a small study is run by several processes, some of which die at random moments."""

import os
import random
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoaug.store import Store, delete_study, running_trials
from autoaug.testing.faults._audit import Audit, audit
from autoaug.testing.faults._process_group import Crew
from autoaug.text import counted

STUDY = """
from optuna.distributions import FloatDistribution

from autoaug import Budget, Study, Task
from autoaug.strategies import none, randaugment

study = Study(
    name={name!r},
    task=Task(data="digits-rotated", model="convnet", epochs={epochs}, batch_size=100, lr=0.2, device="cpu"),
    space={{"mix.alpha": FloatDistribution(0, 1)}},
    strategies={{"none": none(), "randaugment": randaugment()}},
    budget=Budget(trials={trials}, gpu_seconds={gpu_seconds}),
    seeds={finals},
    seed={seed},
)
"""
"""scikit-learn's digits, which need no download: a trial takes about a second."""

STRATEGIES = 2
"""Of the study above."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done to a study."""

    executor: str = "local"
    drivers: int = 2
    """Processes that run the study side by side."""
    strikes: tuple[str, ...] = ("worker", "driver", "pause")
    """What is done, in random order and at random moments: rows of STRIKES, or `storage`."""
    trials: int | None = 2
    """Of each strategy."""
    gpu_seconds: float | None = None
    epochs: int = 15
    finals: int = 1
    lease: float = 0.5
    """Seconds between two signs of life of a worker."""
    grace: float = 3.0
    """Seconds without a sign of life after which a worker counts as dead."""
    patience: float = 300.0
    """Seconds of silence after which a round is given up: what is not done then is lost. A slow round may take long."""

    @property
    def runs(self) -> int:
        return STRATEGIES * ((self.trials or 2) + self.finals)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What was done, and what became of the study."""

    seed: int
    executor: str
    strikes: tuple[str, ...]
    crashed: tuple[str, ...]
    """Drivers that ended by themselves and without success."""
    audit: Audit
    seconds: float

    def broken(self) -> list[str]:
        """The promises that were not kept, one line each."""
        return [*self.audit.broken(), *(f"a driver crashed with {words}" for words in self.crashed)]


def play(
    reference: str,
    folder: Path,
    seed: int,
    plan: Plan = Plan(),
    restart_storage: Callable[[], None] | None = None,
    keep_as: str | None = None,
) -> Round:
    """Run one round, and remove its study from the storage afterwards.

    Args:
        reference: the storage; the study gets a name that nobody else has.
        folder: for the study's file, checkpoints and logs.
        seed: of the study, of the strikes and of their moments.
        restart_storage: what the strike `storage` does.
        keep_as: the study's name, under which it stays in the storage.
    """
    rng, started, store = random.Random(seed), time.monotonic(), Store(reference)
    name = keep_as or f"chaos-{uuid.uuid4().hex[:12]}"
    try:
        with Crew(command(store, folder, name, seed, plan), folder) as crew:
            for _ in range(plan.drivers):
                crew.start()
            done = list(strike(Trouble(crew, store, name, plan, rng, restart_storage), plan.patience))
            crew.tend()
        found = audit(store, name, crew.acknowledged, plan.drivers if plan.executor == "local" else os.cpu_count() or 1)
    finally:
        if not keep_as:
            delete_study(store, name)
        store.close()
    return Round(
        seed=seed,
        executor=plan.executor,
        strikes=tuple(done),
        crashed=tuple(crew.crashed),
        audit=found,
        seconds=time.monotonic() - started,
    )


def command(store: Store, folder: Path, name: str, seed: int, plan: Plan) -> list[str]:
    """What a driver is: the command that a user would type."""
    file = folder / f"{name.replace('-', '_')}.py"
    fields = {"name": name, "seed": seed, "epochs": plan.epochs, "trials": plan.trials, "finals": plan.finals}
    file.write_text(STUDY.format(**fields, gpu_seconds=plan.gpu_seconds))
    options: dict[str, object] = {
        "storage": store.portable(),
        "executor": plan.executor,
        "artifacts": folder / "artifacts",
        "checkpoint-seconds": 0,
        "lease-seconds": plan.lease,
        "grace-seconds": plan.grace,
    }
    given = [f"--{option}={value}" for option, value in options.items()]
    return [sys.executable, "-m", "autoaug", "run", str(file), *given, "--json"]


@dataclass
class Trouble:
    """What can happen to the processes of a study. Each returns whether there was somebody to happen to."""

    crew: Crew
    store: Store
    name: str
    plan: Plan
    rng: random.Random
    restart_storage: Callable[[], None] | None = None

    def driver(self) -> bool:
        """SIGKILL to a driver, which may still be starting."""
        return self.hit([driver.process.pid for driver in self.crew.working()], self.crew.kill)

    def worker(self) -> bool:
        """SIGKILL to a process that trains; with the local executor it is a driver too."""
        return self.hit(self.training(), self.crew.kill)

    def pause(self) -> bool:
        """A process that trains hangs until its lease is over, and then goes on."""
        return self.hit(self.training(), lambda pid: self.crew.stop(pid, self.plan.grace + 2))

    def storage(self) -> bool:
        """The server of the storage dies and comes back."""
        if self.restart_storage:
            self.restart_storage()
        return self.restart_storage is not None

    def hit(self, pids: Sequence[int], how: Callable[[int], None]) -> bool:
        if pids:
            how(self.rng.choice(pids))
        return bool(pids)

    def training(self) -> list[int]:
        """Processes of this host whose lease of a trial of this study is so young that they must be alive."""
        mine = running_trials(self.store, self.name)
        signed = [
            owner for trial, (owner, age) in self.store.leases().items() if trial in mine and age < 3 * self.plan.lease
        ]
        owners = {owner.rpartition(":") for owner in signed}
        return sorted(int(pid) for host, _, pid in owners if host == socket.gethostname())


STRIKES = ("worker", "driver", "pause", "storage")
"""What can be done to a study: the methods of `Trouble`."""


def strike(trouble: Trouble, patience: float) -> Iterator[str]:
    """Make trouble at random moments until the drivers are done; yields what was done."""
    crew, plan, rng = trouble.crew, trouble.plan, trouble.rng
    kinds = rng.sample(plan.strikes, len(plan.strikes))
    moments = sorted(rng.randrange(plan.runs * plan.epochs * 9 // 10) for _ in kinds)
    for kind, moment in zip(kinds, moments, strict=True):
        while len(crew.acknowledged) < moment and crew.tend() and crew.silent() < patience:
            time.sleep(0.05)
        time.sleep(rng.random() / 5)  # within an epoch, or between two
        if crew.tend() and getattr(trouble, kind)():
            yield f"{kind} after {counted(len(crew.acknowledged), 'epoch')}"
    while crew.tend() and crew.silent() < patience:
        time.sleep(0.05)
