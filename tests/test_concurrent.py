"""Any number of drivers share a storage: what only one of them may do is done once, whoever dies in the middle."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sql
from optuna.distributions import FloatDistribution
from optuna.storages._rdb.models import BaseModel
from optuna.trial import TrialState
from postgres_server import needs_postgres, postgres
from studies_for_tests import tiny

from autoaug.record import Outcome, TrialKind
from autoaug.store import Store
from autoaug.store._mounts import network_file_system
from autoaug.store._optuna import SharedStorage
from autoaug.store._schema import SCHEMA_VERSION

SPACE = {"mix.alpha": FloatDistribution(0, 1)}
NAMES = (f"study-{k}" for k in count())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as running:
        yield running.url


class Shared(NamedTuple):
    """What four drivers see of one storage, and a study in it."""

    stores: list[Store]
    name: str

    def search(self, store: Store) -> Any:
        return store.open(self.name, "none", "maximize")

    def outcomes(self) -> list[Outcome]:
        return self.stores[0].outcomes(self.name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    url = f"sqlite:///{tmp_path / 'x.db'}" if request.param == "sqlite" else request.getfixturevalue("server")
    found = Shared([Store(url) for _ in range(4)], next(NAMES))
    found.stores[0].define(found.name, tiny(name=found.name).describe())
    yield found
    for store in found.stores:
        store.close()


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each of some actions returns, begun at the same moment in threads of their own."""
    barrier, found = threading.Barrier(len(actions)), [None] * len(actions)

    def act(k: int) -> None:
        barrier.wait()
        found[k] = actions[k]()

    threads = [threading.Thread(target=act, args=(k,)) for k in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_lost_trial_gets_one_successor_from_four_drivers(shared: Shared) -> None:
    for root in range(3):
        trial = shared.search(shared.stores[0]).ask(SPACE)._trial_id
        said = at_once(*(lambda s=s, trial=trial: s.requeue(shared.search(s), trial, "lost") for s in shared.stores))
        assert (said.count(None), said.count(TrialState.WAITING)) == (3, 1)
        (waiting,) = [outcome for outcome in shared.outcomes() if outcome.state == "WAITING"]
        assert (waiting.root, waiting.attempt) == (root, 2)
        assert shared.stores[0].finish(waiting_id(shared, waiting), TrialState.FAIL)


def waiting_id(shared: Shared, outcome: Outcome) -> int:
    return shared.stores[0].trials(shared.name, outcome.strategy)[outcome.trial]._trial_id


def test_a_trial_is_completed_or_given_away_and_never_both(shared: Shared) -> None:
    """The worker that ends late and the driver that believes it dead: one of them wins, the other is told."""
    worker, driver = shared.stores[:2]
    for _ in range(6):
        trial = shared.search(worker).ask(SPACE)._trial_id
        completed, queued = at_once(
            lambda trial=trial: worker.finish(trial, TrialState.COMPLETE, [0.5]),
            lambda trial=trial: driver.requeue(shared.search(driver), trial, "lost") is not None,
        )
        assert completed != queued
    states: dict[int, list[str]] = {}
    for outcome in shared.outcomes():
        states.setdefault(outcome.root, []).append(outcome.state)
    for *before, last in states.values():  # a trial that was given away is the next that is asked for
        assert set(before) <= {"FAIL"}, states
        assert last in ("COMPLETE", "WAITING"), states


def test_a_final_run_is_queued_and_claimed_once(shared: Shared) -> None:
    for seed in range(3):
        assert sorted(
            at_once(*(lambda s=s, seed=seed: s.enqueue_final(shared.name, "ra", seed, {}, 0) for s in shared.stores))
        ) == [
            False,
            False,
            False,
            True,
        ]
    waiting = [trial._trial_id for trial in shared.stores[0].trials(shared.name, "leaderboard")]
    assert len(waiting) == 3
    for trial in waiting:
        assert sorted(at_once(*(lambda s=s, trial=trial: s.claim(trial) for s in shared.stores))) == [
            False,
            False,
            False,
            True,
        ]


def test_a_crash_between_the_end_of_a_trial_and_its_successor_undoes_both(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    store, trial = shared.stores[0], shared.search(shared.stores[0]).ask(SPACE)._trial_id
    search = shared.search(store)
    with monkeypatch.context() as patch:
        patch.setattr(SharedStorage, "_get_prepared_new_trial", die)
        with pytest.raises(Killed):
            store.requeue(search, trial, "lost")
    assert [outcome.state for outcome in shared.outcomes()] == ["RUNNING"]
    assert store.requeue(shared.search(store), trial, "lost")
    assert [outcome.state for outcome in shared.outcomes()] == ["FAIL", "WAITING"]


def test_four_drivers_define_a_study_and_add_strategies_at_the_same_time(shared: Shared) -> None:
    plain = tiny(name="together").describe()
    for spaces in ([plain["spaces"]] * 4, [{f"s{k}": {}} for k in range(4)]):
        at_once(
            *(
                lambda s=s, each=each: s.define("together", {**plain, "spaces": each})
                for s, each in zip(shared.stores, spaces, strict=True)
            )
        )
    assert set(shared.stores[0].strategies("together")) == {"none", "ra", "s0", "s1", "s2", "s3"}
    shared.stores[0].archive("together")


def test_a_new_storage_is_opened_by_many_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    stores = at_once(*(lambda: Store(url) for _ in range(4)))
    assert len({store.identity for store in stores}) == 1
    assert all(store.identity for store in stores)


# Files of earlier versions

VERSION_1 = """
CREATE TABLE autoaug_meta (name VARCHAR(64) NOT NULL PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO autoaug_meta VALUES ('schema', '1');
CREATE TABLE autoaug_studies (name VARCHAR(128) NOT NULL PRIMARY KEY, definition JSON NOT NULL);
INSERT INTO autoaug_studies VALUES ('old', '{"task": {}, "metric": "val_accuracy", "seed": 0, "spaces": {"none": {}}}');
CREATE TABLE autoaug_leases (trial_id INTEGER NOT NULL PRIMARY KEY, owner VARCHAR(256) NOT NULL, beat FLOAT NOT NULL);
CREATE TABLE autoaug_epochs (
    trial_id INTEGER NOT NULL, epoch INTEGER NOT NULL, study VARCHAR(128) NOT NULL, strategy VARCHAR(128) NOT NULL,
    trial INTEGER NOT NULL, attempt INTEGER NOT NULL, seed BIGINT NOT NULL, phase VARCHAR(16) NOT NULL,
    metrics JSON NOT NULL, policy JSON, gpu_seconds FLOAT NOT NULL, device VARCHAR(16) NOT NULL,
    images BIGINT NOT NULL, final BOOLEAN NOT NULL, PRIMARY KEY (trial_id, epoch));
INSERT INTO autoaug_epochs VALUES
    (1, 1, 'old', 'none', 0, 1, 7, 'augment', '{"val_accuracy": 0.5}', NULL, 1.5, 'cpu', 9, 0);
CREATE TABLE autoaug_test_reads (
    id INTEGER NOT NULL PRIMARY KEY, trial_id INTEGER NOT NULL UNIQUE, study VARCHAR(128) NOT NULL,
    strategy VARCHAR(128) NOT NULL, seed BIGINT NOT NULL, at FLOAT NOT NULL);
INSERT INTO autoaug_test_reads VALUES (1, 2, 'old', 'none', 0, 1.0);
"""
"""Our tables as the first release made them."""


def test_a_storage_of_the_first_version_is_brought_up_to_date_by_whoever_comes_first(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.executescript(VERSION_1)
    connection.close()
    stores = at_once(*(lambda: Store(f"sqlite:///{tmp_path / 'old.db'}") for _ in range(3)))
    for store in stores:
        (record,) = store.epochs("old")
        assert (record.metrics, record.gpu_seconds, record.kind) == ({"val_accuracy": 0.5}, 1.5, TrialKind.SEARCH)
        assert store.test_reads("old") == 1
        assert store.looks("old") == []
        assert store.strategies("old") == ["none"]
    with stores[0].engine.connect() as opened:
        assert opened.exec_driver_sql("SELECT value FROM autoaug_meta WHERE name = 'schema'").scalar() == str(
            SCHEMA_VERSION
        )


def test_tables_that_another_process_is_making_at_this_moment_are_not_damage(tmp_path: Path) -> None:
    """SQLite shows each of Optuna's tables as soon as it is made; only the row of its version says that all are."""
    tables = BaseModel.metadata.sorted_tables
    for made in range(len(tables) + 1):
        path = tmp_path / f"{made}.db"
        with sqlite3.connect(path) as connection:
            connection.executescript(VERSION_1)
        connection.close()
        engine = sql.create_engine(f"sqlite:///{path}")
        BaseModel.metadata.create_all(engine, tables=tables[:made])
        engine.dispose()
        store = Store(f"sqlite:///{path}")
        assert store.strategies("old") == ["none"]
        store.close()


LEARNED = """
INSERT INTO autoaug_epochs
    (trial_id, epoch, study, strategy, trial, attempt, seed, phase, metrics, gpu_seconds, device, images, final)
VALUES
    (2, 1, 'old', 'madao', 0, 1, 7, 'augment', '{"train_loss": 3.0}', 1.0, 'cpu', 9, 1),
    (2, 2, 'old', 'madao', 0, 1, 7, 'refine', '{"train_loss": 2.0, "test_accuracy": 0.5}', 1.0, 'cpu', 9, 1),
    (2, 3, 'old', 'madao', 0, 1, 7, 'augment',
     '{"train_loss": 2.0, "test_accuracy": 0.5, "last_policy_train_loss": 1.5}', 1.0, 'cpu', 9, 1),
    (2, 4, 'old', 'madao', 0, 1, 7, 'refine', '{"train_loss": 2.0, "test_accuracy": 0.5, "last_policy_train_loss": 1.0,
     "last_policy_test_accuracy": 0.6}', 1.0, 'cpu', 9, 1),
    (2, 5, 'old', 'madao', 0, 1, 7, 'augment', '{"train_loss": 2.0, "test_accuracy": 0.5, "last_policy_train_loss": 1.0,
     "last_policy_test_accuracy": 0.6, "policy_schedule_train_loss": 0.5}', 1.0, 'cpu', 9, 1);
"""
"""A final run whose learner trained for two epochs, and what was retrained of it, as releases before version 3 did."""


def test_what_was_retrained_before_trainings_had_names_gets_its_own(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.executescript(VERSION_1 + LEARNED)
    connection.close()
    store = Store(f"sqlite:///{tmp_path / 'old.db'}")
    assert [
        (each.training, each.epoch, each.metrics) for each in store.epochs("old") if each.kind is TrialKind.FINAL
    ] == [
        ("", 1, {"train_loss": 3.0}),
        ("", 2, {"train_loss": 2.0, "test_accuracy": 0.5}),
        ("last_policy", 1, {"train_loss": 1.5}),
        ("last_policy", 2, {"train_loss": 1.0, "test_accuracy": 0.6}),
        ("policy_schedule", 1, {"train_loss": 0.5}),
    ]
    work = store.work("old")[2]
    assert (work.epochs, work.gpu_seconds, work.images) == (2, 5.0, 45)
    assert work.metrics["last_policy_test_accuracy"] == 0.6
    assert work.metrics["test_accuracy"] == 0.5


# Network file systems

MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 0:44 / /home rw,relatime shared:5 - nfs4 server:/home rw,vers=4.2
41 40 254:1 / /home/me/fast\040disk rw - xfs /dev/nvme0n1 rw
42 22 0:45 / /mnt/share rw - fuse.sshfs me@host:/ rw
43 22 0:46 / /mnt/lake rw - lustre mds@tcp:/lake rw
44 22 0:47 / /mnt/lake rw - ext4 /dev/vdb rw
not a line of the table
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", None),
        ("/tmp/x", None),
        ("/home", "nfs4"),
        ("/home/process_name", "nfs4"),
        ("/homeless", None),
        ("/home/me/fast disk/studies", None),
        ("/mnt/share/a", "fuse.sshfs"),
        ("/mnt/lake", None),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_innermost_mount(tmp_path: Path, path: str, kind: str | None) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert network_file_system(Path(path), tmp_path / "mountinfo") == kind


def test_where_there_is_no_table_of_mounts_nothing_is_refused(tmp_path: Path) -> None:
    assert network_file_system(Path("/home"), tmp_path / "nowhere") is None


def test_a_file_on_a_network_file_system_is_no_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoaug.store._url.network_file_system", lambda folder: "nfs4")
    with pytest.raises(ValueError, match=r"network file system \(nfs4\), where SQLite's locks fail: .* PostgreSQL"):
        Store(f"sqlite:///{tmp_path / 'x.db'}")
    assert not (tmp_path / "x.db").exists()
