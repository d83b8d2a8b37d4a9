"""What workers could not write while the storage was away, and left behind when they ended.

A file of a worker that lives is its own. Of one in another container or on another host nobody can say whether it
lives: its file is taken when the lease of its trial is over, or when the trial is.
"""

from pathlib import Path

from autoaug.options import Options
from autoaug.processes import is_gone, process_name
from autoaug.store import SPOOL_FOLDER, Spool, Store, address_of, replay, show_storage


def spool_of(store: Store, options: Options) -> Spool:
    """Return where this process keeps what it cannot write."""
    return Spool(pending_folder(options), store.identity, process_name(), address_of(store.storage_url))


def pending_folder(options: Options) -> Path:
    """Return where the processes of a study keep what they cannot write."""
    return options.local / SPOOL_FOLDER


def refuse_displaced(storage_url: str, options: Options, identity: str = "") -> None:
    """Refuse a storage in the place of another one for which writes are still kept: they would never be made.

    Args:
        identity: of the storage that lies there now; none where none does.

    Raises:
        ValueError: it says where they are, and what to do.
    """
    address = address_of(storage_url)
    spool = Spool(pending_folder(options), identity, process_name(), address)
    for pending in spool.displaced():
        raise ValueError(
            f"storage {show_storage(storage_url)} is not the one that was there before, and {pending.path} holds what "
            "that one still lacks: put it back (a *.rescued.db beside it is a copy), or remove that file to give it up"
        )


def write_pending(store: Store, options: Options) -> None:
    """Write what workers that ended could not. It comes before any lease is judged: what is over is not run again.

    Raises:
        Unreachable: the storage is still away.
    """
    for pending in spool_of(store, options).left():
        if not store.is_running(pending.trial_id):
            replay(store, pending)  # which writes its epochs, and drops the rest
        elif pending.free or is_gone(pending.owner):
            lease = store.leases().get(pending.trial_id)
            if store.take_lease(pending.trial_id, process_name(), lease):  # or else somebody is at it
                replay(store, pending)
                if store.is_running(pending.trial_id):
                    store.beat(pending.trial_id, pending.owner)  # by what became of that one it is judged


def write_pending_of(store: Store, trial_id: int) -> None:
    """Write what the worker of a trial could not, whoever that was: its lease is this process's.

    Raises:
        Unreachable: the storage is still away.
    """
    for pending in store.spool.left() if store.spool else ():
        if pending.trial_id == trial_id:
            replay(store, pending)
