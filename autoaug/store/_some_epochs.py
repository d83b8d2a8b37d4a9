"""Some epochs of a study where all of them would be too many."""

from collections.abc import Collection
from dataclasses import replace

import sqlalchemy as sql

from autoaug.record import Record
from autoaug.store._damage import reporting_damage
from autoaug.store._epoch_table import sound, to_record
from autoaug.store._retrying import retrying
from autoaug.store._schema import EPOCHS
from autoaug.store._store import Store

KEY = ("trial_id", "training", "epoch")
"""By which epochs are known, and in whose order they are stored."""

SUMS = ("gpu_seconds", "wall_seconds", "images")

AT_ONCE = 500
"""Trials that a statement names."""


@reporting_damage("the table autoaug_epochs")
@retrying
def epochs_of(store: Store, trial_ids: Collection[int]) -> list[Record]:
    """Return every stored epoch of some trials, in the order in which they are stored."""
    with store.engine.connect() as connection:
        return [record for _, record in whole(connection, trial_ids)]


@reporting_damage("the table autoaug_epochs")
@retrying
def thinned_epochs(store: Store, name: str, in_full: Collection[int]) -> list[Record]:
    """Return every epoch of some trials of a study, and of every other one the last, in the order of `Store.epochs`.

    Such a last epoch has the cost, the time and the images of the whole training, and no policy.

    Args:
        in_full: ids of the trials of which every epoch is returned.
    """
    with store.engine.connect() as connection:
        found = [*whole(connection, in_full), *last(connection, name, set(in_full))]
    return [record for _, record in sorted(found, key=lambda each: each[0])]


Key = tuple[int, str, int]


def whole(connection: sql.Connection, trial_ids: Collection[int]) -> list[tuple[Key, Record]]:
    """Return the epochs of some trials."""
    ids, found = sorted(trial_ids), []
    for start in range(0, len(ids), AT_ONCE):
        ours = EPOCHS.c.trial_id.in_(ids[start : start + AT_ONCE])
        query = sql.select(EPOCHS).where(ours, EPOCHS.c.epoch > 0).order_by(*(EPOCHS.c[name] for name in KEY))
        found += [pair(row) for row in connection.execute(query).mappings()]
    return found


def last(connection: sql.Connection, name: str, but: Collection[int]) -> list[tuple[Key, Record]]:
    """Return the last epoch of each training of a study, `but` those of some trials, with the sums over all of them."""
    sums = [sql.func.sum(EPOCHS.c[each]).label(each) for each in SUMS]
    of_study = sql.select(EPOCHS.c.trial_id, EPOCHS.c.training, sql.func.max(EPOCHS.c.epoch).label("epoch"), *sums)
    by_training = of_study.where(EPOCHS.c.study == name).group_by(EPOCHS.c.trial_id, EPOCHS.c.training).subquery()
    columns = [column for column in EPOCHS.c if column.name not in (*SUMS, "policy")]
    query = sql.select(*columns, *(by_training.c[each] for each in SUMS)).join(
        by_training, sql.and_(*(EPOCHS.c[each] == by_training.c[each] for each in KEY))
    )
    rows = connection.execute(query.where(EPOCHS.c.epoch > 0)).mappings()
    return [(key, replace(record, images=int(record.images))) for key, record in map(pair, rows) if key[0] not in but]


def pair(row: sql.RowMapping) -> tuple[Key, Record]:
    """Return a row of epochs as its key and its record."""
    fields = sound(row)
    key = (fields["trial_id"], fields["training"], fields["epoch"])
    return key, to_record({name: value for name, value in fields.items() if name != "trial_id"})
