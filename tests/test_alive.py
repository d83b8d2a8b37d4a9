"""Who is alive: a worker that gives signs of life keeps its trial, whatever its clock or its namespace says."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from signal import SIGCONT, SIGSTOP, Signals
from types import SimpleNamespace

import pytest
import sqlalchemy
from namespaces import in_namespace, needs_namespaces
from optuna.trial import TrialState
from studies_for_tests import tiny

from autoaug.execution import Options, Scheduler, process_name, spool_of, write_pending
from autoaug.execution._lease import lease
from autoaug.execution._watch import Watch
from autoaug.processes import this_process
from autoaug.record import Outcome, Record
from autoaug.store import SPOOL_FOLDER, Lease, Spool, Store, age_leases
from autoaug.testing.faults import ChaosPlan, run_round

# Which leases are over


def sign(age: float, beat: float) -> Lease:
    return Lease("host:1", age, beat)


def looks(*seen: tuple[float, Lease | None]) -> list[list[int]]:
    """What is over at each look at one trial: its time by the monotonic clock, and what stood there."""
    watch = Watch(expiry=60, lease=10)
    return [list(watch.look({1: lease}, now)) for now, lease in seen]


def test_a_lease_is_over_that_is_old_and_not_renewed_when_there_was_time_for_it() -> None:
    assert looks((0, sign(61, 5)), (10, sign(71, 5)), (20, sign(81, 5))) == [[], [], [1]]


def test_a_lease_that_is_renewed_by_a_clock_that_jumps_is_not_over() -> None:
    assert looks(*((now, sign(600, now)) for now in range(0, 100, 5))) == [[]] * 20


def test_a_lease_that_was_old_for_a_moment_is_not_over() -> None:
    assert looks((0, sign(600, 5)), (5, sign(5, 5)), (25, sign(600, 5)), (30, sign(605, 5))) == [[]] * 4


def test_whoever_slept_looks_twice() -> None:
    assert looks((0, sign(3, 5)), (3600, sign(3603, 5)), (3610, sign(4, 3615))) == [[]] * 3


@pytest.mark.parametrize("seen", [None, sign(-600, 5)])
def test_where_the_clock_of_the_storage_tells_no_age_that_of_the_looker_does(seen: Lease | None) -> None:
    """Nobody signed, or the clock was set back after the last sign of life."""
    assert looks((0, seen), (60, seen), (61, seen), (80, seen), (81, seen)) == [[], [], [], [], [1]]


def test_while_the_storage_was_away_no_lease_gets_old() -> None:
    watch = Watch(expiry=60, lease=10)
    assert [watch.look({1: sign(600, 5)}, now, fair=False) for now in (0, 100, 200)] == [{}] * 3
    assert [watch.look({1: sign(600, 5)}, now) for now in (300, 310, 320)] == [{}, {}, {1: 600}]


def test_what_has_ended_is_forgotten() -> None:
    watch = Watch(expiry=60, lease=10)
    watch.look({1: None, 2: None}, 0)
    watch.look({2: None}, 5)
    assert watch.sights.keys() == {2}


# Real processes

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["autoaug.execution", "studies_for_tests"])


def hold(storage_url: str, told: Connection) -> None:
    """Take a trial, and give signs of life for as long as somebody listens."""
    store = Store(storage_url)
    job = Scheduler(tiny(), store).next()
    assert job
    with lease(store, job.trial_id, every=0.05), suppress(EOFError):
        told.send(job.trial_id)
        told.recv()


@dataclass
class Worker:
    """A process that holds a trial."""

    process: ForkServerProcess
    store: Store
    trial_id: int

    def send(self, what: Signals) -> None:
        assert self.process.pid
        os.kill(self.process.pid, what)

    def die(self) -> None:
        self.process.kill()
        self.process.join()

    def wait_for_a_sign(self) -> None:
        beat = self.store.leases()[self.trial_id].beat
        while self.store.leases()[self.trial_id].beat == beat:
            assert self.process.is_alive()
            time.sleep(0.01)


@contextmanager
def worker(store: Store) -> Iterator[Worker]:
    ours, its = PROCESSES.Pipe()
    process = PROCESSES.Process(target=hold, args=(store.storage_url, its))
    process.start()
    its.close()
    found = Worker(process, store, ours.recv())
    try:
        yield found
    finally:
        found.die()


HERE_AND_THERE = """
import sys
from pathlib import Path
from autoaug.execution import Options, Scheduler, process_name, write_pending
from autoaug.execution._lease import lease
from autoaug.store import Store
from studies_for_tests import tiny

store = Store(sys.argv[1])
write_pending(store, Options(artifacts=Path(sys.argv[2])))
job = Scheduler(tiny(), store).next()
with lease(store, job.trial_id, every=0.05):
    print(job.trial_id, flush=True)
    sys.stdin.read()
"""
"""A driver that looks for workers that are gone, takes a trial, and holds it for as long as somebody listens."""


def attempts(store: Store) -> list[tuple[str, int]]:
    return [(outcome.state, outcome.attempt) for outcome in store.outcomes("tiny")]


@needs_namespaces
def test_drivers_in_two_namespaces_leave_each_other_their_trials_and_files(store: Store, options: Options) -> None:
    job = Scheduler(tiny(), store).next()
    assert job
    here = leave(store, options, job.trial_id, process_name())
    command = [*in_namespace(), sys.executable, "-c", HERE_AND_THERE, store.storage_url, str(options.artifacts)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        trial_id = int(other.stdout.readline())
        there = leave(store, options, trial_id, store.leases()[trial_id].owner)
        write_pending(store, options)
        Scheduler(tiny(), store)
        assert attempts(store) == [("RUNNING", 1), ("RUNNING", 1)]
        assert here.exists()
        assert there.exists()
        other.communicate()  # which ends it
    recovery = Scheduler(tiny(), store, expiry=-1, lease=0).recovery
    store.beat(job.trial_id, process_name())
    recovery.reconcile()
    assert sorted(attempts(store)) == [("FAIL", 1), ("RUNNING", 1), ("WAITING", 2)], "by two looks, as elsewhere"


def test_a_clock_that_jumps_takes_nobodys_trial(store: Store) -> None:
    ahead = Store(store.storage_url)
    with worker(store) as living:
        scheduler = Scheduler(tiny(), ahead, lease=0)
        ahead.clock = ahead.clock + sqlalchemy.literal(600.0)
        for _ in range(3):
            living.wait_for_a_sign()
            assert ahead.leases()[living.trial_id].age > 500
            scheduler.recovery.reconcile()
        assert attempts(store) == [("RUNNING", 1)]
    ahead.close()


def test_whoever_wakes_first_takes_nothing_from_those_that_still_sleep(store: Store) -> None:
    with worker(store) as living:
        scheduler = Scheduler(tiny(), store)
        living.send(SIGSTOP)
        age_leases(store, "tiny", 3600)
        scheduler.recovery.looked = -3600  # by a clock that slept too
        scheduler.recovery.reconcile()
        living.send(SIGCONT)
        living.wait_for_a_sign()
        scheduler.recovery.looked = -3600
        scheduler.recovery.reconcile()
        assert attempts(store) == [("RUNNING", 1)]


def test_of_two_drivers_that_find_a_worker_gone_one_takes_its_trial(store: Store) -> None:
    with worker(store) as living:
        both = [Scheduler(tiny(), Store(store.storage_url), lease=0) for _ in range(2)]
        living.die()
        for scheduler in both:
            scheduler.recovery.reconcile()
            scheduler.store.close()
    assert attempts(store) == [("FAIL", 1), ("WAITING", 2)]


def test_a_process_that_was_stopped_is_not_taken_for_one_that_hangs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, beats, enough = [0.0], list[float](), threading.Event()
    monkeypatch.setattr("autoaug.execution._lease.time", SimpleNamespace(monotonic=lambda: now[0]))
    steps: list[Callable[[], None]] = []

    def beat(trial_id: int, owner: str) -> None:
        """It is stopped for long at the first sign of life, and makes a step when it goes on."""
        if not steps:
            return  # it has not begun
        beats.append(now[0])
        if len(beats) == 2:
            now[0] = 2000.0
        if len(beats) > 2:
            steps[0]()
        if len(beats) == 5:
            enough.set()

    monkeypatch.setattr(store, "beat", beat)
    with lease(store, 1, every=0.01, hang=1000, give_up=enough.set) as step:
        steps.append(step)
        enough.wait()
    assert len(beats) >= 5


# What a worker could not write


def leave(store: Store, options: Options, trial_id: int, owner: str, end: bool = False) -> Path:
    """What a worker leaves that measured an epoch, and perhaps its last one, while the storage was away."""
    spool = Spool(options.artifacts / SPOOL_FOLDER, store.identity, owner)
    record = Record(epoch=1, phase="augment", study="tiny", strategy="none", trial=0, metrics={"val_accuracy": 0.5})
    spool.append(trial_id, "write_epoch", {"record": record})
    if end:
        spool.append(trial_id, "conclude", {"state": TrialState.COMPLETE, "objectives": ["val_accuracy"]})
    return spool.path(trial_id)


def first(store: Store) -> Outcome:
    return store.outcomes("tiny")[0]


@pytest.mark.parametrize("end", [True, False])
def test_what_a_worker_elsewhere_left_is_written_before_its_trial_is_queued_again(
    store: Store, options: Options, end: bool
) -> None:
    store.spool = spool_of(store, options)
    job = Scheduler(tiny(), store).next()
    assert job
    owner = str(replace(this_process(), host="elsewhere"))
    store.beat(job.trial_id, owner)
    path = leave(store, options, job.trial_id, owner, end)
    recovery = Scheduler(tiny(), store, expiry=-1, lease=0).recovery
    write_pending(store, options)
    assert path.exists()
    assert attempts(store) == [("RUNNING", 1)]
    recovery.reconcile()
    assert attempts(store) == ([("COMPLETE", 1)] if end else [("FAIL", 1), ("WAITING", 2)])
    assert first(store).epochs == 1
    assert first(store).reason.startswith("" if end else f"lost: no sign of elsewhere:{this_process().pid} for ")
    assert [record.epoch for record in store.epochs("tiny")] == [1]
    assert not list(path.parent.iterdir())


def test_what_is_left_of_a_trial_that_has_ended_does_not_stay(store: Store, options: Options) -> None:
    scheduler = Scheduler(tiny(), store)
    job = scheduler.next()
    assert job
    path = leave(store, options, job.trial_id, "elsewhere:1")
    scheduler.lost(job, "its node died")
    write_pending(store, options)
    assert not list(path.parent.iterdir())
    assert [record.epoch for record in store.epochs("tiny")] == [1], "it was told that this one is kept"


def test_what_a_dead_worker_left_without_its_end_leaves_its_trial_to_whoever_looks_next(
    store: Store, options: Options
) -> None:
    with worker(store) as living:
        owner = store.leases()[living.trial_id].owner
        leave(store, options, living.trial_id, owner)
        living.die()
        write_pending(store, options)
        assert attempts(store) == [("RUNNING", 1)]
        assert store.leases()[living.trial_id].owner == owner
        Scheduler(tiny(), store)
        assert attempts(store) == [("FAIL", 1), ("WAITING", 2)]


# All of it


@pytest.mark.slow
@needs_namespaces
def test_drivers_that_live_take_nothing_from_each_other(tmp_path: Path) -> None:
    """One has a PID namespace of its own, one has nothing to do but look, clocks jump, and all sleep for long."""
    faults = ("clock", "clock", "clock", "sleep")
    plan = ChaosPlan(drivers=3, faults=faults, namespaces=True, trials=1, epochs=30, lease=1.0)
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    done = run_round(store.storage_url, tmp_path, 1, plan, keep_as="same")
    assert done.broken() == []
    assert len(done.faults) == len(plan.faults)
    assert {(outcome.state, outcome.attempt) for outcome in store.outcomes("same")} == {("COMPLETE", 1)}
    store.close()
