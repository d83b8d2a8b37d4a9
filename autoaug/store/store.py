"""Studies, epochs and costs in SQL: Optuna's own tables, and ours beside them. The only truth about a study.

Optuna's tables hold the trials: points, intermediate values, states and user attributes, one Optuna study
`<study>/<strategy>` for each search and `<study>/leaderboard` for the final runs. Ours hold what Optuna has no place
for: the definition of a study, every epoch's metrics, who works on a trial (its lease), and each read of a test split.
"""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import optuna
import sqlalchemy as sql
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution, distribution_to_json
from optuna.storages import RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from autoaug.record import LEADERBOARD, Direction, Outcome, Record, ordinals
from autoaug.store.definition import refuse_contradiction
from autoaug.store.outcome import Work, outcome
from autoaug.store.schema import EPOCHS, LEASES, META, SCHEMA_VERSION, STUDIES, TABLES, TEST_READS
from autoaug.store.url import CLOCKS, engine_options, portable, prepare_sqlite, refuse_unusable, resolve, show_url


class Store:
    """An open storage. It can be shared by the threads of a process, and by any number of processes."""

    def __init__(self, reference: str) -> None:
        """Open it, and create the tables where they are missing.

        Raises:
            ValueError: it cannot be opened; the message holds no password.
        """
        self.reference = reference
        url = resolve(reference)
        self.shown = show_url(url)
        refuse_unusable(url)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            rdb = RDBStorage(url, engine_kwargs=engine_options(url))
            self.engine: sql.Engine = rdb.engine
            self.clock: sql.ColumnElement[float] = sql.literal_column(CLOCKS[self.engine.dialect.name], sql.Float)
            if self.engine.dialect.name == "sqlite":
                prepare_sqlite(self.engine)
            TABLES.create_all(self.engine)
        except (SQLAlchemyError, ImportError, RuntimeError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise ValueError(f"storage {self.shown} cannot be opened: {reason.replace(url, self.shown)}") from None
        self.optuna = get_storage(rdb)
        self.check_version()

    def close(self) -> None:
        """Close the connections; a store that is used again opens new ones."""
        self.optuna.remove_session()
        self.engine.dispose()

    def portable(self) -> str:
        """A reference that opens the same storage in another process, and holds no password."""
        return portable(self.reference)

    def check_version(self) -> None:
        with self.engine.begin() as connection:
            found = connection.scalar(sql.select(META.c.value).where(META.c.name == "schema"))
            if found is None:
                with suppress(IntegrityError), connection.begin_nested():
                    connection.execute(META.insert().values(name="schema", value=str(SCHEMA_VERSION)))
            elif found != str(SCHEMA_VERSION):
                raise ValueError(
                    f"storage {self.shown} has autoaug tables of version {found}, this release reads {SCHEMA_VERSION}: "
                    "upgrade autoaug or use another storage"
                )

    # Studies

    def define(self, name: str, definition: Mapping[str, Any]) -> None:
        """Keep what a new study is; refuse one that contradicts what was already run under its name.

        A definition is `{"task": ..., "metric": ..., "seed": ..., "spaces": {strategy: {dimension: rule}}}`.
        Strategies may be added later; what is there may not change.
        """
        stored = self.definition(name)
        merged = dict(definition)
        row: sql.Executable = STUDIES.insert().values(name=name, definition=merged)
        if stored is not None:
            refuse_contradiction(name, stored, definition)
            merged["spaces"] = {**stored["spaces"], **definition["spaces"]}
            row = STUDIES.update().where(STUDIES.c.name == name).values(definition=merged)
        with self.engine.begin() as connection:
            connection.execute(row)
            if stored is not None:
                widen_leaderboard(connection, name, list(merged["spaces"]))

    def definition(self, name: str) -> dict[str, Any] | None:
        with self.engine.connect() as connection:
            return connection.scalar(sql.select(STUDIES.c.definition).where(STUDIES.c.name == name))

    def names(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.scalars(sql.select(STUDIES.c.name).order_by(STUDIES.c.name)))

    def strategies(self, name: str) -> list[str]:
        """The strategies of a study that have been run, in the order in which they were defined."""
        return list((self.definition(name) or {"spaces": {}})["spaces"])

    def open(self, name: str, strategy: str, direction: Direction, metric: str = "") -> optuna.Study:
        """The Optuna study of a strategy's search, created where it is missing, with `metric` on its axis."""
        found = optuna.create_study(
            storage=self.optuna, study_name=f"{name}/{strategy}", direction=direction, load_if_exists=True
        )
        return named(found, [metric]) if metric else found

    def leaderboard(self, name: str) -> optuna.Study:
        """The Optuna study of the final runs. Its two objectives let the dashboard draw cost against accuracy."""
        found = optuna.create_study(
            storage=self.optuna,
            study_name=f"{name}/{LEADERBOARD}",
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        return named(found, ["test_accuracy", "gpu_seconds"])

    def archive(self, name: str) -> str:
        """Give a study and all that belongs to it another name, so that its own is free; returns the new name."""
        with self.engine.begin() as connection:
            taken = set(connection.scalars(sql.select(STUDIES.c.name)))
            new = next(f"{name}~{k}" for k in range(1, len(taken) + 2) if f"{name}~{k}" not in taken)
            for table in (EPOCHS, TEST_READS):
                connection.execute(table.update().where(table.c.study == name).values(study=new))
            connection.execute(STUDIES.update().where(STUDIES.c.name == name).values(name=new))
            # Optuna offers no renaming; its table and column are stable since its first schema
            connection.execute(
                sql.text(
                    "UPDATE studies SET study_name = :new || substr(study_name, :cut) "
                    "WHERE substr(study_name, 1, :length) = :prefix"
                ),
                {"new": new, "cut": len(name) + 1, "length": len(name) + 1, "prefix": f"{name}/"},
            )
        return new

    # Trials

    def trials(self, name: str, strategy: str) -> list[FrozenTrial]:
        """The trials of a search, or of `leaderboard`; an empty list where nothing was run."""
        try:
            study_id = self.optuna.get_study_id_from_name(f"{name}/{strategy}")
        except KeyError:
            return []
        return self.optuna.get_all_trials(study_id, deepcopy=False)

    def outcomes(self, name: str) -> list[Outcome]:
        """Every attempt at every trial of a study, searches first, then final runs."""
        work = self.work(name)
        nothing = Work()
        found = []
        for strategy in [*self.strategies(name), LEADERBOARD]:
            trials = self.trials(name, strategy)
            roots = ordinals(trial.user_attrs for trial in trials)
            for trial, root in zip(trials, roots, strict=True):
                found.append(outcome(name, strategy, trial, root, work.get(trial._trial_id, nothing)))
        return found

    def work(self, name: str) -> dict[int, "Work"]:
        """What was done on each trial of a study, finished or not, by trial id."""
        return self.work_where(EPOCHS.c.study == name)

    def work_on(self, trial_id: int) -> "Work | None":
        """What was done on one trial; None before its first epoch."""
        return self.work_where(EPOCHS.c.trial_id == trial_id).get(trial_id)

    def work_where(self, condition: sql.ColumnElement[bool]) -> dict[int, "Work"]:
        total = (
            sql.select(
                EPOCHS.c.trial_id,
                sql.func.max(EPOCHS.c.epoch).label("epochs"),
                sql.func.sum(EPOCHS.c.gpu_seconds).label("gpu_seconds"),
                sql.cast(sql.func.sum(EPOCHS.c.images), sql.BigInteger).label("images"),  # PostgreSQL sums to decimals
            )
            .where(condition)
            .group_by(EPOCHS.c.trial_id)
            .subquery()
        )
        last = sql.and_(EPOCHS.c.trial_id == total.c.trial_id, EPOCHS.c.epoch == total.c.epochs)
        query = sql.select(total, EPOCHS.c.device, EPOCHS.c.metrics).join(EPOCHS, last)
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return {row["trial_id"]: Work(**{k: v for k, v in row.items() if k != "trial_id"}) for row in rows}

    def spent(self, name: str, strategy: str) -> float:
        """GPU-seconds (CPU-seconds without a GPU) that a search has cost so far, lost and running work included."""
        mine = sql.and_(EPOCHS.c.study == name, EPOCHS.c.strategy == strategy, ~EPOCHS.c.final)
        with self.engine.connect() as connection:
            return connection.scalar(sql.select(sql.func.sum(EPOCHS.c.gpu_seconds)).where(mine)) or 0.0

    def state(self, trial_id: int) -> TrialState:
        return self.optuna.get_trial(trial_id).state

    def report(self, trial_id: int, epoch: int, value: float) -> bool:
        """Keep an intermediate value; False where the trial has ended, and whoever works on it must stop."""
        try:
            self.optuna.set_trial_intermediate_value(trial_id, epoch, value)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        return True

    def annotate(self, trial_id: int, **attributes: Any) -> None:
        """User attributes of a trial that is not over, visible in the dashboard."""
        for name, value in attributes.items():
            self.optuna.set_trial_user_attr(trial_id, name, value)

    def finish(self, trial_id: int, state: TrialState, values: list[float] | None = None, **attributes: Any) -> bool:
        """End a trial; False where it had already ended (cancelled, or given to another worker)."""
        try:
            self.annotate(trial_id, **attributes)
            self.optuna.set_trial_state_values(trial_id, state, values)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        with self.engine.begin() as connection:
            connection.execute(LEASES.delete().where(LEASES.c.trial_id == trial_id))
        return True

    def requeue(self, study: optuna.Study, trial_id: int, reason: str, most_attempts: int = 3) -> bool:
        """End an attempt whose worker is gone and queue the same point again, to resume from its checkpoint.

        Returns whether it was queued: False where the attempts are used up or the trial had ended.
        """
        lost = self.optuna.get_trial(trial_id)
        attempt = lost.user_attrs.get("attempt", 1)
        if not self.finish(trial_id, TrialState.FAIL, reason=reason):
            return False
        if attempt >= most_attempts:
            return False
        attributes = {
            "root": root_of(study, lost),
            "attempt": attempt + 1,
            **{name: lost.user_attrs[name] for name in KEPT if name in lost.user_attrs},
        }
        study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=lost.params,
                distributions=lost.distributions,
                user_attrs=attributes,
                intermediate_values=lost.intermediate_values,
            )
        )
        return True

    def enqueue_final(self, name: str, strategy: str, seed: int, point: Mapping[str, Any], source: int) -> None:
        """Queue a final run: the best point of a strategy, found by trial `source`, with a seed of its own."""
        distributions: dict[str, BaseDistribution] = {
            "strategy": CategoricalDistribution(self.strategies(name)),
            "seed": IntDistribution(0, 9999),
        }
        self.leaderboard(name).add_trial(
            create_trial(
                state=TrialState.WAITING,
                params={"strategy": strategy, "seed": seed},
                distributions=distributions,
                user_attrs={"point": dict(point), "source": source},
            )
        )

    def claim(self, trial_id: int) -> bool:
        """Take a WAITING trial; False where another driver was quicker."""
        try:
            return self.optuna.set_trial_state_values(trial_id, TrialState.RUNNING)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False

    # Leases

    def beat(self, trial_id: int, owner: str) -> None:
        """Say that somebody works on a trial."""
        update = LEASES.update().where(LEASES.c.trial_id == trial_id).values(owner=owner, beat=self.clock)
        with self.engine.begin() as connection:
            if connection.execute(update).rowcount == 0:
                with suppress(IntegrityError), connection.begin_nested():
                    connection.execute(LEASES.insert().values(trial_id=trial_id, owner=owner, beat=self.clock))

    def leases(self) -> dict[int, tuple[str, float]]:
        """Owner and age in seconds of every lease, by trial id."""
        query = sql.select(LEASES.c.trial_id, LEASES.c.owner, self.clock - LEASES.c.beat)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {trial_id: (owner, float(seconds)) for trial_id, owner, seconds in rows}

    # Epochs

    def write_epoch(self, trial_id: int, record: Record) -> None:
        """Keep one epoch. An epoch that a resumed attempt repeats replaces the earlier row."""
        row = {**asdict(record), "trial_id": trial_id}
        with self.engine.begin() as connection:
            connection.execute(EPOCHS.delete().where(EPOCHS.c.trial_id == trial_id, EPOCHS.c.epoch == record.epoch))
            connection.execute(EPOCHS.insert().values(**row))

    def epochs(self, name: str) -> list[Record]:
        """Every stored epoch of a study."""
        columns = [column for column in EPOCHS.c if column.name != "trial_id"]
        query = sql.select(*columns).where(EPOCHS.c.study == name).order_by(EPOCHS.c.trial_id, EPOCHS.c.epoch)
        with self.engine.connect() as connection:
            return [Record(**row) for row in connection.execute(query).mappings()]

    def note_test_read(self, trial_id: int, record: Record, seed: int) -> None:
        """Keep that a final run read the test split. A second read by the same run is an error."""
        row = TEST_READS.insert().values(
            trial_id=trial_id, study=record.study, strategy=record.strategy, seed=seed, at=self.clock
        )
        with self.engine.begin() as connection:
            connection.execute(row)

    def test_reads(self, name: str) -> int:
        query = sql.select(sql.func.count()).select_from(TEST_READS).where(TEST_READS.c.study == name)
        with self.engine.connect() as connection:
            return connection.scalar(query) or 0


def named(study: optuna.Study, metrics: list[str]) -> optuna.Study:
    """The same study, whose objectives have names."""
    if not study.metric_names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(metrics)
    return study


def widen_leaderboard(connection: sql.Connection, name: str, strategies: list[str]) -> None:
    """Let the final runs that exist stand beside those of strategies that were added later.

    Optuna refuses new choices of a categorical parameter. It stores a choice by its index, and new strategies come
    last, so the old rows stay true when their list of choices grows.
    """
    connection.execute(
        sql.text(
            "UPDATE trial_params SET distribution_json = :choices WHERE param_name = 'strategy' AND trial_id IN "
            "(SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = :name)"
        ),
        {"choices": distribution_to_json(CategoricalDistribution(strategies)), "name": f"{name}/{LEADERBOARD}"},
    )


def root_of(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> int:
    """Which trial of its search an attempt belongs to."""
    trials = study.get_trials(deepcopy=False)[: trial.number + 1]
    return ordinals(each.user_attrs for each in trials)[-1]


KEPT = ("point", "source")
"""User attributes that the next attempt at a trial inherits."""
