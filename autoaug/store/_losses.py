"""Whose loss it is when an attempt dies, and when a trial that is lost again and again is given up.

An attempt that got further than those before it costs nothing, however it ended: the count begins anew.
"""

from collections.abc import Mapping
from typing import Any, Literal

Loss = Literal["own", "unseen", "foreign"]
"""Whose it is.

own: the process of the trial died by itself, as its driver saw, or the training hung.
unseen: the process that trained is gone and nobody saw why. It was its own driver: a crash and a kill look alike.
foreign: somebody asked for it, or what the trial ran on went away (its driver, node, cluster or storage).
"""

MOST: Mapping[str, int] = {"own": 3, "unseen": 10}
"""So many losses of a kind without progress end a trial. Foreign ones never do."""

LOSSES, FURTHEST, TRAINED_ON = "losses", "furthest", "trained_on"
"""User attributes of an attempt: of those before it the losses without progress, the epochs reached, and the hosts."""

GIVEN_UP = "without progress"
"""The end of the reason of a trial that was given up."""


def after(attributes: Mapping[str, Any], reached: int, loss: Loss) -> dict[str, Any]:
    """Return what the next attempt inherits, given the user attributes of the lost one and the epoch it reached."""
    furthest, hosts = attributes.get(FURTHEST, 0), list(attributes.get(TRAINED_ON, []))
    if reached > furthest:
        host = str(attributes.get("worker", "")).partition(":")[0]
        return {LOSSES: {}, FURTHEST: reached, TRAINED_ON: list(dict.fromkeys([*hosts, host]))}
    counted = dict(attributes.get(LOSSES, {}))
    if loss in MOST:
        counted[loss] = counted.get(loss, 0) + 1
    return {LOSSES: counted, FURTHEST: furthest, TRAINED_ON: hosts}


def given_up(inherited: Mapping[str, Any], loss: Loss) -> str:
    """Return why no attempt follows, as the end of a reason; empty where one does."""
    times = inherited[LOSSES].get(loss, 0)
    return f", {times} times {GIVEN_UP}" if loss in MOST and times >= MOST[loss] else ""
