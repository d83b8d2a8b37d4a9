"""Processes are killed at random moments, and nothing is lost.

CI plays one round of every second plan, and of the others on the next day. AUTOAUG_CHAOS_ROUNDS=30 plays thirty, and
AUTOAUG_CHAOS_TABLE=FILE.md keeps what became of them.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from disks import disk, fill
from namespaces import allowed as isolated
from postgres_server import Server, needs_postgres, postgres
from s3_server import s3

from autoaug.record import Outcome, Record, TrialKind
from autoaug.store import GIVEN_UP, Store
from autoaug.testing.faults import Audit, ChaosPlan, Means, Round, audit, run_round
from autoaug.testing.faults._audit import PROMISES
from autoaug.testing.faults._process_group import ProcessGroup
from autoaug.testing.faults._rounds import commands_below, orphaned
from benchmarks.platform import drive_together

TABLE = os.environ.get("AUTOAUG_CHAOS_TABLE")

SMALL = ChaosPlan(epochs=12, silence_seconds=math.inf)

PLANS = (
    replace(SMALL, faults=("driver", "preempt", "storage")),
    replace(SMALL, faults=("worker", "sleep", "failover")),
    replace(SMALL, faults=("worker", "storage"), drivers=1, trials=None, gpu_seconds=1.5),
    replace(SMALL, faults=("disk",)),
    replace(SMALL, faults=("worker", "driver"), drivers=1, executor="ray"),
    replace(SMALL, faults=("replaced", "driver")),
    replace(SMALL, faults=("pause", "worker", "preempt", "clock"), namespaces=True),
    replace(SMALL, faults=("worker", "preempt"), artifacts="s3://bucket/runs", train="loop"),
    replace(SMALL, faults=("worker", "pause"), train="python", trials=1),
    replace(SMALL, faults=("worker", "pause", "preempt"), train="shell"),
    replace(SMALL, faults=("worker", "driver"), artifacts="artifacts"),
)
"""Round k plays plan k modulo their number, on PostgreSQL, or every second time on SQLite where no server is struck."""

MANY = int(os.environ.get("AUTOAUG_CHAOS_ROUNDS", 0))

ROUNDS = range(MANY) if MANY else range(int(os.environ["AUTOAUG_CHAOS_TURN"]), len(PLANS), 2)
"""Every second plan is played on one day, the others on the next (`conftest.py` says which)."""

ON_A_FILE, ON_A_SERVER = {"replaced", "disk"}, {"storage", "failover"}
"""Strikes that one kind of storage only can suffer."""

PLAYED: list[tuple[int, Round]] = []


PLACES = {None: "", "artifacts": ", no disk is shared", "s3://bucket/runs": ", checkpoints on S3"}
"""What a plan is called by where its checkpoints lie."""


TRAINED_BY = {"fit": "", "loop": ", a loop", "python": ", a command in Python", "shell": ", a command of the shell"}
"""What it is called by by what it trains."""


def called(plan: ChaosPlan) -> str:
    """What was done, and where."""
    inside = ", PID namespaces" if plan.namespaces else ""
    return f"{plan.executor}, {' + '.join(plan.faults)}{inside}{PLACES[plan.artifacts]}{TRAINED_BY[plan.train]}"


def table(played: Sequence[tuple[int, Round]]) -> str:
    """What was done and what was lost, by plan and in all, as Markdown."""
    groups = {called(plan): [each for seed, each in played if PLANS[seed % len(PLANS)] == plan] for plan in PLANS} | {
        "all": [each for _, each in played]
    }
    counts = ("trials", "complete", "pruned", "failed", "lost", "duplicated", "stuck", "given_up", "unexplained")
    reports = ("acknowledged", "missing", "repeated", "begun_again", "set_back")
    heads = ["plan", "rounds", "strikes", *counts, *reports, "crashed drivers"]
    lines = [
        "# Chaos",
        "",
        f"{time.strftime('%Y-%m-%d')}, torch {version('torch')}, optuna {version('optuna')}, ray {version('ray')}, "
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end. `tests/test_chaos.py` plays the "
        "rounds and `autoaug/testing/faults/` says what is counted; `set_back` is the most epochs that an attempt "
        "repeated that had found a checkpoint, `begun_again` counts those that had none where they were and said so, "
        "and `given_up` trials that failed though only their processes were ended.",
        "",
        f"| {' | '.join(heads)} |",
        f"|---|{'---:|' * (len(heads) - 1)}",
    ]
    for name, rounds in groups.items():
        found = [each.audit for each in rounds]
        sums = [sum(getattr(each, field) for each in found) for field in (*counts, *reports[:-1])]
        most, crashed = max((each.set_back for each in found), default=0), sum(len(each.crashed) for each in rounds)
        cells = [len(rounds), sum(len(each.faults) for each in rounds), *sums, most, crashed]
        lines.append(f"| {' | '.join(map(str, [name, *cells]))} |")
    lines += ["", *(f"- failed: {reason}" for _, each in played for reason in each.audit.reasons)]
    return "\n".join(lines).rstrip() + "\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as running:
        yield running


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize("seed", ROUNDS)
def test_nothing_is_lost_whatever_is_killed(server: Server, tmp_path: Path, seed: int) -> None:
    plan, storage_url = PLANS[seed % len(PLANS)], server.url
    with ExitStack() as stack:
        # short: the paths of Ray's sockets have a limit
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aa", ignore_cleanup_errors=True)))
        if "disk" in plan.faults:
            stack.enter_context(disk(folder))
        if plan.namespaces and not isolated():  # none may be made here; its faults are those of no other plan
            plan = replace(plan, namespaces=False)
        if PLACES[plan.artifacts].endswith("S3"):
            stack.enter_context(s3())
        if ON_A_FILE & {*plan.faults} or (seed % 2 and not ON_A_SERVER & {*plan.faults}):
            storage_url = f"sqlite:///{folder / 'x.db'}"
        means = Means(restart=server.restart, refuse_writes=server.refuse_writes, fill=partial(fill_or_free, folder))
        done = run_round(storage_url, folder, seed, plan, means)
        store = Store(storage_url)
        left = (store.names(), store.leases(), store.optuna.get_all_studies())
        store.close()
    PLAYED.append((seed, done))
    if TABLE:
        Path(TABLE).write_text(table(PLAYED))
    assert done.broken() == [], done
    assert done.audit.failed == 0, done.audit.reasons
    assert done.faults, "somebody was hit"
    assert left == ([], {}, []), "and it was cleaned up"


def fill_or_free(folder: Path, full: bool) -> None:
    """Let a file system be full, or not."""
    if full:
        fill(folder)
    else:
        (folder / "filler").unlink()


def numbers(store: Store) -> tuple[Any, Any]:
    """Every point in the order in which it was proposed, and every epoch's metrics, to the last bit."""
    outcomes = [outcome for outcome in store.outcomes("same") if outcome.state == "COMPLETE"]
    points = sorted((o.substudy, o.strategy, o.root, tuple(o.point.items()), o.value) for o in outcomes)
    epochs = {(r.substudy, r.strategy, r.seed, r.epoch): {**r.metrics} for r in store.epochs("same")}
    return points, epochs


@pytest.mark.slow
def test_a_study_that_is_killed_proposes_the_same_points_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    plan, found = ChaosPlan(drivers=1, faults=("driver", "driver", "preempt"), silence_seconds=math.inf), []
    for name, strikes in {"killed": plan.faults, "left alone": ()}.items():
        (folder := tmp_path / name).mkdir()
        store = Store(f"sqlite:///{folder / 'x.db'}")
        done = run_round(store.storage_url, folder, 7, replace(plan, faults=strikes), keep_as="same")
        assert done.broken() == []
        assert len(done.faults) == len(strikes)
        found.append(numbers(store))
    assert len(found[0][0]) == plan.runs
    assert found[0] == found[1]


@pytest.mark.slow
@needs_postgres
def test_many_drivers_share_a_study(server: Server) -> None:
    """8 drivers with 4 slots each and 400 trials; CI, which has two cores, gives 4 drivers a tenth of the trials."""
    drivers, trials = (8, 400) if len(PLANS) < MANY else (4, 40)
    assert drive_together(server.url, drivers=drivers, slots=4, trials=trials) == [0] * drivers
    store = Store(server.url)
    found = audit(store, "many")
    store.close()
    assert found.broken() == []
    assert found.complete == found.trials == trials + 4


# The audit sees what it looks for


class Stored:
    """A study as the audit reads it: one strategy with two trials of two epochs each, and one final run."""

    def __init__(self) -> None:
        self.outcomes_ = [outcome(0, 0), outcome(1, 1), outcome(0, 0, kind=TrialKind.FINAL)]
        self.epochs_ = [epoch(each.trial, k, each.kind) for each in self.outcomes_ for k in (1, 2)]

    def outcomes(self, name: str) -> list[Outcome]:
        return self.outcomes_

    def epochs(self, name: str) -> list[Record]:
        return self.epochs_

    def definition(self, name: str) -> dict[str, Any]:
        return {"spaces": {"s": {"policy.m": "0 to 1"}}, "budget": {"trials": 2, "gpu_seconds": 10.0}, "seeds": 1}


def outcome(number: int, root: int, state: Any = "COMPLETE", **more: Any) -> Outcome:
    return Outcome(study="x", strategy="s", trial=number, root=root, state=state, **more)


def epoch(trial: int, number: int, kind: TrialKind = TrialKind.SEARCH, **more: Any) -> Record:
    given = {"study": "x", "strategy": "s", "trial": trial, "kind": kind, "metrics": {"val_accuracy": 0.5}}
    return Record(epoch=number, phase="augment", **given | {"gpu_seconds": 1.0} | more)


def test_a_study_without_a_fault_keeps_every_promise() -> None:
    found = audit(Stored(), "x", [vars(epoch(0, 1))])  # type: ignore[arg-type]
    assert found.broken() == []
    assert (found.trials, found.complete, found.acknowledged) == (3, 3, 1)


def lose(stored: Stored) -> None:
    stored.outcomes_[1] = outcome(1, 1, "RUNNING")


def run_twice(stored: Stored) -> None:
    stored.outcomes_.append(outcome(2, 1, attempt=2))


def run_another(stored: Stored) -> None:
    stored.outcomes_.append(outcome(2, 2))


def fail_silently(stored: Stored) -> None:
    stored.outcomes_[1] = outcome(1, 1, "FAIL")


def give_up(stored: Stored) -> None:
    stored.outcomes_[1] = outcome(1, 1, "FAIL", reason=f"its worker died, 3 times {GIVEN_UP}")


def lose_a_report(stored: Stored) -> None:
    stored.epochs_.remove(epoch(0, 2))


def leave_a_hole(stored: Stored) -> None:
    stored.epochs_.remove(epoch(1, 1))


def change_a_report(stored: Stored) -> None:
    stored.epochs_[1] = epoch(0, 2, metrics={"val_accuracy": 0.4})


def go_back(stored: Stored) -> None:
    stored.outcomes_[1:2] = [outcome(1, 1, "FAIL", reason="killed"), outcome(2, 1, attempt=2)]
    stored.epochs_ += [epoch(2, 1), epoch(2, 2)]


def overspend(stored: Stored) -> None:
    stored.epochs_[0] = epoch(0, 1, gpu_seconds=3.0)
    stored.epochs_ += [epoch(1, k) for k in range(3, 12)]


@pytest.mark.parametrize(
    ("fault", "promises"),
    [
        (lose, ["lost", "stuck"]),
        (run_twice, ["duplicated"]),
        (run_another, ["duplicated"]),
        (fail_silently, ["unexplained"]),
        (give_up, ["given_up"]),
        (lose_a_report, ["missing"]),
        (leave_a_hole, ["missing"]),
        (change_a_report, ["missing"]),
        (go_back, ["set_back"]),
        (overspend, ["overspent"]),
    ],
)
def test_the_audit_sees_every_fault(fault: Any, promises: list[str]) -> None:
    stored = Stored()
    acknowledged = [vars(each) for each in stored.epochs_ if each.trial == 0]
    fault(stored)
    found = audit(stored, "x", acknowledged)  # type: ignore[arg-type]
    assert found.broken() == [f"{getattr(found, name)} {PROMISES[name]}" for name in promises]


def test_a_trial_that_is_killed_may_repeat_one_epoch() -> None:
    stored = Stored()
    go_back(stored)
    stored.epochs_.remove(epoch(2, 1))
    found = audit(stored, "x")  # type: ignore[arg-type]
    assert (found.broken(), found.repeated, found.failed, found.complete) == ([], 1, 0, 3)


def test_what_a_command_trains_beside_the_next_attempt_is_counted(tmp_path: Path) -> None:
    """An attempt ends when the next one begins; other trials go on beside it."""
    trained = tmp_path / "trained"
    assert orphaned(trained) == 0
    trained.write_text("".join(f"/x/{line}\n" for line in ("1/attempt-1", "2/attempt-1", "1/attempt-2", "2/attempt-1")))
    assert orphaned(trained) == 0
    with trained.open("a") as file:
        print("/x/1/attempt-1", file=file)
    assert orphaned(trained) == 1


def test_commands_that_are_left_are_found(tmp_path: Path) -> None:
    environment = {**os.environ, "AUTOAUG_TRIAL": str(tmp_path / "a" / "trial.json")}
    with subprocess.Popen(["sleep", "600"], env=environment) as process:
        assert commands_below(tmp_path / "a") == commands_below(tmp_path) == [process.pid]
        assert commands_below(tmp_path / "b") == []
        process.kill()
    given: dict[str, Any] = {"seed": 0, "executor": "local", "faults": (), "crashed": (), "seconds": 1.0}
    done = Round(**given, audit=Audit(), orphaned=2, left=1)
    assert [words.partition(" ")[0] for words in done.broken()] == ["2", "1"]


# Who is given up


def test_a_round_is_given_up_for_silence_and_never_for_being_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("autoaug.testing.faults._process_group.time", SimpleNamespace(monotonic=lambda: now[0]))
    with ProcessGroup([sys.executable, "-c", "import time; time.sleep(10**6)"], tmp_path) as group:
        group.start()
        (driver,) = group.drivers
        for _ in range(3):  # every 200 s it says something
            now[0] += 200
            assert group.poll()
            assert group.silent_seconds() == 200
            with driver.output.open("a") as file:
                file.write(json.dumps({"state": "RUNNING"}) + "\n")
            assert group.poll()
            assert group.silent_seconds() == 0
        now[0] += 301
        assert group.poll()
        assert group.silent_seconds() == 301 > ChaosPlan().silence_seconds
        driver.process.kill()
        driver.process.wait()
        group.poll()
        assert group.silent_seconds() == 0, "another one was started"


SAYING = "print('{}', flush=True); time.sleep(10**6)"


def ending(code: int) -> str:
    """A driver that ends with a code when it is sent SIGTERM."""
    return f"import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit({code})); {SAYING}"


MOVED = "import sys; sys.exit('error: storage sqlite:///x.db is not what was opened: its file is gone')"

KEEPS = "import os, time; os.makedirs('a/.spool'); open('a/.spool/1.jsonl', 'w').close(); "


@pytest.mark.parametrize(
    ("driver", "same"),
    [(MOVED, True), (KEEPS + SAYING, True), ("import time; " + SAYING, False)],
    ids=["its storage was away", "its disk holds what the storage lacks", "its disk holds nothing"],
)
def test_a_host_is_lost_with_its_driver_only_where_nothing_is_lost_with_its_disk(
    tmp_path: Path, driver: str, same: bool
) -> None:
    with ProcessGroup([sys.executable, "-c", driver], tmp_path, apart=True) as group:
        group.start()
        (first,) = group.drivers
        while not first.replaced:
            group.poll()
            if first.read and not first.killed:
                group.kill(first.process.pid)
            time.sleep(0.02)
        assert (group.drivers[1].host == first.host) is same


@pytest.mark.parametrize(
    ("driver", "crashes"),
    [
        (ending(130), []),
        ("import time; " + SAYING, []),
        (ending(7), ["exit code 7: it said nothing"]),
        ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SAYING, ["no exit code"]),
    ],
    ids=["saves and ends", "has not begun", "fails", "goes on"],
)
def test_a_driver_that_is_preempted_must_end_by_itself_and_is_started_again(
    tmp_path: Path, driver: str, crashes: list[str]
) -> None:
    with ProcessGroup([sys.executable, "-c", driver], tmp_path) as group:
        group.start()
        (first,) = group.drivers
        while not first.read:
            group.poll()
            time.sleep(0.02)
        group.preempt(first.process.pid, seconds=0.5 if "SIG_IGN" in driver else 600)
        while not first.replaced:
            group.poll()
            time.sleep(0.02)
        assert len(group.drivers) == 2, "another one was started"
        assert [words.partition(": it went on")[0] for words in group.crashed] == crashes
