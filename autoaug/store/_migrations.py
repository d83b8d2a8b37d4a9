"""What makes the tables of a storage, and those of this version of the tables of earlier ones."""

import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeEngine

from autoaug.store._damage import RESTORE, Damaged, checked_epoch, reason
from autoaug.store._epochs import OWN, add_up_costs, narrowed
from autoaug.store._schema import EPOCHS, META, SCHEMA_VERSION, TABLES, TRAININGS, meta, refuse_later

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
    3: ("ALTER TABLE autoaug_epochs RENAME TO autoaug_epochs_old",),
}
"""What makes the next version of each earlier one. SQLite and PostgreSQL both change tables within a transaction."""


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
        try:
            migrate(engine, version)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            what = f"the table {EPOCHS.name} of version {version} cannot be read ({reason(error)})"
            raise Damaged(f"storage {display_url} is damaged: {what}: {RESTORE}") from error


def migrate(engine: sql.Engine, version: int) -> None:
    """Bring the tables from one version to the next, unless another process was quicker."""
    mark = META.update().where(META.c.name == "schema", META.c.value == str(version)).values(value=str(version + 1))
    with engine.begin() as connection:
        if connection.execute(mark).rowcount:  # whoever marks it holds the lock until the change is complete
            for statement in MIGRATIONS[version]:
                connection.exec_driver_sql(statement)
            if version in REWRITES:
                REWRITES[version](connection)


TYPES: dict[str, TypeEngine[Any]] = {
    "metrics": sql.JSON(),
    "policy": sql.JSON(),
    "final": sql.Boolean(),
    "rerun": sql.Boolean(),
}


def wide(name: str) -> sql.TableClause:
    """Return the epochs of version 3, each of which says whose it is and names its metrics, in a table of a name."""
    columns = {"phase", *(column.name for column in (*EPOCHS.c, *OWN))} - {"refine", "names"}
    return sql.table(name, *(sql.column(each, TYPES.get(each)) for each in sorted(columns)))


RETRAINED = ("last_policy", "policy_schedule")
"""The trainings from scratch of version 2."""


def separate_retrainings(connection: sql.Connection) -> None:
    """Make each training from scratch a training of its name.

    Version 2 counted its epochs on after those of the learner, whose last metrics each of them repeated beside its
    `<name>_...`.
    """
    epochs = wide("autoaug_epochs")
    query = sql.select(epochs.c.trial_id, epochs.c.epoch, epochs.c.metrics).where(epochs.c.final, epochs.c.epoch > 0)
    found = connection.execute(query.order_by(epochs.c.trial_id, epochs.c.epoch)).all()
    for trial_id, rows in groupby(found, key=lambda row: row.trial_id):
        for epoch, values in retrainings(rows):
            row = sql.and_(epochs.c.trial_id == trial_id, epochs.c.training == "", epochs.c.epoch == epoch)
            connection.execute(sql.update(epochs).where(row).values(**values))


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


AT_ONCE = 50
"""Trials whose epochs are held in memory together."""


def narrow_epochs(connection: sql.Connection) -> None:
    """Store once for each training what every epoch of it had said, and sums that nobody has to add up again."""
    EPOCHS.create(connection)
    old = wide("autoaug_epochs_old")
    trial_ids = connection.scalars(sql.select(old.c.trial_id).distinct().order_by(old.c.trial_id)).all()
    for k in range(0, len(trial_ids), AT_ONCE):
        some = trial_ids[k : k + AT_ONCE]
        query = sql.select(old).where(old.c.trial_id.between(some[0], some[-1]))
        rows = connection.execute(query.order_by(old.c.trial_id, old.c.training, old.c.epoch)).mappings().all()
        for _, epochs in groupby(rows, key=lambda row: (row["trial_id"], row["training"])):
            training, narrow = narrowed(
                [{**checked_epoch(dict(each)), "refine": each["phase"] == "refine"} for each in epochs]
            )
            connection.execute(TRAININGS.insert(), training)
            connection.execute(EPOCHS.insert(), narrow)
    add_up_costs(connection)
    connection.exec_driver_sql("DROP TABLE autoaug_epochs_old")


REWRITES: dict[int, Callable[[sql.Connection], None]] = {2: separate_retrainings, 3: narrow_epochs}
"""What statements cannot say, after those of a version."""
