"""Our own tables, beside Optuna's."""

import sqlalchemy as sql

SCHEMA_VERSION = 1
"""Of our own tables. Optuna's have a version of their own."""

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
    sql.Column("study", sql.String(128), nullable=False, index=True),
    sql.Column("strategy", sql.String(128), nullable=False),
    sql.Column("trial", sql.Integer, nullable=False),
    sql.Column("attempt", sql.Integer, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("phase", sql.String(16), nullable=False),
    sql.Column("metrics", sql.JSON, nullable=False),
    sql.Column("policy", sql.JSON),
    sql.Column("gpu_seconds", sql.Float, nullable=False),
    sql.Column("device", sql.String(16), nullable=False),
    sql.Column("images", sql.BigInteger, nullable=False),
    sql.Column("final", sql.Boolean, nullable=False),
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
)
