"""Our own tables, beside Optuna's."""

import uuid
from contextlib import suppress

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

SCHEMA_VERSION = 2
"""Of our own tables. Optuna's have a version of their own."""

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE autoaug_epochs ADD COLUMN rerun BOOLEAN NOT NULL DEFAULT false",
        "ALTER TABLE autoaug_epochs ADD COLUMN wall_seconds FLOAT NOT NULL DEFAULT 0",
        "CREATE INDEX autoaug_epochs_cost ON autoaug_epochs (study, strategy, final, gpu_seconds, wall_seconds)",
        "ALTER TABLE autoaug_test_reads ADD COLUMN root INTEGER",
        "ALTER TABLE autoaug_test_reads ADD COLUMN who VARCHAR(256) NOT NULL DEFAULT ''",
        "ALTER TABLE autoaug_test_reads ADD COLUMN why VARCHAR(16) NOT NULL DEFAULT 'final run'",
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


def prepare_tables(engine: sql.Engine, shown: str) -> None:
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
        found = int(meta(connection, "schema") or 0)
    if found > SCHEMA_VERSION:
        raise ValueError(
            f"storage {shown} has autoaug tables of version {found}, this release reads {SCHEMA_VERSION}: "
            "upgrade autoaug or use another storage"
        )
    for version in range(found, SCHEMA_VERSION):
        migrate(engine, version)


def migrate(engine: sql.Engine, version: int) -> None:
    """Bring the tables from one version to the next, unless another process was quicker."""
    mark = META.update().where(META.c.name == "schema", META.c.value == str(version)).values(value=str(version + 1))
    with engine.begin() as connection:
        if connection.execute(mark).rowcount:  # whoever marks it holds the lock until the change is complete
            for statement in MIGRATIONS[version]:
                connection.exec_driver_sql(statement)


def meta(connection: sql.Connection, name: str) -> str | None:
    """What is kept about the storage itself: `schema` is its version, `id` what it is known by."""
    return connection.scalar(sql.select(META.c.value).where(META.c.name == name))
