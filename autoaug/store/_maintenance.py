"""Maintenance of a storage: read its clock, try it out, and remove a study with all that belongs to it."""

import time
from pathlib import Path

import sqlalchemy as sql
from optuna.trial import TrialState

from autoaug.record import Record
from autoaug.store._gallery import remove_unnamed, rows
from autoaug.store._optuna import id_of_trial, ids_of_studies
from autoaug.store._schema import BY_STUDY, EPOCHS, LEASES, STUDIES, TRAININGS
from autoaug.store._store import Store
from autoaug.store._url import file_of as path_of
from autoaug.text import counted


def server_time(store: Store) -> float:
    """Return the seconds since 1970 by the clock of the storage, which leases go by."""
    with store.engine.connect() as connection:
        return float(connection.scalar(sql.select(store.clock)) or 0.0)


def round_trip(store: Store, name: str, reports: int = 30) -> list[float]:
    """Run a trial that trains nothing, and remove it again; returns the seconds that each report of an epoch took.

    Args:
        name: of the study that is made for it.

    Raises:
        ValueError: what was written did not come back.
    """
    records = [Record(study=name, strategy="check", trial=0, epoch=k + 1, phase="augment") for k in range(reports)]
    seconds = []
    try:
        trial = store.open(name, "check", "maximize").ask()
        trial_id = id_of_trial(trial)
        store.beat(trial_id, "doctor")
        for record in records:
            start = time.perf_counter()
            store.report(trial_id, record.epoch, 0.5)
            store.write_epoch(trial_id, record)
            seconds.append(time.perf_counter() - start)
        came_back = store.epochs(name)
    finally:
        delete_study(store, name)
    if came_back != records:
        written = counted(len(records), "epoch")
        raise ValueError(f"{written} were written to {store.display_url} and {len(came_back)} came back")
    return seconds


def file_of(store: Store) -> Path | None:
    """Return the file of an open storage; None where it is no plain file."""
    return path_of(store.engine.url)


def running_trials(store: Store, name: str) -> set[int]:
    """Return the ids of the trials of a study that run."""
    running: set[int] = set()
    for study_id in ids_of_studies(store.optuna, name):
        trials = store.optuna.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        running |= {id_of_trial(trial) for trial in trials}
    return running


def age_leases(store: Store, name: str, seconds: float) -> None:
    """Set back the leases of the running trials of a study, as if the clock of the storage had jumped ahead."""
    running = LEASES.c.trial_id.in_(running_trials(store, name))
    with store.engine.begin() as connection:
        connection.execute(LEASES.update().where(running).values(beat=LEASES.c.beat - seconds))


def delete_study(store: Store, name: str) -> None:
    """Remove a study, its trials, epochs and leases for good. No other study of the storage is touched."""
    for study_id in ids_of_studies(store.optuna, name):
        trials = store.optuna.get_all_trials(study_id, deepcopy=False)
        leases = LEASES.c.trial_id.in_([id_of_trial(trial) for trial in trials])
        with store.engine.begin() as connection:
            connection.execute(LEASES.delete().where(leases))
        store.optuna.delete_study(study_id)
    gallery = list(rows(store, name).values())
    trained = sql.select(TRAININGS.c.trial_id).where(TRAININGS.c.study == name)
    with store.engine.begin() as connection:
        connection.execute(EPOCHS.delete().where(EPOCHS.c.trial_id.in_(trained)))
        for table in BY_STUDY:
            connection.execute(table.delete().where(table.c.study == name))
        connection.execute(STUDIES.delete().where(STUDIES.c.name == name))
    remove_unnamed(store, gallery)
