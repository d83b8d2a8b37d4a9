"""The storage of studies: `Store`."""

from autoaug.store._contradictions import differences, refuse_contradiction
from autoaug.store._epoch_table import Look
from autoaug.store._losses import GIVEN_UP, Loss
from autoaug.store._maintenance import delete_study, file_of, round_trip, running_trials, server_time
from autoaug.store._mounts import network_file_system
from autoaug.store._optuna import id_of_trial, root_of
from autoaug.store._queued import final_seed
from autoaug.store._retrying import Moved, Unreachable, Unwritable
from autoaug.store._secrets import refuse_exposed, show_storage, show_url
from autoaug.store._spool import FOLDER as SPOOL_FOLDER
from autoaug.store._spool import Spool, replay, settle
from autoaug.store._store import Store, open_retrying
from autoaug.store._url import is_file, is_new, place_of, resolve

__all__ = [
    "GIVEN_UP",
    "SPOOL_FOLDER",
    "Look",
    "Loss",
    "Moved",
    "Spool",
    "Store",
    "Unreachable",
    "Unwritable",
    "delete_study",
    "differences",
    "file_of",
    "final_seed",
    "id_of_trial",
    "is_file",
    "is_new",
    "network_file_system",
    "open_retrying",
    "place_of",
    "refuse_contradiction",
    "refuse_exposed",
    "replay",
    "resolve",
    "root_of",
    "round_trip",
    "running_trials",
    "server_time",
    "settle",
    "show_storage",
    "show_url",
]
