"""What workers could not write while the storage was away, and left behind when they ended."""

from autoaug.execution._job import is_gone, process_name
from autoaug.options import Options
from autoaug.store import SPOOL_FOLDER, Spool, Store, replay


def spool_of(store: Store, options: Options) -> Spool:
    """Return where this process keeps what it cannot write."""
    return Spool(options.local / SPOOL_FOLDER, store.identity, process_name())


def write_pending(store: Store, options: Options) -> None:
    """Write what workers that ended could not. It comes before any lease is judged: what is over is not run again.

    Raises:
        Unreachable: the storage is still away.
    """
    for pending in spool_of(store, options).left():
        if pending.free or is_gone(pending.owner):
            replay(store, pending)
