"""Optuna's storage, made safe for any number of processes that share it, and what we use of its internals for that.

Everything in the library that Optuna does not offer to others, names that begin with an underscore and its tables,
stands in this file, in `_optuna_tables.py`, and nowhere else. `tests/test_optuna_adapter.py` lists what is used, and
fails where a release of Optuna changes it. Only then is the ceiling in pyproject.toml raised.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sql
from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.models import (
    StudyModel,
    TrialModel,
    TrialUserAttributeModel,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from autoaug.record import ordinals
from autoaug.store._damage import reporting_damage
from autoaug.store._retrying import RetryPolicy, retrying
from autoaug.store._schema import LEASES

QUEUED_AS = "queued_as"
"""User attribute by which a trial that is queued once only is known."""


def id_of_trial(trial: FrozenTrial | Trial) -> int:
    """Return the number by which a trial is known in the whole storage; its `number` counts within its study."""
    return trial._trial_id


def id_of_study(study: Study) -> int:
    """Return the number by which an Optuna study is known in the storage."""
    return study._study_id


def system_attributes(study: Study) -> dict[str, Any]:
    """Return what Optuna and its dashboard keep of a study: its figures, notes and artifacts among it."""
    return study._storage.get_study_system_attrs(study._study_id)


def set_system_attribute(study: Study, name: str, value: Any) -> None:
    """Keep something of a study as Optuna and its dashboard do: `value` is what JSON takes."""
    study._storage.set_study_system_attr(study._study_id, name, value)


def ids_of_studies(storage: BaseStorage, name: str) -> list[int]:
    """Return the ids of the Optuna studies `<name>/...`: the searches of a study and its final runs."""
    return [each._study_id for each in storage.get_all_studies() if each.study_name.startswith(f"{name}/")]


def named(study: Study, metrics: list[str]) -> Study:
    """Return the same study, whose objectives have names."""
    if not study.metric_names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(metrics)
    return study


def root_of(study: Study, trial: FrozenTrial | Trial) -> int:
    """Return which trial of its search an attempt belongs to."""
    if "root" in trial.user_attrs:
        return int(trial.user_attrs["root"])
    trials = study.get_trials(deepcopy=False)[: trial.number + 1]  # an earlier version queued it, or Optuna itself
    return ordinals(each.user_attrs for each in trials)[-1]


def acquaint(study: Study, trial: FrozenTrial) -> None:
    """Tell Optuna's cache of a trial that was queued behind its back: it would read all trials to find it."""
    if isinstance(storage := study._storage, _CachedStorage):
        storage.get_study_directions(study._study_id)
        storage._add_trials_to_cache(study._study_id, [trial])


def cached(shared: "SharedStorage") -> BaseStorage:
    """Return the same storage, which reads trials that have ended only once."""
    return get_storage(shared)


compact = partial(json.dumps, separators=(",", ":"))
"""How our tables are given JSON: blanks would be a tenth of what an epoch takes."""


class SharedStorage(RDBStorage):
    """Add three things to Optuna's storage: it waits for a server that is away, only one of several processes can
    change the state of a trial, and a trial is ended and queued again in one transaction.

    SQLite knows no row locks, so a transaction that decides by what it reads writes something first: that takes the
    lock on the whole file before it reads. On PostgreSQL it locks the row.
    """

    def __init__(
        self, url: str, engine_options: dict[str, Any], retry_policy: RetryPolicy, skip_table_creation: bool = False
    ) -> None:
        self.retry_policy = retry_policy
        try:
            options = {"json_serializer": compact, **engine_options}
            super().__init__(url, engine_kwargs=options, skip_table_creation=skip_table_creation)
        except BaseException:  # another process creates the same tables: whoever opens it tries again
            if "engine" in vars(self):
                self.engine.dispose()
            raise

    @property
    def display_url(self) -> str:
        """Return the URL as it may be printed."""
        return self.retry_policy.display_url

    @contextmanager
    def locked(self, model: Any, row: int) -> Iterator[tuple[Session, Any]]:
        """Open a transaction in which nobody else changes a row of one of Optuna's tables; gives it and the row."""
        with self.scoped_session() as session, session.begin():
            self.hold(session)
            yield session, model.find_or_raise_by_id(row, session, for_update=True)

    def hold(self, session: Session) -> None:
        """Take SQLite's only lock: an update that changes no row does."""
        if self.engine.dialect.name == "sqlite":
            session.execute(sql.update(TrialModel).where(sql.false()).values(state=TrialModel.state))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change the state of a trial that is not over, once.

        Raises:
            UpdateFinishedTrialError: it is over.
        """

        def change() -> bool:
            session = self.scoped_session()  # the one that Optuna goes on with
            try:
                self.hold(session)
                return RDBStorage.set_trial_state_values(self, trial_id, state, values)
            finally:
                session.close()

        return self.retry_policy(change)

    @retrying
    def replace(self, trial_id: int, reason: str, successor: Callable[[FrozenTrial], FrozenTrial | None]) -> bool:
        """End a running trial as FAIL and queue its successor, both or neither; False where it was not running."""
        with self.locked(TrialModel, trial_id) as (session, trial):
            if trial.state != TrialState.RUNNING:
                return False
            lost = self._build_frozen_trial_from_trial_model(trial)
            self._set_trial_attr_without_commit(session, TrialUserAttributeModel, trial_id, "reason", reason)
            trial.state, trial.datetime_complete = TrialState.FAIL, datetime.now()
            session.execute(LEASES.delete().where(LEASES.c.trial_id == trial_id))
            if following := successor(lost):
                StudyModel.find_or_raise_by_id(trial.study_id, session, for_update=True)
                self._get_prepared_new_trial(trial.study_id, following, session)
            return True

    @retrying
    def queue_once(self, study_id: int, name: str, trial: FrozenTrial) -> bool:
        """Queue a trial; False where one was queued under the same name, by whomever and however it ended."""
        trial.set_user_attr(QUEUED_AS, name)
        with self.locked(StudyModel, study_id) as (session, _):
            queued = sql.exists().where(
                TrialModel.study_id + 0 == study_id,  # not by its index, but by that of the name: INDEXES
                TrialModel.trial_id == TrialUserAttributeModel.trial_id,
                TrialUserAttributeModel.key == sql.literal_column(f"'{QUEUED_AS}'"),
                TrialUserAttributeModel.value_json == json.dumps(name),
            )
            if session.scalar(sql.select(queued)):
                return False
            self._get_prepared_new_trial(study_id, trial, session)
            return True


CALLED_BY_CACHE = ("_create_new_trial", "_get_trials", "_get_best_trial_id", "_set_trial_param")
"""Methods of the storage that are private to Optuna, and that its cache calls."""


def wait_in_every_method() -> None:
    """Let what Optuna calls wait too: each method of a storage is one transaction, or two that may be repeated."""
    public = [name for name, value in vars(BaseStorage).items() if callable(value) and not name.startswith("_")]
    readable = reporting_damage("a row of Optuna's tables", KeyError)  # they raise it where there is no such study
    for name in {*public, *CALLED_BY_CACHE} - {*vars(SharedStorage), "remove_session", "check_trial_is_updatable"}:
        waiting = retrying(getattr(RDBStorage, name))
        setattr(SharedStorage, name, readable(waiting) if name.lstrip("_").startswith("get_") else waiting)


wait_in_every_method()
