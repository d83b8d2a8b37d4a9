"""What each strategy may spend."""

from dataclasses import dataclass
from typing import Annotated, Any

from autoaug.fields import above, at_least, check_fields, short

SECONDS = ("gpu_seconds", "wall_seconds")
"""The limits that are measured. Records and outcomes have fields of the same names."""


def as_purchase(kind: str, name: str, value: Any, fix: str) -> str:
    """Return the message that refuses a limit."""
    return f"{kind}({name}={short(value)}) buys nothing: give {fix}"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limit what each strategy may spend on its search, equal for all. Whichever limit is reached first ends it.

    Failed, pruned and interrupted work counts, and so does what a search does to name its winner (`Study.rerun`).
    Final runs do not. A trial is measured at the end of each epoch, so a limit in seconds is overshot by at most one
    epoch of each trial that runs at that moment, and one of each worker that was killed.

    Raises:
        ValueError: there is no limit, or one that is no positive number.
    """

    trials: Annotated[int | None, at_least(1, says="a number of trials, whole and at least 1")] = None
    """Points. One that was interrupted and resumed counts once; a re-run tries no new one."""
    gpu_seconds: Annotated[float | None, above(0)] = None
    """Seconds of a GPU, of which a trial with a quarter of it uses a quarter; CPU-seconds where there is no GPU."""
    wall_seconds: Annotated[float | None, above(0)] = None
    """Seconds by the clock on the wall, added up over the trials: four at once use up an hour in a quarter of one. So
    the limit buys the same whichever strategies share the machine."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_purchase)
        if self.trials is None and not self.seconds:
            raise ValueError("Budget() sets no limit: give trials=, gpu_seconds= or wall_seconds=")

    @property
    def seconds(self) -> dict[str, float]:
        """Return the limits in seconds, by their name."""
        return {name: limit for name in SECONDS if (limit := getattr(self, name)) is not None}

    def spent(self, trials: int, gpu_seconds: float, wall_seconds: float = 0.0) -> float:
        """Return the share of the budget that is used up; 1 or more is all of it."""
        used = {"gpu_seconds": gpu_seconds, "wall_seconds": wall_seconds}
        shares = [used[name] / limit for name, limit in self.seconds.items()]
        return max(trials / self.trials if self.trials else 0.0, *shares, 0.0)


def unit(name: str, device: str) -> str:
    """Return what a limit in seconds counts on a device, for people: "GPU-seconds", "CPU-seconds" or "seconds".

    Args:
        name: one of `SECONDS`.
        device: the type of a torch device, such as "cuda".
    """
    if name == "wall_seconds":
        return "seconds"
    return "GPU-seconds" if device == "cuda" else "CPU-seconds"
