"""What is known of the studies of a storage, brought up to date when somebody asks and something has changed."""

import threading
import time
from dataclasses import dataclass, field

from autoaug.compare import Comparison, Importance, stored_comparison
from autoaug.execution import Status, status
from autoaug.gallery import Gallery
from autoaug.lookup import lookup
from autoaug.store import Store, gallery_of, stamp
from autoaug.text import shown

STATUS_SECONDS = 5.0
"""How old the state of a study may be that has not ended: leases change it, and no stamp tells."""

IMPORTANCE_SECONDS = 60.0
"""How old the importance of dimensions may be while a study runs."""


@dataclass
class Known:
    """Hold what is known of a study at one moment of its storage, and what was made of it."""

    stamp: tuple[object, ...]
    comparison: Comparison
    status: Status
    gallery: Gallery | None
    since: float
    figures: dict[tuple[str, bool], bytes] = field(default_factory=dict)
    """As JSON, by title and whether the importance of dimensions was known."""


@dataclass(frozen=True)
class Measured:
    """Hold how much each dimension mattered at one moment."""

    stamp: tuple[object, ...]
    importance: Importance
    since: float


class Missing(ValueError):
    """Nothing is at an address."""


class Studies:
    """Keep what is known of the studies of a storage.

    Args:
        store: where they are stored.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known: dict[str, Known] = {}
        self.measured: dict[str, Measured] = {}
        self.measuring: set[str] = set()
        self.lock = threading.Lock()
        self.locks: dict[str, threading.Lock] = {}

    def look(self, name: str) -> Known:
        """Return what is known of a study now; a comparison is made only where something has changed.

        Differences to the baseline are looked at once all its final runs have ended: each look costs some evidence.

        Raises:
            Missing: there is no such study.
            ValueError: it is of a later version, or its definition cannot be read.
        """
        if self.store.definition(name) is None:
            raise unknown(self.store, name)
        with self.lock:
            lock = self.locks.setdefault(name, threading.Lock())
        with lock:
            now, found = stamp(self.store, name), self.known.get(name)
            if (
                found
                and found.stamp == now
                and (found.status.finished or time.monotonic() - found.since < STATUS_SECONDS)
            ):
                return found
            stands = status(self.store, name)
            if found and found.stamp == now:
                found.status, found.since = stands, time.monotonic()
                return found
            comparison = stored_comparison([(self.store, name)], with_importance=False, look=stands.finished)
            self.known[name] = Known(now, comparison, stands, gallery_of(self.store, name), time.monotonic())
            return self.known[name]

    def importance(self, name: str, known: Known) -> Importance | None:
        """Return how much each dimension mattered, of a study that runs a moment ago; None while that is measured.

        It takes seconds, and no figure that does not show it waits for it.
        """
        with self.lock:
            found = self.measured.get(name)
            if found and found.stamp == known.stamp:
                return found.importance
            recent = found and not known.status.finished and time.monotonic() - found.since < IMPORTANCE_SECONDS
            if name not in self.measuring and not recent:
                self.measuring.add(name)
                threading.Thread(target=self.measure, args=(name, known), daemon=True).start()
            return found.importance if found and recent else None

    def measure(self, name: str, known: Known) -> None:
        """Measure how much each dimension of a study mattered."""
        try:
            found = stored_comparison([(self.store, name)], look=False).importance
        except Exception:  # the storage went away: the next figure asks again
            found = None
        with self.lock:
            self.measuring.discard(name)
            if found is not None:
                self.measured[name] = Measured(known.stamp, found, time.monotonic())


def unknown(store: Store, name: str) -> Missing:
    """Return the error that names the studies that are nearly called so."""
    try:
        lookup(dict.fromkeys(store.names()), name, "study")
    except ValueError as error:
        return Missing(str(error))
    return Missing(f"there is no study {shown(name)!r} here")
