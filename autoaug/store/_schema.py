"""The tables of autoaug, beside Optuna's. What made them of those of earlier versions is in `_migrations.py`."""

import sqlalchemy as sql

SCHEMA_VERSION = 4
"""Of our tables. Optuna's have another."""

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
TRAININGS = sql.Table(
    "autoaug_trainings",
    TABLES,
    sql.Column("trial_id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("training", sql.String(64), primary_key=True),
    sql.Column("study", sql.String(128), nullable=False, index=True),
    sql.Column("strategy", sql.String(128), nullable=False),
    sql.Column("trial", sql.Integer, nullable=False),
    sql.Column("attempt", sql.Integer, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("final", sql.Boolean, nullable=False),
    sql.Column("rerun", sql.Boolean, nullable=False),
    sql.Column("device", sql.String(16), nullable=False),
    # of the metrics, in the order in which its epochs hold their values
    sql.Column("names", sql.JSON, nullable=False),
    # sums that every epoch keeps up
    sql.Column("epochs", sql.Integer, nullable=False),
    sql.Column("gpu_seconds", sql.Float, nullable=False),
    sql.Column("wall_seconds", sql.Float, nullable=False),
    sql.Column("images", sql.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
EPOCHS = sql.Table(
    "autoaug_epochs",
    TABLES,
    sql.Column("trial_id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("training", sql.String(64), primary_key=True),
    sql.Column("epoch", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("refine", sql.Boolean, nullable=False),  # which of the two phases it was in
    sql.Column("metrics", sql.JSON, nullable=False),
    sql.Column("policy", sql.JSON(none_as_null=True)),
    sql.Column("gpu_seconds", sql.Float, nullable=False),
    sql.Column("wall_seconds", sql.Float, nullable=False),
    sql.Column("images", sql.BigInteger, nullable=False),
    sqlite_with_rowid=False,  # the rows lie in the index of the key: there is no second one
)
COSTS = sql.Table(
    "autoaug_costs",
    TABLES,
    # what a search and its re-runs have cost is asked after every epoch: it is kept, and never added up
    sql.Column("study", sql.String(128), primary_key=True),
    sql.Column("strategy", sql.String(128), primary_key=True),
    sql.Column("gpu_seconds", sql.Float, nullable=False),
    sql.Column("wall_seconds", sql.Float, nullable=False),
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
DIAGNOSES = sql.Table(
    "autoaug_diagnoses",
    TABLES,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("study", sql.String(128), nullable=False, index=True),
    sql.Column("strategy", sql.String(128), nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("diagnostic", sql.String(64), nullable=False),
    sql.Column("phase", sql.String(16), nullable=False),
    sql.Column("found", sql.JSON, nullable=False),
    sql.Column("at", sql.Float, nullable=False),
)

POLICIES = sql.Table(
    "autoaug_policies",
    TABLES,
    sql.Column("study", sql.String(128), primary_key=True),
    sql.Column("strategy", sql.String(128), primary_key=True),
    sql.Column("tree", sql.JSON, nullable=False),
)
GALLERIES = sql.Table(
    "autoaug_galleries",
    TABLES,
    sql.Column("study", sql.String(128), primary_key=True),
    sql.Column("strategy", sql.String(128), primary_key=True),
    # the pictures lie in <artifacts>/<folder>/gallery/<making>
    sql.Column("artifacts", sql.Text, nullable=False),
    sql.Column("folder", sql.String(128), nullable=False),
    sql.Column("making", sql.String(16), nullable=False),
    sql.Column("sheets", sql.JSON, nullable=False),
)

ALWAYS_THERE: dict[sql.Table, int] = {META: 1, STUDIES: 1, LEASES: 1, EPOCHS: 1, TEST_READS: 1, TRAININGS: 4, COSTS: 4}
"""The tables that cannot be missing, each since a version; others are made where they are missing."""

BY_STUDY = (TRAININGS, COSTS, TEST_READS, LOOKS, DIAGNOSES, POLICIES, GALLERIES)
"""The tables whose rows belong to a study, and go where it goes. Epochs belong to a training."""


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


def meta(connection: sql.Connection, name: str) -> str | None:
    """Return what is kept about the storage itself: `schema` is its version, `id` what it is known by."""
    return connection.scalar(sql.select(META.c.value).where(META.c.name == name))
