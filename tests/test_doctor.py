"""The doctor finds what is wrong, says how to mend it, and leaves everything as it was."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import files
from optuna.trial import TrialState
from postgres_server import needs_postgres, postgres
from studies_for_tests import tiny
from typer.testing import CliRunner

from autoaug.cli import _checks as doctor
from autoaug.cli import _doctor as printed
from autoaug.cli import app
from autoaug.cli._checks import CHECKS, Finding, Target, cpu_quota, guarded
from autoaug.record import Record
from autoaug.store import Store
from autoaug.store._maintenance import delete_study, round_trip, running_trials, server_time
from autoaug.testing.faults import Audit, Round


@pytest.fixture
def where(tmp_path: Path) -> Target:
    return Target(f"sqlite:///{tmp_path / 'x.db'}", tmp_path / "artifacts")


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "Ray", lambda where: Finding("was not started"))


def test_a_healthy_place_passes_and_stays_as_it_is(where: Target, tmp_path: Path) -> None:
    for name in CHECKS.keys() - {"Ray"}:
        found = guarded(CHECKS[name], where)
        assert found.verdict != "fail", found
        assert bool(found.fix) == (found.verdict != "ok")
    assert files(tmp_path) == set(), "no storage, no folder, no file is left"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray leaves sockets to the garbage collector
def test_ray_is_tried_out(where: Target) -> None:
    found = guarded(CHECKS["Ray"], where)
    assert (found.verdict, "with room for" in found.finding) == ("ok", True), found


def version_of(**packages: str) -> Any:
    return lambda name: packages.get(name, "1.0")


def test_a_torchvision_of_another_torch_is_found(where: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy", "torch==2.14.1"])
    monkeypatch.setattr(doctor, "version", version_of(torch="2.15.0+cpu", torchvision="0.29.1"))
    assert guarded(CHECKS["torch and torchvision"], where) == Finding(
        "torch 2.15.0 and torchvision 0.29.1, which is built for torch 2.14.1", "fail", "pip install torch==2.14.1"
    )
    monkeypatch.setattr(doctor, "version", version_of(torch="2.14.1+cu130", torchvision="0.29.1"))
    assert guarded(CHECKS["torch and torchvision"], where).verdict == "ok"


def test_a_driver_without_a_torch_that_uses_it_is_found(where: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: "580.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert guarded(CHECKS["GPUs"], where).verdict == "fail"
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: None)
    assert guarded(CHECKS["GPUs"], where) == Finding("none: trials run on the CPU")


@pytest.mark.parametrize(("text", "cores"), [("max 100000", None), ("150000 100000", 1.5), ("", None)])
def test_the_limit_of_a_container_is_read(tmp_path: Path, text: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path / "cpu.max") == cores
    assert cpu_quota(tmp_path / "none") is None


def test_fewer_cores_than_are_seen_are_found(where: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cpu_quota", lambda: 0.5)
    found = guarded(CHECKS["threads"], where)
    assert (found.verdict, found.fix) == ("warn", "give Ray 1 CPUs (ray start --num-cpus), or the container more")


@pytest.mark.parametrize(
    ("storage", "finding", "fix"),
    [
        ("env:NOT_SET", "the environment variable NOT_SET is not set", "export it"),
        ("sqlite:////no/such/x.db", "there is no folder /no/such", "make it first"),
        ("postgresql+psycopg://process_name@127.0.0.1:1/d", "storage postgresql.* cannot be opened", "port 1"),
    ],
)
def test_a_storage_that_cannot_be_used_is_a_failure_with_its_fix(
    where: Target, storage: str, finding: str, fix: str
) -> None:
    found = guarded(CHECKS["storage"], Target(storage, where.artifacts))
    assert found.verdict == "fail"
    said = f"{found.finding}: {found.fix}"
    assert fix in said
    assert all(part in said for part in finding.split(".*"))


def test_a_slow_storage_and_a_wrong_clock_are_warnings(where: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(where.storage).close()
    monkeypatch.setattr("autoaug.store.round_trip", lambda store, name: [0.01] * 29 + [2.0])
    found = guarded(CHECKS["storage"], where)
    assert (found.verdict, "10.0 ms (p50), 2000.0 ms (p99)" in found.finding) == ("warn", True)
    monkeypatch.setattr("autoaug.store.server_time", lambda store: 0.0)
    assert guarded(CHECKS["clock"], where).verdict == "warn"
    monkeypatch.undo()
    assert guarded(CHECKS["clock"], where).verdict == "ok"


@pytest.mark.parametrize(("free", "verdict"), [(1e8, "fail"), (1e9, "warn"), (1e11, "ok")])
def test_little_disk_is_found(where: Target, monkeypatch: pytest.MonkeyPatch, free: float, verdict: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    assert guarded(CHECKS["checkpoints"], where).verdict == verdict


def test_a_folder_that_cannot_be_one_is_found(where: Target, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert guarded(CHECKS["checkpoints"], Target(where.storage, tmp_path / "file" / "deeper")).verdict == "fail"


def test_a_check_that_breaks_down_is_a_failure(where: Target) -> None:
    def broken(where: Target) -> Finding:
        raise RuntimeError("first line\nsecond line")

    found = guarded(broken, where)
    assert (found.verdict, found.finding) == ("fail", "RuntimeError: first line")
    assert found.fix


def test_the_command_prints_every_check_and_ends_well(
    where: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    call = ["doctor", "--storage", where.storage, "--artifacts", str(where.artifacts)]
    done = CliRunner().invoke(app, call)
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == list(CHECKS)
    assert done.exit_code == 0
    data = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert [check["name"] for check in data["checks"]] == list(CHECKS)
    assert data["healthy"] is True
    assert files(tmp_path) == set()


def test_the_command_fails_where_a_check_or_a_promise_does(where: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    call = ["doctor", "--storage", where.storage, "--chaos", "--rounds", "2"]
    played = []

    def run_round(storage: str, folder: Path, seed: int, plan: Any) -> Round:
        played.append((storage, folder.is_dir(), seed))
        given = {"executor": plan.executor, "faults": ("driver after 3 epochs",), "crashed": (), "seconds": 1.0}
        return Round(seed=seed, audit=Audit(trials=2, complete=2 - seed, lost=seed), **given)

    monkeypatch.setattr("autoaug.testing.faults.run_round", run_round)
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 1
    assert "1 trials that were asked for have not ended" in done.stdout
    assert played == [(where.storage, True, 0), (where.storage, True, 1)]
    data = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert [len(each["broken"]) for each in data["chaos"]] == [0, 1]
    monkeypatch.setitem(CHECKS, "disk", lambda where: Finding("full", "fail", "make room"))
    done = CliRunner().invoke(app, call[:3])
    assert done.exit_code == 1
    assert done.stdout.rstrip().endswith("→ make room")


def test_a_round_that_kept_its_promises_says_so_in_one_line() -> None:
    found = Audit(trials=8, complete=8, acknowledged=160, repeated=1, set_back=1)
    done = Round(seed=0, executor="local", faults=("driver after 3 epochs",), crashed=(), audit=found, seconds=20.0)
    line = str(printed.chaos_line(done))
    assert "\n" not in line
    assert "8 of 8 trials complete" in line


# What the doctor does to a storage


def test_only_the_study_that_is_named_is_removed(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    for name in ("mine", "mine2"):
        store.define(name, tiny(name=name).describe())
        trial = store.open(name, "none", "maximize").ask()
        store.beat(trial._trial_id, "host:1")
        store.write_epoch(trial._trial_id, Record(study=name, strategy="none", trial=0, epoch=1, phase="augment"))
        store.leaderboard(name)
    assert len(running_trials(store, "mine")) == 1
    delete_study(store, "mine")
    assert store.names() == ["mine2"]
    assert [outcome.state for outcome in store.outcomes("mine2")] == ["RUNNING"]
    assert len(store.epochs("mine2")) == len(store.leases()) == 1
    assert store.epochs("mine") == []
    assert {study.study_name for study in store.optuna.get_all_studies()} == {"mine2/none", "mine2/leaderboard"}


def test_a_round_trip_leaves_nothing_and_notices_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    seconds = round_trip(store, "check", reports=5)
    assert len(seconds) == 5
    assert min(seconds) > 0
    assert (store.optuna.get_all_studies(), store.leases()) == ([], {})
    monkeypatch.setattr(store, "epochs", lambda name: [])
    with pytest.raises(ValueError, match=r"5 epochs were written to sqlite.* and 0 came back"):
        round_trip(store, "check", reports=5)


@needs_postgres
def test_the_doctor_examines_a_server() -> None:
    with postgres() as server:
        where = Target(server.url, Path("artifacts"))
        assert guarded(CHECKS["storage"], where).verdict != "fail"
        assert "off this host's" in guarded(CHECKS["clock"], where).finding
        store = Store(server.url)
        assert abs(server_time(store) - time.time()) < 60
        assert store.optuna.get_all_studies() == []
        store.close()


@pytest.mark.slow
def test_chaos_on_a_storage_of_ones_own(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    trial = store.open("theirs", "none", "maximize").ask()
    command = [sys.executable, "-m", "autoaug", "doctor", "--storage", "sqlite:///x.db", "--chaos", "--rounds", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 trials complete" in done.stdout
    assert store.state(trial._trial_id) == TrialState.RUNNING, "their own study was not touched"
    assert [study.study_name for study in store.optuna.get_all_studies()] == ["theirs/none"]
