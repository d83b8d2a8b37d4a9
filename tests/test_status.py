"""`autoaug status` says who works on what and when it should end, and leaves everything as it is."""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sqlalchemy as sql
from command_line import Call, calling, refused, study
from rich.console import Console
from studies_for_tests import tiny

from autoaug import Budget, Study
from autoaug.cli._status_block import status_block
from autoaug.execution import Event, Options, Scheduler, Status, StrategyStatus, TrialStatus, status
from autoaug.execution._status import strategy_status
from autoaug.executors import run
from autoaug.processes import Process
from autoaug.record import Outcome, TrialKind
from autoaug.store import Store
from autoaug.strategies import none, randaugment
from autoaug.study import complete_definition

ROOT = Path(__file__).parent.parent
LONG = "Task(data='digits-rotated', model='convnet', epochs=5000, batch_size=1000, lr=0.01)"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def contents(file: Path) -> dict[str, list[Any]]:
    """Every row of every table of a storage."""
    with closing(sqlite3.connect(file)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def by_strategy(found: Status) -> dict[str, StrategyStatus]:
    return {each.strategy: each for each in found.strategies}


@pytest.mark.slow
def test_a_study_that_another_process_runs_is_seen_at_work(call: Call, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(study(task=LONG, strategies="{'none': none()}", space="{}"))
    command = [sys.executable, "-m", "autoaug", "run", "s.py", "-q", "--storage", "sqlite:///x.db"]
    driver = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
    found: dict[str, Any] = {"running": []}
    end = time.monotonic() + 300
    while not any(trial["epoch"] for trial in found["running"]):
        assert driver.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
        result = call("status", "tiny", "--storage", "sqlite:///x.db", "--json")
        if result.exit_code == 0:  # it has begun
            found = json.loads(result.stdout)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=300) == 130
    (trial,) = found["running"]
    assert (trial["strategy"], trial["name"], trial["epochs"]) == ("none", "trial 0", 5000)
    assert trial["pid"] == str(driver.pid)
    assert (found["workers"], found["hosts"]) == (1, 1)
    after = json.loads(call("status", "tiny", "--storage", "sqlite:///x.db", "--json").stdout)
    assert (after["running"], after["workers"], after["finished"]) == ([], 0, False)
    assert after["strategies"][0]["waiting"] == 1, "the trial goes on where it was"


def test_at_every_epoch_the_status_says_who_trains_what_and_what_it_has_cost(store: Store, options: Options) -> None:
    seen: list[Status] = []

    def look(event: Event) -> None:
        if event.record:
            seen.append(status(store, "tiny"))

    asked = tiny(budget=Budget(trials=2), seeds=1, strategies={"none": none(), "ra": randaugment()})
    run(asked, store, options=options, listen=look)
    assert [len(found.running) for found in seen] == [1] * len(seen)
    assert {(found.workers, found.hosts, found.idle, found.finished) for found in seen} == {(1, 1, 0, False)}
    trials = [found.running[0] for found in seen]
    assert {trial.pid for trial in trials} == {str(os.getpid())}
    for trial in trials:
        assert 1 <= trial.epoch <= trial.epochs
        assert trial.epochs in (2, 3), "with the refinement of its point"
        assert not trial.stale
        assert trial.device.endswith("cores")
        assert datetime.fromisoformat(trial.since) <= datetime.now()
    assert [found.running[0].epoch for found in seen[:2]] == [1, 2]
    assert all(found.ends_in_seconds is not None for found in seen), "the first by what was measured before it"
    end = status(store, "tiny")
    assert end.finished
    assert end.ends_in_seconds is None
    for each in end.strategies:
        assert (each.done, each.trials, each.finals_done, each.finals) == (2, 2, 1, 1)
        assert (each.remaining_seconds, each.running, each.waiting, each.failed) == (0.0, 0, 0, 0)
        assert each.spent["gpu_seconds"] == pytest.approx(store.spent("tiny", each.strategy))
        assert each.spent["wall_seconds"] == pytest.approx(store.spent("tiny", each.strategy, "wall_seconds"))


def test_a_finished_study_says_so_and_nothing_is_written(call: Call, tmp_path: Path) -> None:
    assert call("run", "s.py", "-q").exit_code == 0
    file = tmp_path / "autoaug.db"
    rows = contents(file)
    assert rows["autoaug_looks"], "the leaderboard was a look"
    before = file.read_bytes()
    for arguments in (("s.py",), ("tiny",), ("tiny", "--json")):
        result = call("status", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["finished"] is True
    assert contents(file) == rows
    assert file.read_bytes() == before
    lines = call("status", "tiny").stdout.splitlines()
    assert lines[:3] == ["tiny · sqlite:///autoaug.db", "trials 4 of 4 · final runs 4 of 4", "finished"]
    assert [line.split()[:3] for line in lines[-2:]] == [["none", "2/2", "2/2"], ["ra", "2/2", "2/2"]]


def test_what_was_not_run_is_refused_as_compare_does(call: Call, tmp_path: Path) -> None:
    refused(call("status", "s.py"), "there is no storage sqlite:///autoaug.db yet: run a study first")
    assert not (tmp_path / "autoaug.db").exists()
    Store("sqlite:///autoaug.db").close()
    refused(call("status", "s.py"), "study 'tiny' was not run in sqlite:///autoaug.db: run it, or give another")
    refused(call("status", "tinny"), "unknown study 'tinny' in sqlite:///autoaug.db: nothing was run there yet")


def claim(store: Store, asked: Study, owners: dict[str, float]) -> None:
    """Trials that somebody took, by owner: the last sign of life is so many seconds old."""
    scheduler, age = Scheduler(asked, store), "UPDATE autoaug_leases SET beat = beat - :age WHERE owner = :owner"
    for owner in owners:
        job = scheduler.next()
        assert job
        store.beat(job.trial_id, owner)
    with store.engine.begin() as connection:
        for owner, seconds in owners.items():
            connection.execute(sql.text(age), {"age": seconds, "owner": owner})


def test_a_worker_without_a_sign_of_life_is_named_and_its_trial_left_alone(call: Call, tmp_path: Path) -> None:
    store = Store("sqlite:///autoaug.db")
    written = str(Process("gpu-7.example.org", 4711, "0b4c1e7a-1d1c-4d6e-8a3b-2f3a4b5c6d7e", 4026531836, 90210))
    claim(store, tiny(), {written: 75.0, "gpu-8.example.org:12": 5.0})  # of this version, and of an earlier one
    store.close()
    before = contents(tmp_path / "autoaug.db")
    result = call("status", "tiny")
    assert result.exit_code == 0
    assert "no sign of life for 75 s: will be given to another worker" in result.stdout
    assert "gpu-7:4711" in result.stdout
    assert "1 worker on 1 host" in result.stdout, "the other one"
    dead, alive = json.loads(call("status", "tiny", "--json").stdout)["running"]
    assert (dead["stale"], dead["host"], dead["pid"]) == (True, "gpu-7.example.org", "4711")
    assert (alive["stale"], alive["host"], alive["pid"]) == (False, "gpu-8.example.org", "12")
    assert contents(tmp_path / "autoaug.db") == before, "a driver of the study takes the trial back, and not who looks"


def test_drivers_that_found_no_more_work_are_counted_for_a_while(store: Store, options: Options) -> None:
    asked = tiny(strategies={"none": none()}, space={}, seeds=1)
    run(asked, store, options=options)
    assert status(store, "tiny").idle == 1
    assert status(store, "tiny", expiry=0.0).idle == 0


NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
OR_NULL = {"type": ["number", "null"]}
BY_UNIT = {"type": "object", "additionalProperties": NUMBER}


def exactly(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


SCHEMA = exactly(
    storage=TEXT,
    at=TEXT,
    study=TEXT,
    strategies={
        "type": "array",
        "items": exactly(
            strategy=TEXT,
            trials={"type": ["integer", "null"]},
            **dict.fromkeys(("done", "reruns", "reruns_done", "finals", "finals_done"), COUNT),
            **dict.fromkeys(("running", "waiting", "failed"), COUNT),
            spent=BY_UNIT,
            limits=BY_UNIT,
            unit={"enum": ["GPU-seconds", "CPU-seconds"]},
            remaining_seconds=OR_NULL,
            remaining_wall_seconds=OR_NULL,
            finished={"type": "boolean"},
        ),
    },
    running={
        "type": "array",
        "items": exactly(
            **dict.fromkeys(("strategy", "name", "owner", "host", "pid", "device", "since"), TEXT),
            **dict.fromkeys(("attempt", "epoch", "epochs", "retrained"), COUNT),
            seconds=NUMBER,
            silent_seconds=NUMBER,
            stale={"type": "boolean"},
        ),
    },
    workers=COUNT,
    hosts=COUNT,
    idle=COUNT,
    finished={"type": "boolean"},
    ends_in_seconds=OR_NULL,
)
"""What scripts may rely on."""


def test_scripts_get_one_object_of_a_known_form(call: Call) -> None:
    store = Store("sqlite:///autoaug.db")
    claim(store, tiny(), {"here:1": 1.0})
    store.close()
    answer = call("status", "tiny", "--json").stdout
    assert answer.count("\n") == 1
    jsonschema.validate(json.loads(answer), SCHEMA)


def outcome(root: int, state: Any, seconds: float, **more: Any) -> Outcome:
    given: dict[str, Any] = {"study": "tiny", "strategy": "ra", "trial": root, "root": root, "state": state}
    value = 0.5 if state == "COMPLETE" else None
    return Outcome(**given | {"value": value, "gpu_seconds": seconds, "wall_seconds": 2 * seconds} | more)


FINAL = {"kind": TrialKind.FINAL}
RERUN = {"kind": TrialKind.RERUN}
PREDICTED = {"predicted_seconds": {"ra": 100.0}, "predicted_rerun_seconds": {"ra": 20.0}}


EXPECTATIONS: dict[str, tuple[dict[str, Any], list[Outcome], dict[str, Any], float | None]] = {
    "nothing was measured": ({}, [], {}, None),
    "as predicted, and two final runs": ({}, [], PREDICTED, 140.0),
    "predicted, with some spent": ({}, [outcome(0, "RUNNING", 30.0)], PREDICTED, 110.0),
    "two of three trials, by the first": ({}, [outcome(0, "COMPLETE", 10.0)], PREDICTED, 40.0),
    "a running trial has its rest to come": (
        {},
        [outcome(0, "COMPLETE", 10.0), outcome(1, "RUNNING", 4.0)],
        {},
        6.0 + 10.0 + 20.0,
    ),
    "attempts at one trial cost as one": (
        {},
        [outcome(0, "FAIL", 6.0), outcome(0, "COMPLETE", 4.0, trial=1, attempt=2)],
        {},
        40.0,
    ),
    "a budget ends the search": (
        {"budget": Budget(trials=3, gpu_seconds=15.0)},
        [outcome(0, "COMPLETE", 10.0)],
        {},
        5.0 + 20.0,
    ),
    "a budget by the clock too": (
        {"budget": Budget(wall_seconds=30.0)},
        [outcome(0, "COMPLETE", 10.0)],
        {},
        5.0 + 20.0,
    ),
    "after the search, final runs by their own cost": (
        {},
        [*(outcome(k, "COMPLETE", 10.0) for k in range(3)), outcome(3, "COMPLETE", 14.0, **FINAL)],
        {},
        14.0,
    ),
    "a search that was over early makes no more trials": (
        {},
        [outcome(0, "COMPLETE", 10.0), outcome(1, "RUNNING", 4.0, **FINAL)],
        {},
        6.0 + 10.0,
    ),
    "where all failed nothing is known": ({}, [outcome(0, "FAIL", 10.0)], PREDICTED, None),
    "on a proxy, as predicted": (
        {"strategies": {"ra": randaugment().proxied(epochs=1)}},
        [outcome(0, "COMPLETE", 5.0, proxy=True)],
        PREDICTED,
        95.0 + 40.0,
    ),
    "on a proxy, by its re-runs": (
        {"strategies": {"ra": randaugment().proxied(epochs=1)}},
        [
            *(outcome(k, "COMPLETE", 5.0, proxy=True) for k in range(3)),
            outcome(0, "COMPLETE", 12.0, **RERUN),
            outcome(1, "WAITING", 0.0, **RERUN),
        ],
        PREDICTED,
        12.0 + 24.0,
    ),
}


@pytest.mark.parametrize("case", EXPECTATIONS)
def test_what_is_still_to_come(case: str) -> None:
    fields, outcomes, measured, expected = EXPECTATIONS[case]
    asked = tiny(**{"strategies": {"ra": randaugment()}} | fields)
    found = strategy_status("ra", outcomes, complete_definition({**asked.describe(), **measured}))
    assert found.remaining_seconds == (None if expected is None else pytest.approx(expected))
    by_the_clock = 2 if outcomes else 1
    assert found.remaining_wall_seconds == (None if expected is None else pytest.approx(by_the_clock * expected))


def strategy(**more: Any) -> StrategyStatus:
    counts = dict.fromkeys(("reruns", "reruns_done", "running", "waiting", "failed"), 0)
    given: dict[str, Any] = {"strategy": "madao", "trials": 20, "done": 12, "finals": 5, "finals_done": 0, **counts}
    given |= {"spent": {"gpu_seconds": 12.34, "wall_seconds": 15.0}, "limits": {}, "unit": "GPU-seconds"}
    return StrategyStatus(
        **given | {"remaining_seconds": 30.0, "remaining_wall_seconds": 60.0, "finished": False} | more
    )


def trial(**more: Any) -> TrialStatus:
    given: dict[str, Any] = {"strategy": "madao", "name": "trial 12", "attempt": 1, "epoch": 3, "epochs": 30}
    given |= {"retrained": 0, "owner": "gpu-7:4711", "host": "gpu-7.example.org", "pid": "4711", "device": "A100"}
    given |= {"since": "2026-11-26T23:10:11", "seconds": 300.0, "silent_seconds": 3.0, "stale": False}
    return TrialStatus(**given | more)


def drawn(found: Status, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(status_block(found, "sqlite:///x.db", datetime(2026, 11, 27, 9, 0)))
    return [line.rstrip() for line in captured.get().splitlines()]


FULL = Status(
    study="flowers",
    strategies=[
        strategy(running=8, failed=2, limits={"gpu_seconds": 36000.0}),
        strategy(strategy="trivialaugment-with-a-long-name", reruns=3, remaining_seconds=12000.0),
    ],
    running=[
        trial(name="final run 2", attempt=3, epoch=30, retrained=4, silent_seconds=75.0, stale=True),
        trial(host="flowers-raycluster-abcde-worker-xyz12", device="NVIDIA A100-SXM4-80GB"),
    ],
    workers=1,
    hosts=1,
    idle=2,
    finished=False,
    ends_in_seconds=7200.0,
)


@pytest.mark.parametrize("width", [80, 120])
def test_no_figure_is_cut_on_a_terminal(width: int) -> None:
    lines = drawn(FULL, width)
    assert max(map(len, lines)) <= width
    assert lines[:4] == [
        "flowers · sqlite:///x.db",
        "trials 24 of 40 · final runs 0 of 10 · 2 failed",
        "1 worker on 1 host, 2 more idle",
        "about 2 min of work left: until 11:00 with 1 trial at a time",
    ]
    words = " ".join(lines).split()
    for figure in ("30/30", "3/30", "12.3/36000", "12/20", "0/3", "0/5", "30.0", "12000", "75", "4711"):
        assert any(figure in word for word in words), figure


def test_what_is_not_known_is_said() -> None:
    unknown = strategy(remaining_seconds=None, remaining_wall_seconds=None)
    status_of = {**{name: getattr(FULL, name) for name in asdict(FULL)}, "ends_in_seconds": None}
    lines = drawn(Status(**status_of | {"strategies": [unknown, strategy()]}), 120)
    assert lines[3].startswith("when it ends is unknown: ")
    assert lines[-2].endswith("unknown")
    idle = drawn(Status(**status_of | {"running": [], "workers": 0, "hosts": 0, "idle": 0}), 120)
    assert idle[2:4] == ["nobody works on it now", "about 2 min of work left, one trial at a time"]
    late = drawn(Status(**status_of | {"ends_in_seconds": timedelta(days=2).total_seconds()}), 120)
    assert "until Nov 29 09:00 with 1 trial" in late[3]


def test_the_status_is_read_without_torch(call: Call) -> None:
    claim(Store("sqlite:///autoaug.db"), tiny(), {"here:1": 1.0})
    code = "import sys\nfrom autoaug.cli import app\ntry: app(['status', 'tiny'])\nexcept SystemExit: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print({{'torch', 'ray'}} & set(sys.modules))"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"
