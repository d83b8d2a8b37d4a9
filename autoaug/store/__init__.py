"""The storage of studies: `Store`."""

from autoaug.store.definition import differences, refuse_contradiction
from autoaug.store.importance import Importance, importances
from autoaug.store.ledger import Look
from autoaug.store.losses import GIVEN_UP, Loss
from autoaug.store.patience import Unreachable
from autoaug.store.queued import final_seed
from autoaug.store.secrets import refuse_exposed, show_reference, show_url
from autoaug.store.spool import FOLDER as SPOOL_FOLDER
from autoaug.store.spool import Spool, replay, settle
from autoaug.store.store import Store, open_patiently, root_of
from autoaug.store.url import is_file, is_new, resolve

__all__ = [
    "GIVEN_UP",
    "SPOOL_FOLDER",
    "Importance",
    "Look",
    "Loss",
    "Spool",
    "Store",
    "Unreachable",
    "differences",
    "final_seed",
    "importances",
    "is_file",
    "is_new",
    "open_patiently",
    "refuse_contradiction",
    "refuse_exposed",
    "replay",
    "resolve",
    "root_of",
    "settle",
    "show_reference",
    "show_url",
]
