"""What Optuna's tables have no place for: who works on a trial, what its epochs cost, test reads, and looks."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, IntegrityError

from autoaug.record import UNITS, Record
from autoaug.store._damage import reporting_damage
from autoaug.store._epochs import forget, of_training, sound, to_record, whole, write
from autoaug.store._outcome import Work, add_up
from autoaug.store._retrying import RetryPolicy, retrying
from autoaug.store._schema import COSTS, EPOCHS, LEASES, LOOKS, TEST_READS, TRAININGS
from autoaug.store._spool import Spool, spooled
from autoaug.text import LOG

AT_ONCE = 500
"""Trials that a statement names one by one: every database takes so many values."""


class Look(NamedTuple):
    """Record that somebody was shown how the strategies of a study compare on the test split."""

    compared: Sequence[str]
    """The studies of the comparison: this one, or several that repeat it."""
    runs: Mapping[str, int]
    """By strategy: final runs that it shared with the baseline, of several studies the studies."""
    planned: Mapping[str, int]
    """By strategy: how many of these were planned at the time."""


class Lease(NamedTuple):
    """Hold the last sign of life of whoever works on a trial."""

    owner: str
    age: float
    """Seconds since the sign, by the clock of the storage."""
    beat: float
    """The sign: when it was given. It is another one as soon as the owner gives the next."""


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
        return self.work_where(TRAININGS.c.study == name)

    def work_on(self, trial_id: int) -> "Work | None":
        """Return what was done on one trial; None before its first epoch."""
        return self.work_where(TRAININGS.c.trial_id == trial_id).get(trial_id)

    def work_of(self, trial_ids: Collection[int]) -> dict[int, "Work"]:
        """Return what was done on some trials, by their ids."""
        ids, found = sorted(trial_ids), dict[int, Work]()
        for k in range(0, len(ids), AT_ONCE):
            found |= self.work_where(TRAININGS.c.trial_id.in_(ids[k : k + AT_ONCE]))
        return found

    @reporting_damage("the table autoaug_trainings")
    @retrying
    def reached(self, trial_id: int) -> int:
        """Return how many epochs a trial was trained for, those of earlier attempts and of retrainings included."""
        query = sql.select(sql.func.sum(TRAININGS.c.epochs)).where(TRAININGS.c.trial_id == trial_id)
        with self.engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    @reporting_damage("the table autoaug_epochs")
    @retrying
    def work_where(self, condition: sql.ColumnElement[bool]) -> dict[int, "Work"]:
        """Return what was done on the trials of which something is true, by trial id: sums, and their last epoch."""
        last = sql.and_(of_training(), EPOCHS.c.epoch == TRAININGS.c.epochs)
        query = sql.select(*TRAININGS.c, EPOCHS.c.epoch, EPOCHS.c.metrics).join(EPOCHS, last).where(condition)
        by_trial: dict[int, list[dict[str, Any]]] = defaultdict(list)
        with self.engine.connect() as connection:
            for row in connection.execute(query.order_by(TRAININGS.c.training)).mappings():
                by_trial[row["trial_id"]].append(sound(row))
        return {trial_id: add_up(trainings) for trial_id, trainings in by_trial.items()}

    def spent(self, name: str, strategy: str, unit: str = "gpu_seconds") -> float:
        """Return what a search and its re-runs have cost so far, lost and running work included.

        In GPU-seconds (CPU-seconds without a GPU), or in the "wall_seconds" of all trials together.
        """
        return self.costs(name).get(strategy, {}).get(unit, 0.0)

    @reporting_damage("the table autoaug_costs")
    @retrying
    def costs(self, name: str) -> dict[str, dict[str, float]]:
        """Return what each search of a study has cost so far as `spent` does, by strategy and unit."""
        query = sql.select(COSTS).where(COSTS.c.study == name)
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return {row["strategy"]: {unit: float(row[unit]) for unit in UNITS} for row in rows}

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
    def leases(self) -> dict[int, Lease]:
        """Return every lease, by trial id."""
        query = sql.select(LEASES.c.trial_id, LEASES.c.owner, self.clock - LEASES.c.beat, LEASES.c.beat)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {trial_id: Lease(owner, float(age), float(beat)) for trial_id, owner, age, beat in rows}

    @retrying
    def take_lease(self, trial_id: int, owner: str, lease: Lease | None) -> bool:
        """Sign a trial in the place of whoever does not any more, `lease` being the last that was seen of it.

        Returns False where it was signed since, by its worker or by another that takes it.
        """
        with self.engine.begin() as connection:
            if lease:
                # the owner too: a clock may tell milliseconds only, and another take it within the same one
                same = (LEASES.c.trial_id == trial_id, LEASES.c.owner == lease.owner, LEASES.c.beat == lease.beat)
                update = LEASES.update().where(*same).values(owner=owner, beat=self.clock)
                return connection.execute(update).rowcount == 1
            with suppress(IntegrityError), connection.begin_nested():
                connection.execute(LEASES.insert().values(trial_id=trial_id, owner=owner, beat=self.clock))
                return True
        return False

    # Epochs

    @spooled
    @retrying
    def write_epoch(self, trial_id: int, record: Record) -> None:
        """Keep one epoch. An epoch that a resumed attempt repeats replaces the earlier row."""
        with self.engine.begin() as connection:
            write(connection, trial_id, record)

    @retrying
    def forget(self, trial_id: int) -> None:
        """Remove what was stored under the id of a trial that begins: of one that was deleted, whose id it got."""
        with self.engine.begin() as connection:
            forget(connection, trial_id)

    def epochs(self, name: str) -> list[Record]:
        """Return every stored epoch of a study."""
        return self.epochs_where(TRAININGS.c.study == name)

    @reporting_damage("the table autoaug_epochs")
    @retrying
    def epochs_where(self, condition: sql.ColumnElement[bool]) -> list[Record]:
        complete = whole().where(condition, EPOCHS.c.epoch > 0)  # epoch 0 is what was lost of one
        query = complete.order_by(EPOCHS.c.trial_id, EPOCHS.c.training, EPOCHS.c.epoch)
        with self.engine.connect() as connection:
            return [to_record(row) for row in connection.execute(query).mappings()]

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
