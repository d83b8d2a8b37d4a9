"""The storage of studies: `Store`."""

from autoaug.store._compacting import KEEP, Compaction, compact, make_small
from autoaug.store._contents import StudySize, TableSize, study_sizes, table_sizes
from autoaug.store._contradictions import differences, refuse_contradiction
from autoaug.store._diagnoses import Diagnosis, diagnoses, note_diagnosis
from autoaug.store._epoch_table import Lease, Look
from autoaug.store._follower import Follower, running, waiting
from autoaug.store._gallery import gallery_of, keep_sheets, pictures_of
from autoaug.store._losses import GIVEN_UP, Loss
from autoaug.store._maintenance import age_leases, delete_study, file_of, round_trip, running_trials, server_time
from autoaug.store._mounts import network_file_system
from autoaug.store._optuna import id_of_trial, root_of, set_system_attribute, system_attributes
from autoaug.store._outcome import BY_CLASS, SUMMARY, Attempted
from autoaug.store._policies import note_policies, policies
from autoaug.store._queued import final_seed
from autoaug.store._retrying import Moved, Unreachable, Unwritable
from autoaug.store._secrets import refuse_exposed, show_storage, show_url
from autoaug.store._some_epochs import epochs_of, thinned_epochs
from autoaug.store._spool import FOLDER as SPOOL_FOLDER
from autoaug.store._spool import Spool, replay, settle
from autoaug.store._stamp import ids_by_name, last_trials, stamp
from autoaug.store._store import Store, open_retrying
from autoaug.store._url import address_of, is_file, is_new, resolve, usual_storage

__all__ = [
    "BY_CLASS",
    "GIVEN_UP",
    "KEEP",
    "SPOOL_FOLDER",
    "SUMMARY",
    "Attempted",
    "Compaction",
    "Diagnosis",
    "Follower",
    "Lease",
    "Look",
    "Loss",
    "Moved",
    "Spool",
    "Store",
    "StudySize",
    "TableSize",
    "Unreachable",
    "Unwritable",
    "address_of",
    "age_leases",
    "compact",
    "delete_study",
    "diagnoses",
    "differences",
    "epochs_of",
    "file_of",
    "final_seed",
    "gallery_of",
    "id_of_trial",
    "ids_by_name",
    "is_file",
    "is_new",
    "keep_sheets",
    "last_trials",
    "make_small",
    "network_file_system",
    "note_diagnosis",
    "note_policies",
    "open_retrying",
    "pictures_of",
    "policies",
    "refuse_contradiction",
    "refuse_exposed",
    "replay",
    "resolve",
    "root_of",
    "round_trip",
    "running",
    "running_trials",
    "server_time",
    "set_system_attribute",
    "settle",
    "show_storage",
    "show_url",
    "stamp",
    "study_sizes",
    "system_attributes",
    "table_sizes",
    "thinned_epochs",
    "usual_storage",
    "waiting",
]
