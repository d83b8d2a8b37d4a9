"""Interrupting costs nothing: who is stopped, killed or robbed of a checkpoint goes on, and fails only by itself."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import autoaug
from studies_for_tests import tiny

from autoaug import Budget, Study, Task
from autoaug.checkpoint import FORMAT
from autoaug.execution import Event, Options, Scheduler
from autoaug.executors import run
from autoaug.record import Outcome, TrialKind
from autoaug.store import Store
from autoaug.strategies import none

LONG = Task(data="digits-rotated", model="convnet", epochs=6, batch_size=200, lr=0.2, device="cpu")


def one_trial(**more: Any) -> Study:
    """A search of one trial of six epochs, and one final run."""
    given: dict[str, Any] = {"task": LONG, "strategies": {"none": none()}, "space": {}, "seeds": 1}
    return tiny(**given | {"budget": Budget(trials=1)} | more)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(artifacts=tmp_path / "artifacts", checkpoint_seconds=0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Any]:
    """What a study finds that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    store = Store(f"sqlite:///{folder / 'x.db'}")
    run(one_trial(), store, options=Options(artifacts=folder / "artifacts"))
    return metrics(store)


def metrics(store: Store) -> dict[Any, Any]:
    """What every epoch measured, to the last bit; of an epoch that was repeated, the last time."""
    return {(record.kind, record.epoch): dict(record.metrics) for record in store.epochs("tiny")}


def searched(store: Store) -> list[Outcome]:
    return [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]


def interrupt_after(epoch: int) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if event.record and event.record.epoch == epoch and event.job.kind is not TrialKind.FINAL:
            raise KeyboardInterrupt

    return listen


def test_a_trial_that_is_interrupted_again_and_again_ends_as_if_nothing_had_happened(
    store: Store, options: Options, undisturbed: dict[Any, Any]
) -> None:
    for epoch in (1, 2, 2, 2, 2, 3, 5):  # also without getting any further
        with pytest.raises(KeyboardInterrupt):
            run(one_trial(), store, options=options, listen=interrupt_after(epoch))
    run(one_trial(), store, options=options)
    *before, last = searched(store)
    assert {(o.state, o.reason) for o in before} == {("FAIL", "interrupted")}
    assert (last.state, last.attempt) == ("COMPLETE", 8)
    assert metrics(store) == undisturbed


def test_a_trial_that_waits_to_start_loses_nothing_when_its_driver_dies(store: Store, options: Options) -> None:
    for _ in range(12):
        job = Scheduler(one_trial(), store).next()
        assert job
        store.beat(job.trial_id, "elsewhere:1")  # of a host that went away
        Scheduler(one_trial(), store, expiry=-1, lease=0).recovery.reconcile()  # which looks a second time
    run(one_trial(), store, options=options)
    assert searched(store)[-1].state == "COMPLETE"


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "cannot be read: it is damaged, or no checkpoint"),
    "older": (lambda path: torch.save({"epoch": 3, "model": {}}, path), f"is of another version than {FORMAT}"),
    "foreign": (
        lambda path: torch.save({"format": FORMAT, "of": "x", "state": {}}, path),
        "is of another training",
    ),
    "unfit": (lambda path: misshape(path), "does not fit this training"),
}


def misshape(path: Path) -> None:
    """The optimiser's state of another network, which is found out when that of the model has been taken over."""
    found = torch.load(path, weights_only=True)
    found["state"]["optimiser"]["param_groups"] = []
    torch.save(found, path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_is_of_no_use_costs_work_and_never_the_trial(
    store: Store, options: Options, undisturbed: dict[Any, Any], damage: str
) -> None:
    how, why = DAMAGES[damage]
    for epoch in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            run(one_trial(), store, options=options, listen=interrupt_after(epoch))
    folder = options.artifacts / "tiny" / "none" / "0"
    assert sorted(path.name for path in folder.iterdir()) == ["1.pt", "2.pt"]
    how(folder / "2.pt")
    run(one_trial(), store, options=options)
    last = searched(store)[-1]
    assert (last.state, last.warning) == ("COMPLETE", f"checkpoint 2.pt {why}; went on from 1.pt")
    assert [r.epoch for r in store.epochs("tiny") if r.attempt == 3 and r.kind is not TrialKind.FINAL] == [3, 4, 5, 6]
    assert metrics(store) == undisturbed


def test_without_any_checkpoint_that_can_be_read_a_trial_begins_again(
    store: Store, options: Options, undisturbed: dict[Any, Any]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(one_trial(), store, options=options, listen=interrupt_after(3))
    (options.artifacts / "tiny" / "none" / "0" / "1.pt").write_text("spoiled")
    run(one_trial(), store, options=options)
    assert searched(store)[-1].warning.endswith("it is damaged, or no checkpoint; began again")
    assert [r.epoch for r in store.epochs("tiny") if r.attempt == 2 and r.kind is not TrialKind.FINAL] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert metrics(store) == undisturbed


# What failed is taken up again when somebody asks for it


class Failing:
    """A listener that makes the chosen kind of trial fail after its third epoch, for as long as `on`."""

    def __init__(self, kind: TrialKind) -> None:
        self.kind, self.on = kind, True

    def __call__(self, event: Event) -> None:
        if self.on and event.record and event.job.kind is self.kind and event.record.epoch == 3:
            raise RuntimeError("the disk was unplugged")


@pytest.mark.parametrize("kind", [TrialKind.SEARCH, TrialKind.FINAL])
def test_what_failed_is_taken_up_again_from_its_checkpoint(
    store: Store, options: Options, undisturbed: dict[Any, Any], kind: TrialKind
) -> None:
    failing, study = Failing(kind), one_trial()
    run(study, store, options=options, listen=failing)
    run(study, store, options=options, listen=failing)
    failed = store.outcomes("tiny")[-1]
    assert (failed.state, failed.kind, failed.attempt) == ("FAIL", kind, 1), "without being asked nothing is repeated"
    run(study, store, options=replace(options, retry_failed=True), listen=failing)
    assert [(o.state, o.attempt) for o in store.outcomes("tiny") if o.kind is kind] == [("FAIL", 1), ("FAIL", 2)]
    failing.on = False
    run(study, store, options=replace(options, retry_failed=True))
    ends = [(o.state, o.attempt) for o in store.outcomes("tiny") if o.kind is kind]
    assert ends == [("FAIL", 1), ("FAIL", 2), ("COMPLETE", 3)]
    assert next(r.epoch for r in store.epochs("tiny") if r.kind is kind and r.attempt == 3) == 3
    assert store.test_reads("tiny") == 1, "all attempts at a final run are one read of the test split"
    assert metrics(store) == undisturbed
    assert not list(options.artifacts.rglob("*.pt"))


def test_two_drivers_that_are_asked_to_retry_queue_one_attempt(store: Store, options: Options) -> None:
    run(one_trial(), store, options=options, listen=Failing(TrialKind.SEARCH))
    (failed,) = store.outcomes("tiny")
    assert [store.retry(failed) for _ in range(2)] == [True, False]


# Real processes, real signals

FILE = """
from autoaug import Budget, Study, Task
from autoaug.strategies import none

study = Study(
    name="tiny",
    task=Task(data="digits-rotated", model="convnet", epochs={epochs}, batch_size=200, lr=0.2, device="cpu"),
    strategies={{"none": none()}},
    seeds=1,
    budget=Budget(trials=1),
)
"""


class Node:
    """What runs a study as a user would, on one node, where somebody ends it when it has got to some epoch."""

    def __init__(self, folder: Path, *arguments: str, epochs: int) -> None:
        self.folder, self.arguments = folder, arguments
        (folder / "s.py").write_text(FILE.format(epochs=epochs))
        self.store = Store(f"sqlite:///{folder / 'x.db'}")

    def start(self) -> ForkServerProcess:
        given = ("run", "s.py", "--storage", "sqlite:///x.db", "-q", "--checkpoint-seconds", "0")
        return autoaug(*given, *self.arguments, folder=self.folder)

    def end_when(self, seen: Callable[["Node"], bool], how: signal.Signals) -> int:
        """Start it, wait until something is seen in the storage, and send it a signal; returns its exit code."""
        process = self.start()
        assert process.pid
        while process.exitcode is None and not seen(self):
            time.sleep(0.05)
        if process.exitcode is None:
            (os.killpg if how == signal.SIGKILL else os.kill)(process.pid, how)
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def last(self) -> Outcome | None:
        found = searched(self.store)
        return found[-1] if found else None


def at_epoch(epoch: int) -> Callable[[Node], bool]:
    return lambda node: (last := node.last()) is not None and last.epochs >= epoch


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_long_trial_outlives_four_ends_of_its_process(tmp_path: Path, how: signal.Signals, code: int) -> None:
    node = Node(tmp_path, epochs=20_000)
    assert [node.end_when(at_epoch(epoch), how) for epoch in (5, 12, 20, 28)] == [code] * 4
    Scheduler(
        one_trial(task=replace(LONG, epochs=20_000)), node.store
    )  # takes back what was killed, as the next run does
    last = node.last()
    assert last
    assert (last.state, last.attempt) == ("WAITING", 5)
    assert node.store.trials("tiny", "none")[-1].user_attrs["losses"] == {}
