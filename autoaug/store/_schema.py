"""The tables of autoaug, beside Optuna's."""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

SCHEMA_VERSION = 3
"""Of our tables. Optuna's have another."""

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE autoaug_epochs ADD COLUMN rerun BOOLEAN NOT NULL DEFAULT false",
        "ALTER TABLE autoaug_epochs ADD COLUMN wall_seconds FLOAT NOT NULL DEFAULT 0",
        "CREATE INDEX autoaug_epochs_cost ON autoaug_epochs (study, strategy, final, gpu_seconds, wall_seconds)",
        "ALTER TABLE autoaug_test_reads ADD COLUMN root INTEGER",
        "ALTER TABLE autoaug_test_reads ADD COLUMN who VARCHAR(256) NOT NULL DEFAULT ''",
        "ALTER TABLE autoaug_test_reads ADD COLUMN why VARCHAR(16) NOT NULL DEFAULT 'final run'",
    ),
    2: (  # SQLite cannot change a primary key: the table is made anew
        "CREATE TABLE autoaug_epochs_3 ("
        "trial_id INTEGER NOT NULL, training VARCHAR(64) NOT NULL, epoch INTEGER NOT NULL, "
        "study VARCHAR(128) NOT NULL, strategy VARCHAR(128) NOT NULL, trial INTEGER NOT NULL, "
        "attempt INTEGER NOT NULL, seed BIGINT NOT NULL, phase VARCHAR(16) NOT NULL, metrics JSON NOT NULL, "
        "policy JSON, gpu_seconds FLOAT NOT NULL, wall_seconds FLOAT NOT NULL, device VARCHAR(16) NOT NULL, "
        "images BIGINT NOT NULL, final BOOLEAN NOT NULL, rerun BOOLEAN NOT NULL, "
        "PRIMARY KEY (trial_id, training, epoch))",
        "INSERT INTO autoaug_epochs_3 SELECT trial_id, '', epoch, study, strategy, trial, attempt, seed, phase, "
        "metrics, policy, gpu_seconds, wall_seconds, device, images, final, rerun FROM autoaug_epochs",
        "DROP TABLE autoaug_epochs",
        "ALTER TABLE autoaug_epochs_3 RENAME TO autoaug_epochs",
        "CREATE INDEX autoaug_epochs_cost ON autoaug_epochs (study, strategy, final, gpu_seconds, wall_seconds)",
    ),
}
"""What makes the next version of each earlier one. SQLite and PostgreSQL both change tables within a transaction."""

TABLES = sql.MetaData()
META = sql.Table(
    "autoaug_meta",
    TABLES,
    sql.Column("name", sql.String(64), primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)
STUDIES = sql.Table(
    "autoaug_studies",
    TABLES,
    sql.Column("name", sql.String(128), primary_key=True),
    sql.Column("definition", sql.JSON, nullable=False),
)
LEASES = sql.Table(
    "autoaug_leases",
    TABLES,
    sql.Column("trial_id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("owner", sql.String(256), nullable=False),
    sql.Column("beat", sql.Float, nullable=False),
)
EPOCHS = sql.Table(
    "autoaug_epochs",
    TABLES,
    sql.Column("trial_id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("training", sql.String(64), primary_key=True),
    sql.Column("epoch", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("study", sql.String(128), nullable=False),
    sql.Column("strategy", sql.String(128), nullable=False),
    sql.Column("trial", sql.Integer, nullable=False),
    sql.Column("attempt", sql.Integer, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("phase", sql.String(16), nullable=False),
    sql.Column("metrics", sql.JSON, nullable=False),
    sql.Column("policy", sql.JSON),
    sql.Column("gpu_seconds", sql.Float, nullable=False),
    sql.Column("wall_seconds", sql.Float, nullable=False),
    sql.Column("device", sql.String(16), nullable=False),
    sql.Column("images", sql.BigInteger, nullable=False),
    sql.Column("final", sql.Boolean, nullable=False),
    sql.Column("rerun", sql.Boolean, nullable=False),
    # what a search has cost is asked after every epoch: the index answers without a look at the rows
    sql.Index("autoaug_epochs_cost", "study", "strategy", "final", "gpu_seconds", "wall_seconds"),
)
TEST_READS = sql.Table(
    "autoaug_test_reads",
    TABLES,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("trial_id", sql.Integer, nullable=False, unique=True),
    sql.Column("study", sql.String(128), nullable=False),
    sql.Column("strategy", sql.String(128), nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("root", sql.Integer),
    sql.Column("who", sql.String(256), nullable=False),
    sql.Column("why", sql.String(16), nullable=False),
)
LOOKS = sql.Table(
    "autoaug_looks",
    TABLES,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("study", sql.String(128), nullable=False),
    sql.Column("compared", sql.JSON, nullable=False),
    sql.Column("runs", sql.JSON, nullable=False),
    sql.Column("planned", sql.JSON, nullable=False),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("who", sql.String(256), nullable=False),
)

ALWAYS_THERE = (META, STUDIES, LEASES, EPOCHS, TEST_READS)
"""The tables of every version; later ones are made where they are missing."""

BY_STUDY = (EPOCHS, TEST_READS, LOOKS)
"""The tables whose rows belong to a study, and go where it goes."""


def prepare_tables(engine: sql.Engine, display_url: str) -> None:
    """Create our tables where they are missing, and bring those of an earlier version up to this one.

    Raises:
        ValueError: they are of a later version.
    """
    TABLES.create_all(engine)
    for name, value in {"schema": str(SCHEMA_VERSION), "id": uuid.uuid4().hex}.items():
        with engine.begin() as connection:
            if meta(connection, name) is None:
                with suppress(IntegrityError), connection.begin_nested():
                    connection.execute(META.insert().values(name=name, value=value))
    with engine.connect() as connection:
        present = int(meta(connection, "schema") or 0)
    refuse_later(present, display_url)
    for version in range(present, SCHEMA_VERSION):
        migrate(engine, version)


def refuse_later(version: int, display_url: str) -> None:
    """Refuse tables of a later version.

    Raises:
        ValueError: they are.
    """
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"storage {display_url} has autoaug tables of version {version}, this release reads {SCHEMA_VERSION}: "
            "upgrade autoaug or use another storage"
        )


def migrate(engine: sql.Engine, version: int) -> None:
    """Bring the tables from one version to the next, unless another process was quicker."""
    mark = META.update().where(META.c.name == "schema", META.c.value == str(version)).values(value=str(version + 1))
    with engine.begin() as connection:
        if connection.execute(mark).rowcount:  # whoever marks it holds the lock until the change is complete
            for statement in MIGRATIONS[version]:
                connection.exec_driver_sql(statement)
            if version == 2:
                separate_retrainings(connection)


RETRAINED = ("last_policy", "policy_schedule")
"""The trainings from scratch of version 2."""


def separate_retrainings(connection: sql.Connection) -> None:
    """Make each training from scratch a training of its name.

    Version 2 counted its epochs on after those of the learner, whose last metrics each of them repeated beside its
    `<name>_...`.
    """
    columns = (EPOCHS.c.trial_id, EPOCHS.c.epoch, EPOCHS.c.metrics)
    query = sql.select(*columns).where(EPOCHS.c.final, EPOCHS.c.epoch > 0).order_by(EPOCHS.c.trial_id, EPOCHS.c.epoch)
    for trial_id, rows in groupby(connection.execute(query).all(), key=lambda row: row.trial_id):
        for epoch, values in retrainings(rows):
            row = sql.and_(EPOCHS.c.trial_id == trial_id, EPOCHS.c.training == "", EPOCHS.c.epoch == epoch)
            connection.execute(EPOCHS.update().where(row).values(**values))


def retrainings(rows: Iterable[Any]) -> list[tuple[int, dict[str, Any]]]:
    """Return the retrained ones of the epochs of a final run: the number of each, and what its row is to hold."""
    changed: list[tuple[int, dict[str, Any]]] = []
    begun: list[str] = []
    last = start = 0
    for _, epoch, metrics in rows:
        if new := [name for name in RETRAINED if f"{name}_train_loss" in metrics and name not in begun]:
            begun, start = begun + new, last
        if begun:
            prefix = f"{begun[-1]}_"
            stripped = {each.removeprefix(prefix): metrics[each] for each in metrics if each.startswith(prefix)}
            changed.append((epoch, {"training": begun[-1], "epoch": epoch - start, "metrics": stripped}))
        last = epoch
    return changed


def meta(connection: sql.Connection, name: str) -> str | None:
    """Return what is kept about the storage itself: `schema` is its version, `id` what it is known by."""
    return connection.scalar(sql.select(META.c.value).where(META.c.name == name))
