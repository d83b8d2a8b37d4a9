"""What Optuna's tables have no place for: who works on a trial, what its epochs cost, test reads, and looks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, NamedTuple

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, IntegrityError

from autoaug.fields import finite
from autoaug.record import Record, TrialKind
from autoaug.store._damage import checked_epoch, reporting_damage
from autoaug.store._outcome import Work, add_up
from autoaug.store._retrying import RetryPolicy, retrying
from autoaug.store._schema import EPOCHS, LEASES, LOOKS, TEST_READS
from autoaug.store._spool import Spool, spooled
from autoaug.text import LOG


class Look(NamedTuple):
    """Record that somebody was shown how the strategies of a study compare on the test split."""

    compared: Sequence[str]
    """The studies of the comparison: this one, or several that repeat it."""
    runs: Mapping[str, int]
    """By strategy: final runs that it shared with the baseline, of several studies the studies."""
    planned: Mapping[str, int]
    """By strategy: how many of these were planned at the time."""


class EpochTable:
    """Write and read what a storage holds trial by trial, in tables of our own."""

    engine: sql.Engine
    clock: sql.ColumnElement[float]
    """Seconds since 1970 by the clock of the server."""
    retry_policy: RetryPolicy
    read_only: str
    """Why nothing may be written; empty where it may."""
    spool: Spool | None = None
    """Where writes about trials are kept while the storage is away; None where nobody asked for that."""

    # Costs

    def work(self, name: str) -> dict[int, "Work"]:
        """Return what was done on each trial of a study, finished or not, by trial id."""
        return self.work_where(EPOCHS.c.study == name)

    def work_on(self, trial_id: int) -> "Work | None":
        """Return what was done on one trial; None before its first epoch."""
        return self.work_where(EPOCHS.c.trial_id == trial_id).get(trial_id)

    @reporting_damage("the table autoaug_epochs")
    @retrying
    def reached(self, trial_id: int) -> int:
        """Return how many epochs a trial was trained for, those of earlier attempts and of retrainings included."""
        last = sql.select(sql.func.max(EPOCHS.c.epoch).label("epoch")).where(EPOCHS.c.trial_id == trial_id)
        by_training = last.group_by(EPOCHS.c.training).subquery()
        with self.engine.connect() as connection:
            return connection.scalar(sql.select(sql.func.sum(by_training.c.epoch))) or 0

    @reporting_damage("the table autoaug_epochs")
    @retrying
    def work_where(self, condition: sql.ColumnElement[bool]) -> dict[int, "Work"]:
        total = (
            sql.select(
                EPOCHS.c.trial_id,
                EPOCHS.c.training,
                sql.func.max(EPOCHS.c.epoch).label("epoch"),
                sql.func.sum(EPOCHS.c.gpu_seconds).label("gpu_seconds"),
                sql.func.sum(EPOCHS.c.wall_seconds).label("wall_seconds"),
                sql.cast(sql.func.sum(EPOCHS.c.images), sql.BigInteger).label("images"),  # PostgreSQL sums to decimals
            )
            .where(condition)
            .group_by(EPOCHS.c.trial_id, EPOCHS.c.training)
            .subquery()
        )
        last = sql.and_(*(EPOCHS.c[name] == total.c[name] for name in ("trial_id", "training", "epoch")))
        query = sql.select(total, EPOCHS.c.device, EPOCHS.c.metrics).join(EPOCHS, last)
        by_trial: dict[int, list[dict[str, Any]]] = defaultdict(list)
        with self.engine.connect() as connection:
            for row in connection.execute(query.order_by(total.c.training)).mappings():
                by_trial[row["trial_id"]].append(sound(row))
        return {trial_id: add_up(trainings) for trial_id, trainings in by_trial.items()}

    @reporting_damage("the table autoaug_epochs")
    @retrying
    def spent(self, name: str, strategy: str, unit: str = "gpu_seconds") -> float:
        """Return what a search and its re-runs have cost so far, lost and running work included.

        In GPU-seconds (CPU-seconds without a GPU), or in the "wall_seconds" of all trials together.
        """
        charged = sql.and_(EPOCHS.c.study == name, EPOCHS.c.strategy == strategy, ~EPOCHS.c.final)
        with self.engine.connect() as connection:
            return connection.scalar(sql.select(sql.func.sum(EPOCHS.c[unit])).where(charged)) or 0.0

    # Leases

    @retrying
    def beat(self, trial_id: int, owner: str) -> None:
        """Say that somebody works on a trial."""
        update = LEASES.update().where(LEASES.c.trial_id == trial_id).values(owner=owner, beat=self.clock)
        with self.engine.begin() as connection:
            if connection.execute(update).rowcount == 0:
                with suppress(IntegrityError), connection.begin_nested():
                    connection.execute(LEASES.insert().values(trial_id=trial_id, owner=owner, beat=self.clock))

    @retrying
    def release(self, trial_id: int) -> None:
        """Say that nobody works on a trial any more."""
        with self.engine.begin() as connection:
            connection.execute(LEASES.delete().where(LEASES.c.trial_id == trial_id))

    @retrying
    def leases(self) -> dict[int, tuple[str, float]]:
        """Return owner and age in seconds of every lease, by trial id."""
        query = sql.select(LEASES.c.trial_id, LEASES.c.owner, self.clock - LEASES.c.beat)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {trial_id: (owner, float(seconds)) for trial_id, owner, seconds in rows}

    # Epochs

    @spooled
    @retrying
    def write_epoch(self, trial_id: int, record: Record) -> None:
        """Keep one epoch. An epoch that a resumed attempt repeats replaces the earlier row."""
        row = to_row(trial_id, record)
        before = sql.and_(*(EPOCHS.c[name] == row[name] for name in ("trial_id", "training", "epoch")))
        with self.engine.begin() as connection:
            connection.execute(EPOCHS.delete().where(before))
            connection.execute(EPOCHS.insert().values(**row))

    @reporting_damage("the table autoaug_epochs")
    @retrying
    def epochs(self, name: str) -> list[Record]:
        """Return every stored epoch of a study."""
        columns = [column for column in EPOCHS.c if column.name != "trial_id"]
        complete = sql.and_(EPOCHS.c.study == name, EPOCHS.c.epoch > 0)  # epoch 0 is what was lost of one
        query = sql.select(*columns).where(complete).order_by(EPOCHS.c.trial_id, EPOCHS.c.training, EPOCHS.c.epoch)
        with self.engine.connect() as connection:
            return [to_record(sound(row)) for row in connection.execute(query).mappings()]

    @retrying
    def note_test_read(
        self, trial_id: int, name: str, strategy: str, seed: int, root: int, who: str = "", retest: bool = False
    ) -> bool:
        """Keep that a final run is about to read the test split; all its attempts are one read.

        Returns whether it may: False where another final run with the same strategy and seed has done so, unless it
        was asked to `retest`.
        """
        roots = sql.select(TEST_READS.c.root).where(
            TEST_READS.c.study == name, TEST_READS.c.strategy == strategy, TEST_READS.c.seed == seed
        )
        row: dict[str, Any] = {"trial_id": trial_id, "study": name, "strategy": strategy, "seed": seed, "root": root}
        with self.engine.begin() as connection:
            before = connection.scalars(roots).all()
            if before and root not in before and not retest:
                return False
            if root not in before:
                why = "retest" if before else "final run"
                connection.execute(TEST_READS.insert().values(**row, who=who, why=why, at=self.clock))
        return True

    @reporting_damage("the table autoaug_test_reads")
    @retrying
    def test_reads(self, name: str) -> int:
        query = sql.select(sql.func.count()).select_from(TEST_READS).where(TEST_READS.c.study == name)
        with self.engine.connect() as connection:
            return connection.scalar(query) or 0

    @reporting_damage("the table autoaug_test_reads")
    @retrying
    def test_reads_by_strategy(self, name: str) -> dict[str, int]:
        reads = sql.select(TEST_READS.c.strategy, sql.func.count()).where(TEST_READS.c.study == name)
        with self.engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(reads.group_by(TEST_READS.c.strategy))}

    def note_look(self, name: str, look: Look, who: str = "") -> None:
        """Keep that somebody is about to be shown a comparison; one that shows nothing new is no other look.

        Whoever may only read the storage may still look: then a warning says that it was not recorded, unless it was
        opened so.
        """
        if self.read_only or look in self.looks(name):
            return
        try:
            with self.engine.begin() as connection:
                connection.execute(LOOKS.insert().values(study=name, **look._asdict(), who=who, at=self.clock))
        except DBAPIError as error:
            LOG.warning(
                f"this look at study {name!r} is not recorded, later ones cannot be corrected for it: {error.orig}"
            )

    @retrying
    def looks(self, name: str) -> list[Look]:
        """Return each look at what a study showed, the first one first."""
        query = sql.select(LOOKS.c.compared, LOOKS.c.runs, LOOKS.c.planned).where(LOOKS.c.study == name)
        with self.engine.connect() as connection:
            return [Look(*row) for row in connection.execute(query.order_by(LOOKS.c.id))]


def to_row(trial_id: int, record: Record) -> dict[str, Any]:
    """Return a record as a row of epochs, which has two columns for the kind of its trial."""
    fields = asdict(record)
    kind = fields.pop("kind")
    return {**fields, "trial_id": trial_id, "final": kind is TrialKind.FINAL, "rerun": kind is TrialKind.RERUN}


def to_record(row: Mapping[str, Any]) -> Record:
    """Return a row of epochs, without its `trial_id`, as the record that it was: `to_row` the other way."""
    fields = {name: value for name, value in row.items() if name not in ("final", "rerun")}
    return Record(**fields, kind=kind_of(row))


def kind_of(row: Mapping[str, Any]) -> TrialKind:
    """Return what the trial of a row of epochs is for, by the columns `final` and `rerun`."""
    if row["final"]:
        return TrialKind.FINAL
    return TrialKind.RERUN if row["rerun"] else TrialKind.SEARCH


def sound(row: sql.RowMapping) -> dict[str, Any]:
    """Return a row of epochs without the figures that are no finite numbers, which earlier versions stored."""
    metrics = checked_epoch(dict(row))["metrics"]
    return {**row, "metrics": {name: value for name, value in metrics.items() if finite(value) is not None}}
