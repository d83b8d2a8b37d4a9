"""What is said of a run that ended early: no more than is true of what it found."""

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from autoaug.options import Options

if TYPE_CHECKING:
    from autoaug.store import Store


class Stop(NamedTuple):
    """Say what ended a run early."""

    code: int
    """The exit code."""
    kept: str
    """What became of all that was found, and what to do first."""


def what_is_kept(store: "Store", options: Options) -> str:
    """Return what became of all that was found, as it is true: the storage may have gone, and a disk may be full."""
    from autoaug.execution import pending_folder, refuse_full, spool_of
    from autoaug.store import Unreachable

    if store.look():
        pending = any(spool_of(store, options).left())
        where = f", for which {pending_folder(options)} keeps what was measured since" if pending else ""
        return f"first put back the storage that was opened{where}"
    with suppress(Unreachable):
        if not store.retry_policy.lost:
            refuse_full(pending_folder(options))
            return "everything found so far is kept"
    return "what there was no room for will be trained again: make room first"
