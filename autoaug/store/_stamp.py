"""Whether anything of a study has changed since somebody looked: counts and ends of what its storage holds of it."""

import sqlalchemy as sql

from autoaug.store._optuna_tables import STUDY_ROWS, TRIAL_ROWS
from autoaug.store._retrying import retrying
from autoaug.store._schema import DIAGNOSES, GALLERIES, POLICIES, STUDIES, TRAININGS
from autoaug.store._store import Store

Stamp = tuple[object, ...]


@retrying
def stamp(store: Store, name: str) -> Stamp:
    """Return what changes when anything of a study does that a comparison shows; equal stamps, equal contents.

    It is one query over indexed columns: cheap enough to be asked every few seconds.

    Args:
        store: where the study is stored.
        name: of the study; one that is not there has a stamp too.
    """
    prefix = f"{name}/"
    of_study = sql.func.substr(STUDY_ROWS.c.study_name, 1, len(prefix)) == prefix
    trials = sql.select(TRIAL_ROWS).join(STUDY_ROWS, STUDY_ROWS.c.study_id == TRIAL_ROWS.c.study_id).where(of_study)
    each = trials.subquery()
    ours = TRAININGS.c.study == name
    parts = [
        sql.select(sql.func.max(each.c.trial_id)),
        sql.select(sql.func.count(each.c.trial_id)),
        *(
            sql.select(sql.func.count(each.c.trial_id)).where(each.c.state == state)
            for state in ("RUNNING", "COMPLETE", "FAIL")
        ),
        sql.select(sql.func.max(each.c.datetime_complete)),
        sql.select(sql.func.count()).where(ours).select_from(TRAININGS),
        sql.select(sql.func.sum(TRAININGS.c.epochs)).where(ours),
        sql.select(sql.func.max(DIAGNOSES.c.id)).where(DIAGNOSES.c.study == name),
        sql.select(sql.func.count()).where(POLICIES.c.study == name).select_from(POLICIES),
        sql.select(sql.func.count()).where(GALLERIES.c.study == name).select_from(GALLERIES),
        sql.select(sql.func.count()).where(STUDIES.c.name == name).select_from(STUDIES),
    ]
    query = sql.select(*(part.scalar_subquery().label(f"part{k}") for k, part in enumerate(parts)))
    with store.engine.connect() as connection:
        return tuple(str(value) for value in connection.execute(query).one())


@retrying
def ids_by_name(store: Store, name: str) -> dict[str, int]:
    """Return the numbers of the Optuna studies `<name>/...`, by their whole names: pages link to them."""
    prefix = f"{name}/"
    query = sql.select(STUDY_ROWS.c.study_name, STUDY_ROWS.c.study_id)
    with store.engine.connect() as connection:
        rows = connection.execute(query.where(STUDY_ROWS.c.study_name.startswith(prefix, autoescape=True)))
        return {row.study_name: row.study_id for row in rows if row.study_name.startswith(prefix)}


@retrying
def last_trials(store: Store) -> dict[str, int]:
    """Return by study its newest trial of which an epoch is known: the study with the largest was worked on last."""
    query = sql.select(TRAININGS.c.study, sql.func.max(TRAININGS.c.trial_id)).group_by(TRAININGS.c.study)
    with store.engine.connect() as connection:
        return {study: int(trial) for study, trial in connection.execute(query)}
