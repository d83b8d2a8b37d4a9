"""How an epoch lies in the tables: what is the same for a whole training once, and sums that every epoch keeps up.

Whoever writes an epoch holds the row of its training first and that of the cost of its search last, always in this
order and one of each, so that no two of them wait for each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from autoaug.fields import finite
from autoaug.record import UNITS, Record, TrialKind
from autoaug.store._damage import checked_epoch
from autoaug.store._packing import pack, unpack
from autoaug.store._schema import COSTS, EPOCHS, TRAININGS

INSERTS: dict[str, Callable[[sql.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The insert of each database that can say what becomes of a row which is there."""

SUMMED = (*UNITS, "images")


def write(connection: sql.Connection, trial_id: int, record: Record) -> None:
    """Keep an epoch in place of the same one of before, and what that changes in the sums."""
    fields = to_row(trial_id, record)
    hold(connection, fields)
    training, before = stored_before(connection, fields)
    fields["metrics"], names = pack(record.metrics, training["names"])
    row = {column.name: fields[column.name] for column in EPOCHS.c}
    more = {name: fields[name] - before.get(name, 0) for name in SUMMED}
    connection.execute(EPOCHS.update().where(*this(EPOCHS, row)).values(row) if before else EPOCHS.insert().values(row))
    sums = {name: TRAININGS.c[name] + more[name] for name in SUMMED}
    reached = {"names": names, "epochs": max(training["epochs"], record.epoch)}
    connection.execute(TRAININGS.update().where(*this(TRAININGS, row)).values(**reached, **sums))
    charge(connection, training, more)


def hold(connection: sql.Connection, fields: Mapping[Any, Any]) -> None:
    """Keep everybody else from a training, and begin it where this is its first epoch.

    An update comes first: on SQLite it takes the lock on the file, without which nothing that is read stays true.
    """
    same = TRAININGS.update().where(*this(TRAININGS, fields)).values(epochs=TRAININGS.c.epochs)
    if connection.execute(same).rowcount == 0:
        begun = {**fields, "names": [], "epochs": 0, **dict.fromkeys(SUMMED, 0)}
        row = {column.name: begun[column.name] for column in TRAININGS.c}
        insert = INSERTS[connection.dialect.name](TRAININGS).values(row)
        key = [TRAININGS.c.trial_id, TRAININGS.c.training]
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_={"epochs": TRAININGS.c.epochs}))


def stored_before(connection: sql.Connection, fields: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the training of an epoch, and what the same epoch had cost before; empty where it is new."""
    training = connection.execute(sql.select(TRAININGS).where(*this(TRAININGS, fields))).mappings().one()
    summed = sql.select(*(EPOCHS.c[name] for name in SUMMED))
    epoch = connection.execute(summed.where(*this(EPOCHS, fields))).mappings().first()
    return dict(training), dict(epoch or {})


def charge(connection: sql.Connection, training: Mapping[Any, Any], more: Mapping[str, float]) -> None:
    """Add to what a search has cost. Final runs cost it nothing."""
    if kind_of(training).charged:
        row = {"study": training["study"], "strategy": training["strategy"], **{name: more[name] for name in UNITS}}
        insert = INSERTS[connection.dialect.name](COSTS).values(row)
        sums = {name: COSTS.c[name] + insert.excluded[name] for name in UNITS}
        connection.execute(insert.on_conflict_do_update(index_elements=[COSTS.c.study, COSTS.c.strategy], set_=sums))


def add_up_costs(connection: sql.Connection) -> None:
    """Begin the table of costs, where trainings are stored and nobody has kept them up."""
    sums = [sql.func.sum(TRAININGS.c[unit]) for unit in UNITS]
    searches = sql.select(TRAININGS.c.study, TRAININGS.c.strategy, *sums).where(~TRAININGS.c.final)
    costs = searches.group_by(TRAININGS.c.study, TRAININGS.c.strategy)
    connection.execute(COSTS.insert().from_select(["study", "strategy", *UNITS], costs))


def forget(connection: sql.Connection, trial_id: int) -> None:
    """Remove what was stored of a trial, and its cost."""
    trainings = sql.select(TRAININGS).where(TRAININGS.c.trial_id == trial_id)
    left = connection.execute(trainings).mappings().all()
    for table in (TRAININGS, EPOCHS) if left else ():
        connection.execute(table.delete().where(table.c.trial_id == trial_id))
    for training in left:
        charge(connection, training, {name: -training[name] for name in UNITS})


def this(table: sql.Table, fields: Mapping[Any, Any]) -> list[sql.ColumnElement[bool]]:
    """Return what is true of one row of a table, whose key is among the fields."""
    return [column == fields[column.name] for column in table.primary_key]


OWN = tuple(column for column in TRAININGS.c if column.name not in EPOCHS.c and column.name != "epochs")
"""What is known of a training and of no single epoch."""


def whole() -> sql.Select[Any]:
    """Return the query of epochs with all that is known of them, each a row that `to_record` reads."""
    return sql.select(*EPOCHS.c, *OWN).join(TRAININGS, of_training())


def of_training() -> sql.ColumnElement[bool]:
    """Return what is true of a training and its epochs."""
    return sql.and_(EPOCHS.c.trial_id == TRAININGS.c.trial_id, EPOCHS.c.training == TRAININGS.c.training)


def to_row(trial_id: int, record: Record) -> dict[str, Any]:
    """Return the fields of a record by the columns of the two tables, which have others for its phase and kind."""
    fields = asdict(record)
    kind, refine = fields.pop("kind"), fields.pop("phase") == "refine"
    kinds = {"final": kind is TrialKind.FINAL, "rerun": kind is TrialKind.RERUN}
    return {**fields, **kinds, "refine": refine, "trial_id": trial_id}


NOT_OF_RECORDS = {"trial_id", "final", "rerun", "refine", "names"}
"""Columns that a record has otherwise, or not at all."""


def to_record(row: Mapping[Any, Any]) -> Record:
    """Return a row of `whole` as the record that it was: `to_row` the other way."""
    fields = sound(row)
    own = {name: value for name, value in fields.items() if name not in NOT_OF_RECORDS}
    return Record(**own, phase="refine" if row["refine"] else "augment", kind=kind_of(row))


def narrowed(epochs: Sequence[Mapping[Any, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the row of a training, and those of its epochs, from all that is known of each, in their order."""
    names: list[str] = []
    narrow = []
    for each in epochs:
        values, names = pack(each["metrics"], names)
        narrow.append({column.name: each[column.name] for column in EPOCHS.c} | {"metrics": values})
    last = epochs[-1]
    sums = {name: sum(each[name] for each in epochs) for name in SUMMED}
    training = {**last, **sums, "names": names, "epochs": last["epoch"]}
    return {column.name: training[column.name] for column in TRAININGS.c}, narrow


def kind_of(row: Mapping[Any, Any]) -> TrialKind:
    """Return what the trial of a row of trainings is for, by the columns `final` and `rerun`."""
    if row["final"]:
        return TrialKind.FINAL
    return TrialKind.RERUN if row["rerun"] else TrialKind.SEARCH


def sound(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row with the metrics of an epoch, but those that are no finite numbers: earlier versions had such."""
    metrics = checked_epoch({**row, "metrics": unpack(row["metrics"], row["names"])})["metrics"]
    return {**row, "metrics": {name: value for name, value in metrics.items() if finite(value) is not None}}
