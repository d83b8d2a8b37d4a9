"""What a storage holds: studies, trials, epochs, and the room that each table takes."""

from dataclasses import dataclass

import sqlalchemy as sql
from sqlalchemy.exc import OperationalError

from autoaug.store._damage import reporting_damage
from autoaug.store._epochs import of_training
from autoaug.store._optuna_tables import states_of_trials
from autoaug.store._retrying import retrying
from autoaug.store._schema import EPOCHS, STUDIES, TRAININGS
from autoaug.store._store import Store


@dataclass(frozen=True)
class StudySize:
    """Hold how much is stored of a study."""

    name: str
    trials: int
    """Attempts, those of re-runs and final runs among them."""
    epochs: int
    """That were trained."""
    stored: int
    """Epochs that are there one by one; the others were thinned, and are in the sums only."""


@dataclass(frozen=True)
class TableSize:
    """Hold how large a table is."""

    name: str
    rows: int
    bytes: int | None
    """With its indexes; None where the database does not say."""


@reporting_damage("a table")
@retrying
def study_sizes(store: Store) -> list[StudySize]:
    """Return how much is stored of each study, in the order of their names."""
    trained = sql.select(TRAININGS.c.study, sql.func.sum(TRAININGS.c.epochs)).group_by(TRAININGS.c.study)
    there = sql.select(TRAININGS.c.study, sql.func.count()).join(EPOCHS, of_training())
    with store.engine.connect() as connection:
        names = list(connection.scalars(sql.select(STUDIES.c.name).order_by(STUDIES.c.name)))
        trials = {each: sum(counts.values()) for each, counts in states_of_trials(connection).items()}
        epochs = {row[0]: int(row[1]) for row in connection.execute(trained)}
        complete = there.where(EPOCHS.c.epoch > 0).group_by(TRAININGS.c.study)
        stored = {row[0]: row[1] for row in connection.execute(complete)}
    return [
        StudySize(
            name,
            sum(count for substudy, count in trials.items() if substudy.startswith(f"{name}/")),
            epochs.get(name, 0),
            stored.get(name, 0),
        )
        for name in names
    ]


BYTES = {
    "sqlite": "SELECT m.tbl_name, SUM(d.pgsize) FROM dbstat d JOIN sqlite_master m ON m.name = d.name "
    "WHERE d.aggregate = TRUE GROUP BY m.tbl_name",
    "postgresql": "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables WHERE schemaname = "
    "current_schema()",
}
"""The bytes of each table with its indexes, as each database says it."""


@reporting_damage("a table")
@retrying
def table_sizes(store: Store) -> list[TableSize]:
    """Return how large each table is that has rows, the largest first."""
    with store.engine.connect() as connection:
        tables = [sql.table(name) for name in sql.inspect(connection).get_table_names()]
        rows = {table.name: connection.scalar(sql.select(sql.func.count()).select_from(table)) or 0 for table in tables}
        try:
            found = connection.exec_driver_sql(BYTES[connection.dialect.name])
            in_bytes = {name: int(count) for name, count in found}
        except OperationalError:  # an SQLite that was built without these statistics
            in_bytes = {}
    sizes = [TableSize(name, count, in_bytes.get(name)) for name, count in rows.items() if count]
    return sorted(sizes, key=lambda size: (-(size.bytes or 0), -size.rows, size.name))
