"""Optuna's storage, made safe for any number of processes that share it."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sql
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import StudyModel, TrialModel, TrialUserAttributeModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from autoaug.store._damage import told
from autoaug.store._retrying import RetryPolicy, retrying
from autoaug.store._schema import LEASES

QUEUED_AS = "queued_as"
"""User attribute by which a trial that is queued once only is known."""


class SharedStorage(RDBStorage):
    """Optuna's storage with three things more: it waits for a server that is away, only one of several processes can
    change the state of a trial, and a trial is ended and queued again in one transaction.

    SQLite knows no row locks, so a transaction that decides by what it reads writes something first: that takes the
    lock on the whole file before it reads. On PostgreSQL it locks the row.
    """

    def __init__(self, url: str, engine_options: dict[str, Any], retry_policy: RetryPolicy) -> None:
        self.retry_policy = retry_policy
        try:
            super().__init__(url, engine_kwargs=engine_options)
        except BaseException:  # another process creates the same tables: whoever opens it tries again
            if "engine" in vars(self):
                self.engine.dispose()
            raise

    @property
    def shown(self) -> str:
        return self.retry_policy.shown

    @contextmanager
    def locked(self, model: Any, row: int) -> Iterator[tuple[Session, Any]]:
        """A transaction in which nobody else changes a row of one of Optuna's tables, and the row."""
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
            there = sql.exists().where(
                TrialModel.study_id == study_id,
                TrialUserAttributeModel.trial_id == TrialModel.trial_id,
                TrialUserAttributeModel.key == QUEUED_AS,
                TrialUserAttributeModel.value_json == json.dumps(name),
            )
            if session.scalar(sql.select(there)):
                return False
            self._get_prepared_new_trial(study_id, trial, session)
            return True


def wait_in_every_method() -> None:
    """Let what Optuna calls wait too: each public method of a storage is one transaction, or two that may be repeated.

    Those that are private to Optuna are what its cache calls.
    """
    private = ("_create_new_trial", "_get_trials", "_get_best_trial_id", "_set_trial_param")
    public = [name for name, value in vars(BaseStorage).items() if callable(value) and not name.startswith("_")]
    readable = told("a row of Optuna's tables", KeyError)  # KeyError is what they say where there is no such study
    for name in {*public, *private} - {*vars(SharedStorage), "remove_session", "check_trial_is_updatable"}:
        waiting = retrying(getattr(RDBStorage, name))
        setattr(SharedStorage, name, readable(waiting) if name.lstrip("_").startswith("get_") else waiting)


wait_in_every_method()
