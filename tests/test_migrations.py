"""Tables of earlier versions become those of this one, on both databases, to the last bit."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from postgres_server import needs_postgres, postgres
from test_concurrent import LEARNED, VERSION_1

from autoaug.record import Record, TrialKind
from autoaug.store import Store
from autoaug.store._migrations import MIGRATIONS, migrate, prepare_tables
from autoaug.store._schema import ALWAYS_THERE, SCHEMA_VERSION


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as running:
        yield running.url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    server: str = request.getfixturevalue("server")
    engine = sql.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return server


EXACT = (0.1, 2.336261510848999, 1e-300, 3.4028234663852886e38, 16777217.0, 0.30000000000000004, -0.0, 5e-324)
"""Numbers of both precisions."""
EPOCHS = [
    ("s", 0, 1, 1, "", 1, {"train_loss": 2.336261510848999, "lr": 0.1}),
    ("s", 0, 1, 1, "", 2, {"train_loss": 0.5, "lr": 0.01, "val_nll": 0.30000000000000004}),
    ("s", 1, 2, 1, "", 0, {}),
    ("s", 2, 3, 1, "", 1, {f"x{k}": value for k, value in enumerate(EXACT)}),
    ("leaderboard", 0, 4, 1, "", 1, {"train_loss": 1.5}),
    ("leaderboard", 0, 4, 1, "last_policy", 1, {"train_loss": 1.25, "test_accuracy": 0.5}),
    ("s/full", 0, 5, 2, "", 3, {"train_loss": 1.0}),
]
"""Where its trial is, its number, its id, the attempt, the training, the epoch and what was measured."""
KINDS = {"s": TrialKind.SEARCH, "leaderboard": TrialKind.FINAL, "s/full": TrialKind.RERUN}


def record(where: str, number: int, attempt: int, training: str, epoch: int, metrics: dict[str, float]) -> Record:
    return Record(
        study="old",
        strategy="s",
        trial=number,
        attempt=attempt,
        seed=2**40 + number,
        training=training,
        epoch=epoch,
        phase="refine" if epoch == 2 else "augment",
        metrics=metrics,
        policy={"op": "rotate"} if epoch == 2 else None,
        gpu_seconds=0.1 * (number + 1),
        wall_seconds=0.3,
        device="cuda",
        images=50_000,
        kind=KINDS[where],
    )


RECORDS = {(each[2], each[4], each[5]): record(*(each[k] for k in (0, 1, 3, 4, 5, 6))) for each in EPOCHS}


def make_version_3(url: str) -> None:
    """A storage as version 3 made it, with `RECORDS`."""
    engine = sql.create_engine(url)
    for statements in (VERSION_1.split(";\n"), MIGRATIONS[1], MIGRATIONS[2]):
        with engine.begin() as connection:
            for statement in statements:
                if statement.strip() and "INSERT INTO autoaug_epochs V" not in statement:
                    connection.exec_driver_sql(statement)
    columns = "trial_id training epoch study strategy trial attempt seed phase metrics policy gpu_seconds"
    names = [*columns.split(), "wall_seconds", "device", "images", "final", "rerun"]
    types = {"metrics": sql.JSON(), "policy": sql.JSON(), "final": sql.Boolean(), "rerun": sql.Boolean()}
    table = sql.table("autoaug_epochs", *(sql.column(name, types.get(name)) for name in names))
    with engine.begin() as connection:
        for (trial_id, _, _), each in RECORDS.items():
            kinds = {"final": each.kind is TrialKind.FINAL, "rerun": each.kind is TrialKind.RERUN}
            fields = {**vars(each), **kinds, "trial_id": trial_id}
            connection.execute(table.insert().values({name: fields[name] for name in names}))
        connection.exec_driver_sql("UPDATE autoaug_meta SET value = '3' WHERE name = 'schema'")
    engine.dispose()


def test_epochs_of_version_3_come_back_to_the_last_bit(url: str) -> None:
    make_version_3(url)
    store = Store(url)
    assert store.epochs("old") == [each for _, each in sorted(RECORDS.items()) if each.epoch]
    assert [str(value) for value in store.epochs("old")[2].metrics.values()] == [str(value) for value in EXACT]
    charged = [each for each in RECORDS.values() if each.kind.charged]
    for unit in ("gpu_seconds", "wall_seconds"):
        assert store.spent("old", "s", unit) == pytest.approx(sum(getattr(each, unit) for each in charged), rel=1e-12)
    work = store.work("old")
    assert {trial_id: (each.epochs, each.images) for trial_id, each in work.items()} == {
        1: (2, 100_000),
        2: (0, 50_000),
        3: (1, 50_000),
        4: (1, 100_000),
        5: (3, 50_000),
    }
    assert work[1].metrics == RECORDS[1, "", 2].metrics
    assert work[4].metrics == {"train_loss": 1.5, "last_policy_train_loss": 1.25, "last_policy_test_accuracy": 0.5}
    assert store.reached(4) == 2
    store.write_epoch(1, RECORDS[1, "", 2])
    assert store.spent("old", "s") == pytest.approx(sum(each.gpu_seconds for each in charged), rel=1e-12)
    assert set(sql.inspect(store.engine).get_table_names()) >= {table.name for table in ALWAYS_THERE}
    assert "autoaug_epochs_old" not in sql.inspect(store.engine).get_table_names()
    store.close()


def test_a_crash_in_a_migration_undoes_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_version_3(url)
    engine = sql.create_engine(url)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autoaug.store._migrations.narrowed", die)
        with pytest.raises(KeyboardInterrupt):
            prepare_tables(engine, "x")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT value FROM autoaug_meta WHERE name = 'schema'").scalar() == "3"
    migrate(engine, 3)
    migrate(engine, 3)
    engine.dispose()
    store = Store(url)
    assert len(store.epochs("old")) == len([each for each in RECORDS.values() if each.epoch])
    store.close()


def test_every_version_has_a_way_to_this_one(tmp_path: Path) -> None:
    assert list(MIGRATIONS) == list(range(1, SCHEMA_VERSION))
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.executescript(VERSION_1 + LEARNED)
    connection.close()
    store = Store(f"sqlite:///{tmp_path / 'old.db'}")
    assert (store.spent("old", "none"), store.spent("old", "madao")) == (1.5, 0.0), "final runs cost a search nothing"
    store.close()


@pytest.mark.parametrize("metrics", ["{", "[1]", '{"x": "y"}'])
def test_epochs_that_cannot_be_read_are_damage_and_stay(tmp_path: Path, metrics: str) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    make_version_3(url)
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("UPDATE autoaug_epochs SET metrics = ? WHERE trial_id = 3", [metrics])
    with pytest.raises(ValueError, match=r"old.db is damaged: the table autoaug_epochs of version 3 cannot be read \("):
        Store(url)
    (found,) = connection.execute("SELECT metrics FROM autoaug_epochs WHERE trial_id = 3").fetchone()
    assert found == metrics
    connection.close()
