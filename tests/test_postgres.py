"""The same code on PostgreSQL: a study runs, goes on, and is read back as on SQLite."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studies_for_tests import tiny

from autoaug import Budget
from autoaug.record import last_attempts
from autoaug.store import Store
from autoaug.strategies import none, trivialaugment
from autoaug.sweep import Options, run

BINARIES = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), Path(shutil.which("initdb") or "nowhere")]

pytestmark = pytest.mark.skipif(not BINARIES[0].exists(), reason="PostgreSQL is not installed: no initdb")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of our own in a temporary folder, on a free port, as the user `postgres` where we are root."""
    pytest.importorskip("psycopg")
    with tempfile.TemporaryDirectory(prefix="autoaug-pg-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        root = os.getuid() == 0
        if root:
            shutil.chown(folder, "postgres")
        user = "postgres" if root else getpass.getuser()
        how: dict[str, Any] = {"user": "postgres"} if root else {}
        initialise = [BINARIES[0], "-D", f"{folder}/data", "-U", user, "-A", "trust", "--no-sync"]
        subprocess.run(initialise, check=True, capture_output=True, cwd=folder, **how)
        control = [BINARIES[0].with_name("pg_ctl"), "-D", f"{folder}/data", "-w", "-o"]
        control += [f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}", "-l", f"{folder}/log"]
        subprocess.run([*control, "start"], check=True, capture_output=True, cwd=folder, **how)
        try:
            yield f"postgresql+psycopg://{user}@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True, cwd=folder, **how)


@pytest.fixture
def there(server: str) -> Iterator[Store]:
    store = Store(server)
    yield store
    store.close()


def test_a_study_runs_and_goes_on(there: Store, tmp_path: Path) -> None:
    study, options = tiny(budget=Budget(trials=2), seeds=1), Options(artifacts=tmp_path)
    here = Store(f"sqlite:///{tmp_path / 'x.db'}")
    for store in (here, there):
        run(replace(study, budget=Budget(trials=1)), store, options=options)
        run(study, store, options=options)

    def found(store: Store) -> list[Any]:
        ends = last_attempts(store.outcomes("tiny"))
        return [(o.strategy, o.final, o.state, dict(o.point), o.value, o.epochs, o.images) for o in ends if not o.final]

    assert found(there) == found(here)
    assert [o.state for o in there.outcomes("tiny") if o.final] == ["COMPLETE"] * len(study.strategies)
    assert isinstance(there.outcomes("tiny")[0].images, int)


def test_leases_archives_and_added_strategies(there: Store) -> None:
    there.beat(7, "host:1")
    assert there.leases()[7][0] == "host:1"
    assert 0 <= there.leases()[7][1] < 5
    study = tiny(name="other", strategies={"none": none()})
    there.define("other", study.describe())
    there.enqueue_final("other", "none", 0, {}, source=0)
    there.define("other", replace(study, strategies={"none": none(), "ta": trivialaugment()}).describe())
    there.enqueue_final("other", "ta", 0, {}, source=0)
    assert [trial.params["strategy"] for trial in there.leaderboard("other").trials] == ["none", "ta"]
    assert there.archive("other") == "other~1"
    assert there.outcomes("other") == []
    assert len(there.outcomes("other~1")) == 2
