"""Old epochs of studies on which nobody works: most of them go, and no number of a comparison changes.

What a training has cost is summed up apart from its epochs, so it stays whatever goes, to the last digit.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from autoaug.metrics import Metric, metric_of, stored_table
from autoaug.record import LEADERBOARD
from autoaug.store._damage import reason, reporting_damage
from autoaug.store._epochs import SUMMED, of_training, sound
from autoaug.store._optuna_tables import ENDED, ended_trials, states_of_trials, thin_reports
from autoaug.store._retrying import retrying
from autoaug.store._schema import EPOCHS, LEASES, TRAININGS
from autoaug.store._store import Store
from autoaug.text import agreeing, counted

KEEP, FEWEST = 20, 6
"""Epochs that are kept of a training unless another number is asked for, and the fewest that can be."""

AT_ONCE = 100
"""Trials that are thinned in one transaction, so that no writer waits for long."""

FRESH_SECONDS = 60.0
"""Somebody works where a lease is younger than this."""


@dataclass(frozen=True)
class Compaction:
    """Say what became of the epochs of a study."""

    study: str
    epochs: int = 0
    """That were removed."""
    reports: int = 0
    """Intermediate values of Optuna's that were removed, of the same epochs."""
    left_alone: str = ""
    """Why nothing was; empty where the study was thinned."""


def compact(store: Store, keep: int = KEEP) -> list[Compaction]:
    """Thin the epochs of trials that have ended, of every study on which nobody works, and return what went.

    Final runs stay as they are. Of any other training stay the first epoch, the last one, the last with augmentation,
    the best by the study's metric, and every k-th, `keep` of them at most; intermediate values, which pruners read,
    stay of the same epochs. An epoch that stays takes over what those before it that go have cost. A study of which a
    trial waits or runs is left alone.

    Raises:
        ValueError: `keep` is too small, or there are trials that wait or run in every study.
    """
    if keep < FEWEST:
        raise ValueError(f"keep is {keep}: give {FEWEST} or more epochs to keep of each training")
    names = store.names()
    busy = reasons_to_wait(store, names)
    if names and all(name in busy for name in names):
        waiting = "; ".join(f"{name}: {why}" for name, why in busy.items())
        raise ValueError(f"no study of {store.display_url} is at rest ({waiting}): run them to their end first")
    return [Compaction(name, left_alone=busy[name]) if name in busy else thin(store, name, keep) for name in names]


@reporting_damage("a row of Optuna's tables")
@retrying
def reasons_to_wait(store: Store, names: Sequence[str]) -> dict[str, str]:
    """Return why studies are left alone, by the names of those that are."""
    with store.engine.connect() as connection:
        states = states_of_trials(connection)
    reasons = {}
    for name in names:
        ours = [counts for substudy, counts in states.items() if substudy.startswith(f"{name}/")]
        if open_ones := sum(count for counts in ours for state, count in counts.items() if state not in ENDED):
            reasons[name] = f"{counted(open_ones, 'trial')} {agreeing(open_ones, 'waits or runs', 'wait or run')}"
    return reasons


def thin(store: Store, name: str, keep: int) -> Compaction:
    """Thin the epochs of a study."""
    definition = store.definition(name) or {"spaces": {}}
    ruling = metric_of(definition["metric"], table=stored_table(definition))
    with store.engine.connect() as connection:
        substudies = [each for each in states_of_trials(connection) if each.startswith(f"{name}/")]
        trials = ended_trials(connection, [each for each in substudies if each != f"{name}/{LEADERBOARD}"])
    epochs = reports = 0
    for start in range(0, len(trials), AT_ONCE):
        went = thin_some(store, trials[start : start + AT_ONCE], definition["metric"], ruling, keep)
        epochs, reports = epochs + went[0], reports + went[1]
    return Compaction(name, epochs, reports)


@reporting_damage("the table autoaug_epochs")
@retrying
def thin_some(store: Store, trials: Sequence[int], name: str, ruling: Metric, keep: int) -> tuple[int, int]:
    """Thin the epochs of some trials in one transaction; return how many epochs and intermediate values went."""
    epochs = reports = 0
    with store.engine.begin() as connection:
        for (trial_id, training), rows in list(by_training(connection, trials)):
            kept = epochs_to_keep(rows, name, ruling, keep)
            if len(kept) < len(rows):
                ours = (EPOCHS.c.trial_id == trial_id, EPOCHS.c.training == training, EPOCHS.c.epoch > 0)
                epochs += connection.execute(EPOCHS.delete().where(*ours, EPOCHS.c.epoch.not_in(kept))).rowcount
                connection.execute(TAKE_OVER, list(taken_over(rows, kept)))
                reports += thin_reports(connection, trial_id, kept)
    return epochs, reports


TAKE_OVER = (
    EPOCHS.update()
    .where(*(EPOCHS.c[column.name] == sql.bindparam(f"of_{column.name}") for column in EPOCHS.primary_key))
    .values({name: sql.bindparam(name) for name in SUMMED})
)


def taken_over(rows: Sequence[Mapping[str, Any]], kept: Collection[int]) -> Iterator[dict[str, Any]]:
    """Return what each epoch that stays is to have cost: what it did, and those between the one before it and itself.

    So the costs of the epochs of a training still add up to its own.
    """
    sums = dict.fromkeys(SUMMED, 0)
    for row in rows:
        sums = {name: sums[name] + row[name] for name in SUMMED}
        if row["epoch"] in kept:
            yield {**{f"of_{column.name}": row[column.name] for column in EPOCHS.primary_key}, **sums}
            sums = dict.fromkeys(SUMMED, 0)


def by_training(
    connection: sql.Connection, trials: Sequence[int]
) -> Iterator[tuple[tuple[int, str], list[dict[str, Any]]]]:
    """Return the epochs of each training of some trials: number, phase, metrics and cost of each."""
    columns = [EPOCHS.c[name] for name in ("trial_id", "training", "epoch", "refine", "metrics", *SUMMED)]
    query = sql.select(*columns, TRAININGS.c.names).join(TRAININGS, of_training())
    ours = query.where(EPOCHS.c.trial_id.in_(trials), EPOCHS.c.epoch > 0).order_by(*EPOCHS.primary_key)
    rows = map(sound, connection.execute(ours).mappings())
    for key, group in groupby(rows, key=lambda row: (row["trial_id"], row["training"])):
        yield key, list(group)


def epochs_to_keep(rows: Sequence[Mapping[str, Any]], name: str, ruling: Metric, keep: int) -> set[int]:
    """Return the numbers of the epochs of a training that stay: those that say most, and every k-th.

    Args:
        rows: the epochs, in their order.
        name: the metric by which the best is found.
        ruling: its row of `METRICS`.
        keep: how many may stay, `FEWEST` or more.
    """
    numbers = [row["epoch"] for row in rows]
    if len(numbers) <= keep:
        return set(numbers)
    last_of_phases = {row["refine"]: row["epoch"] for row in rows}.values()
    measured = [row for row in rows if name in row["metrics"]]
    better = max if ruling.maximize else min
    best = {better(measured, key=lambda row: row["metrics"][name])["epoch"]} if measured else set()
    always = {numbers[0], *last_of_phases, *best}
    stride = -(-numbers[-1] // (keep - len(always)))
    return always | {number for number in numbers if number % stride == 0}


def make_small(store: Store) -> str:
    """Give the room of what was removed back to the disk, or to what comes; return why that was not done, or nothing.

    SQLite writes its file anew, and nobody can write to it meanwhile, so that is done where nobody works only.
    PostgreSQL keeps the room for later rows, and lets everybody work.
    """
    sqlite = store.engine.dialect.name == "sqlite"
    if sqlite and any(seconds < FRESH_SECONDS for seconds in ages(store)):
        return "somebody works there, and would have to wait: run this again once nobody does"
    try:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)") if sqlite else ("VACUUM",):
                connection.exec_driver_sql(statement)
    except SQLAlchemyError as error:
        return reason(error)
    return ""


@retrying
def ages(store: Store) -> Collection[float]:
    """Return the seconds since the last sign of life on each trial that somebody has."""
    with store.engine.connect() as connection:
        return [float(age) for age in connection.scalars(sql.select(store.clock - LEASES.c.beat))]
