"""Which leases are over: judged from one look to the next, because no clock alone can be believed.

A clock that is set, or a machine that slept, makes every lease look old at once. So whoever looks old is looked at
again after it had time for a sign of life; and where the storage's clock cannot tell an age, that of the process that
looks counts from its own first look.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from autoaug.store import Lease

BEATS = 2
"""For so many leases whoever looks old has time for a sign of life: one that is due, and one that is late."""


@dataclass(frozen=True)
class Sight:
    """Remember what was seen of a trial."""

    beat: float | None
    """The sign of life that stood; None where there was none."""
    first: float
    """When it was first seen, by the monotonic clock."""
    old: float = inf
    """When it was first seen to be old."""


class Watch:
    """Remember the leases of the trials that run, as one process saw them."""

    def __init__(self, expiry: float, lease: float) -> None:
        """Begin without a memory.

        Args:
            expiry: seconds after which a lease looks old.
            lease: seconds between two signs of life.
        """
        self.expiry, self.pause = expiry, BEATS * lease
        self.sights: dict[int, Sight] = {}

    def look(self, leases: Mapping[int, Lease | None], now: float, fair: bool = True) -> dict[int, float]:
        """Return the trials whose leases are over, and for how many seconds there was no sign of each.

        Args:
            leases: of all trials that run; None of those that nobody signed.
            now: the monotonic clock, in seconds.
            fair: whether the leases could be renewed. Otherwise nothing counts as old.
        """
        before, self.sights, over = self.sights, {}, {}
        for trial_id, lease in leases.items():
            beat = lease.beat if lease else None
            sight = before.get(trial_id)
            if sight is None or sight.beat != beat:
                sight = Sight(beat, now)
            silent = max(lease.age if lease else 0.0, now - sight.first)
            if not (fair and silent > self.expiry):
                sight = replace(sight, old=inf)
            elif sight.old == inf:
                sight = replace(sight, old=now)
            elif now - sight.old >= self.pause:
                over[trial_id] = silent
            self.sights[trial_id] = sight
        return over
