"""What workers could not write while the storage was away, and left behind when they ended."""

from pathlib import Path

from autoaug.execution._job import is_gone, process_name
from autoaug.options import Options
from autoaug.store import SPOOL_FOLDER, Spool, Store, place_of, replay, show_storage


def spool_of(store: Store, options: Options) -> Spool:
    """Return where this process keeps what it cannot write."""
    return Spool(pending_folder(options), store.identity, process_name(), place_of(store.storage_url))


def pending_folder(options: Options) -> Path:
    """Return where the processes of a study keep what they cannot write."""
    return options.artifacts / SPOOL_FOLDER


def refuse_displaced(storage_url: str, options: Options, identity: str = "") -> None:
    """Refuse a storage in the place of another one for which writes are still kept: they would never be made.

    Args:
        identity: of the storage that lies there now; none where none does.

    Raises:
        ValueError: it says where they are, and what to do.
    """
    place = place_of(storage_url)
    spool = Spool(pending_folder(options), identity, process_name(), place)
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
        if pending.free or is_gone(pending.owner):
            replay(store, pending)
