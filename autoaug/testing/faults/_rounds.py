"""One round: a small study is run by several processes, some of which die at random moments."""

import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoaug.processes import Process, having, this_process
from autoaug.store import Store, age_leases, delete_study, file_of, running_trials
from autoaug.testing.faults._audit import Audit, audit
from autoaug.testing.faults._process_group import ProcessGroup
from autoaug.testing.faults._studies import TRAINED
from autoaug.text import counted

STUDY = """
from autoaug.testing.faults import study_of

study = study_of({given})
"""

STRATEGIES = 2
"""Of such a study."""

JUMP_SECONDS = 600.0
"""How far a clock jumps."""

AWAY_SECONDS = 2.0
"""For how long a storage, its file or the room on its disk is away."""


@dataclass(frozen=True, kw_only=True)
class ChaosPlan:
    """Say what is done to a study."""

    executor: str = "local"
    drivers: int = 2
    """Processes that run the study side by side."""
    train: str = "fit"
    """By what it is trained: "fit", autoaug's own trainer, "loop", a loop in its worker, or "python" and "shell", which
    are commands."""
    faults: tuple[str, ...] = ("worker", "driver", "pause")
    """What is done, in random order and at random moments: rows of FAULTS."""
    namespaces: bool = False
    """Give every second driver a PID namespace of its own, as a container has. It takes the right to make one."""
    artifacts: str | None = None
    """Where checkpoints lie, as `--artifacts` has it: a URL, or a folder of which each driver has its own, as on hosts
    that share no disk. None is a folder that all of them share."""
    trials: int | None = 2
    """Of each strategy."""
    gpu_seconds: float | None = None
    epochs: int = 15
    finals: int = 1
    lease: float = 0.5
    """Seconds between two signs of life of a worker."""
    expiry: float = 3.0
    """Seconds without a sign of life after which a worker counts as dead."""
    grace: float = 30.0
    """Seconds that a driver has to end after SIGTERM. As many again are waited for its process to be gone."""
    silence_seconds: float = 300.0
    """Seconds of silence after which a round is given up: what is not done then is lost. A slow round may take long."""

    @property
    def runs(self) -> int:
        return STRATEGIES * ((self.trials or 2) + self.finals)


@dataclass(frozen=True, kw_only=True)
class Means:
    """Say how the place of a round is struck; what is None cannot be done there."""

    restart: Callable[[], None] | None = None
    """Let the server of the storage die and come back."""
    refuse_writes: Callable[[bool], None] | None = None
    """Let the server take no writes, as after a failover; with False it takes them again."""
    fill: Callable[[bool], None] | None = None
    """Fill the disk of the storage and the checkpoints; with False there is room again."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """Tell what was done, and what became of the study."""

    seed: int
    executor: str
    faults: tuple[str, ...]
    crashed: tuple[str, ...]
    """Drivers that ended by themselves and without success."""
    audit: Audit
    seconds: float
    orphaned: int = 0
    """Epochs that the command of an attempt trained after one of the next had."""
    left: int = 0
    """Processes of commands that went on when all was over."""

    def broken(self) -> list[str]:
        """Return the promises that were not kept, one line each."""
        crashed = [f"a driver crashed with {words}" for words in self.crashed]
        counts = {
            "epochs were trained by a command after the next attempt had begun": self.orphaned,
            "processes of commands were left": self.left,
        }
        return [*self.audit.broken(), *crashed, *(f"{count} {what}" for what, count in counts.items() if count)]


def run_round(
    storage_url: str,
    folder: Path,
    seed: int,
    plan: ChaosPlan = ChaosPlan(),
    means: Means = Means(),
    keep_as: str | None = None,
) -> Round:
    """Run one round, and remove its study from the storage afterwards.

    Args:
        storage_url: the storage; the study gets a name that nobody else has.
        folder: for the study's file, checkpoints and logs.
        seed: of the study, of the faults and of their moments.
        means: what the strikes `storage`, `failover` and `disk` do.
        keep_as: the study's name, under which it stays in the storage.
    """
    rng, started, store = random.Random(seed), time.monotonic(), Store(storage_url)
    name = keep_as or f"chaos-{uuid.uuid4().hex[:12]}"
    try:
        group = ProcessGroup(command(store, folder, name, seed, plan), folder)
        group.namespaces, group.apart = plan.namespaces, plan.artifacts is not None
        with group as processes:
            for _ in range(plan.drivers):
                processes.start()
            done = list(inject_faults(FaultInjector(processes, store, name, plan, rng, means), plan.silence_seconds))
            processes.poll()
        counts = audit(
            store, name, processes.acknowledged, plan.drivers if plan.executor == "local" else os.cpu_count() or 1
        )
    finally:
        if not keep_as:
            delete_study(store, name)
        store.close()
    return Round(
        seed=seed,
        executor=plan.executor,
        faults=tuple(done),
        crashed=tuple(processes.crashed),
        audit=counts,
        seconds=time.monotonic() - started,
        orphaned=orphaned(folder / TRAINED),
        left=len(commands_below(folder)),
    )


def orphaned(trained: Path) -> int:
    """Return how many epochs the commands of earlier attempts trained after one of a later attempt, in a file of them.

    It is appended to: what stands below was trained later.
    """
    latest: dict[str, int] = {}
    count = 0
    for line in trained.read_text(encoding="utf-8").splitlines() if trained.exists() else ():
        trial, _, attempt = line.rpartition("-")
        latest[trial] = max(latest.get(trial, 0), int(attempt))
        count += int(attempt) < latest[trial]
    return count


def commands_below(folder: Path) -> list[int]:
    """Return the processes whose trial is told of in a folder."""
    return having(f"AUTOAUG_TRIAL={folder.absolute()}/", begins=True)


def command(store: Store, folder: Path, name: str, seed: int, plan: ChaosPlan) -> list[str]:
    """Return what a driver is: the command that a user would type."""
    file = folder / f"{name.replace('-', '_')}.py"
    fields = {"train": plan.train, "folder": str(folder), "name": name, "seed": seed, "epochs": plan.epochs}
    fields |= {"finals": plan.finals, "trials": plan.trials, "gpu_seconds": plan.gpu_seconds}
    file.write_text(STUDY.format(given=f"**{fields!r}"))
    options: dict[str, object] = {
        "storage": store.portable(),
        "executor": plan.executor,
        "artifacts": plan.artifacts or folder / "artifacts",
        "checkpoint-seconds": 0,
        "lease-seconds": plan.lease,
        "expiry-seconds": plan.expiry,
        "grace": plan.grace,
    }
    given = [f"--{option}={value}" for option, value in options.items()]
    return [sys.executable, "-m", "autoaug", "run", str(file), *given, "--json"]


@dataclass
class FaultInjector:
    """Let faults happen to the processes of a study. Each returns whether there was somebody to happen to."""

    processes: ProcessGroup
    store: Store
    name: str
    plan: ChaosPlan
    rng: random.Random
    means: Means = Means()

    def driver(self) -> bool:
        """Send SIGKILL to a driver, which may still be starting."""
        return self.hit([driver.process.pid for driver in self.processes.working()], self.processes.kill)

    def preempt(self) -> bool:
        """Send SIGTERM to a driver, which saves what it trains and ends; it is started again."""
        drivers = [driver.process.pid for driver in self.processes.working() if not driver.contained]
        return self.hit(drivers, lambda pid: self.processes.preempt(pid, 2 * self.plan.grace))

    def worker(self) -> bool:
        """Send SIGKILL to a process that trains; with the local executor it is a driver too."""
        return self.hit(self.training(), self.processes.kill)

    def pause(self) -> bool:
        """Let a process that trains hang until its lease is over, and then go on."""
        return self.hit(self.training(), lambda pid: self.processes.stop(pid, self.plan.expiry + 2))

    def sleep(self) -> bool:
        """Let all drivers sleep until every lease is over, and wake up together: the machine is closed and opened."""
        pids = [driver.process.pid for driver in self.processes.working()]
        for pid in pids:
            self.processes.stop(-pid, self.plan.expiry + 2)
        return bool(pids)

    def clock(self) -> bool:
        """Let every lease look old, as it does to others when a clock jumps ahead."""
        age_leases(self.store, self.name, JUMP_SECONDS)
        return bool(running_trials(self.store, self.name))

    def storage(self) -> bool:
        """Let the server of the storage die and come back."""
        if self.means.restart:
            self.means.restart()
        return self.means.restart is not None

    def failover(self) -> bool:
        """Let the server of the storage take no writes for a while."""
        return self.for_a_while(self.means.refuse_writes)

    def disk(self) -> bool:
        """Let the disk be full for a while."""
        return self.for_a_while(self.means.fill)

    def for_a_while(self, strike: Callable[[bool], None] | None) -> bool:
        if strike:
            strike(True)
            time.sleep(AWAY_SECONDS)
            strike(False)
        return strike is not None

    def replaced(self) -> bool:
        """Move the file of the storage away and back; drivers that notice end, and are started again.

        Whoever starts would make a new one: drivers that have said nothing yet sleep until it is back, on a busy
        machine too.
        """
        path = file_of(self.store)
        if path is None or not self.processes.working():
            return False
        for driver in self.processes.working():
            if not driver.read:
                self.processes.stop(driver.process.pid, 2 * AWAY_SECONDS)
        files = [each for each in path.parent.glob(f"{path.name}*") if each.is_file()]
        away = path.parent / "away"
        away.mkdir(exist_ok=True)
        for file in files:
            file.rename(away / file.name)
        time.sleep(AWAY_SECONDS)
        for file in files:
            (away / file.name).rename(file)
        return True

    def hit(self, pids: Sequence[int], how: Callable[[int], None]) -> bool:
        if pids:
            how(self.rng.choice(pids))
        return bool(pids)

    def training(self) -> list[int]:
        """Return the processes beside this one whose lease of a trial of the study is so young that they must live."""
        running = running_trials(self.store, self.name)
        owners = {
            Process.parse(lease.owner)
            for trial, lease in self.store.leases().items()
            if trial in running and lease.age < 3 * self.plan.lease
        }
        here = this_process()
        return sorted(owner.pid for owner in owners if owner and here.is_beside(owner))


FAULTS = ("worker", "driver", "preempt", "pause", "sleep", "clock", "storage", "failover", "disk", "replaced")
"""What can be done to a study: the methods of `FaultInjector`."""


def inject_faults(injector: FaultInjector, silence_seconds: float) -> Iterator[str]:
    """Make faults at random moments until the drivers are done; yields what was done."""
    processes, plan, rng = injector.processes, injector.plan, injector.rng
    kinds = rng.sample(plan.faults, len(plan.faults))
    moments = sorted(rng.randrange(plan.runs * plan.epochs * 9 // 10) for _ in kinds)
    for kind, moment in zip(kinds, moments, strict=True):
        while (
            len(processes.acknowledged) < moment and processes.poll() and processes.silent_seconds() < silence_seconds
        ):
            time.sleep(0.05)
        time.sleep(rng.random() / 5)  # within an epoch, or between two
        if processes.poll() and getattr(injector, kind)():
            yield f"{kind} after {counted(len(processes.acknowledged), 'epoch')}"
    while processes.poll() and processes.silent_seconds() < silence_seconds:
        time.sleep(0.05)
