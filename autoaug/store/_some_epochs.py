"""Some epochs of a study where all of them would be too many."""

from collections.abc import Collection

import sqlalchemy as sql

from autoaug.record import Record
from autoaug.store._damage import reporting_damage
from autoaug.store._epoch_table import AT_ONCE
from autoaug.store._epochs import OWN, SUMMED, of_training, to_record, whole
from autoaug.store._retrying import retrying
from autoaug.store._schema import EPOCHS, TRAININGS
from autoaug.store._store import Store


@reporting_damage("the table autoaug_epochs")
@retrying
def epochs_of(store: Store, trial_ids: Collection[int]) -> list[Record]:
    """Return every stored epoch of some trials, in the order in which they are stored."""
    with store.engine.connect() as connection:
        return [record for _, record in every(connection, trial_ids)]


@reporting_damage("the table autoaug_epochs")
@retrying
def thinned_epochs(store: Store, name: str, in_full: Collection[int]) -> list[Record]:
    """Return every epoch of some trials of a study, and of every other one the last, in the order of `Store.epochs`.

    Such a last epoch has the cost, the time and the images of the whole training, and no policy.

    Args:
        in_full: ids of the trials of which every epoch is returned.
    """
    with store.engine.connect() as connection:
        found = [*every(connection, in_full), *last(connection, name, set(in_full))]
    return [record for _, record in sorted(found, key=lambda each: each[0])]


Key = tuple[int, str, int]


def every(connection: sql.Connection, trial_ids: Collection[int]) -> list[tuple[Key, Record]]:
    """Return the epochs of some trials."""
    ids, found = sorted(trial_ids), []
    for start in range(0, len(ids), AT_ONCE):
        ours = EPOCHS.c.trial_id.in_(ids[start : start + AT_ONCE])
        query = whole().where(ours, EPOCHS.c.epoch > 0).order_by(*EPOCHS.primary_key)
        found += [pair(row) for row in connection.execute(query).mappings()]
    return found


def last(connection: sql.Connection, name: str, but: Collection[int]) -> list[tuple[Key, Record]]:
    """Return the last epoch of each training of a study, `but` those of some trials, with the sums over all of them."""
    columns = [column for column in EPOCHS.c if column.name not in (*SUMMED, "policy")]
    query = sql.select(*columns, *OWN, *(TRAININGS.c[each] for each in SUMMED)).join(
        EPOCHS, sql.and_(of_training(), EPOCHS.c.epoch == TRAININGS.c.epochs)
    )
    rows = connection.execute(query.where(TRAININGS.c.study == name, EPOCHS.c.epoch > 0)).mappings()
    return [(key, record) for key, record in map(pair, rows) if key[0] not in but]


def pair(row: sql.RowMapping) -> tuple[Key, Record]:
    """Return a row of epochs as its key and its record."""
    return (row["trial_id"], row["training"], row["epoch"]), to_record(row)
