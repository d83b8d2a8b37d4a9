"""What each strategy may spend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from autoaug.fields import TEXT, above, at_least, check_fields, finite, short

SECONDS = ("gpu_seconds", "wall_seconds")
"""The limits that are measured. Records and outcomes have fields of the same names."""


def as_purchase(kind: str, name: str, value: Any, fix: str) -> str:
    """Return the message that refuses a limit."""
    return f"{kind}({name}={short(value)}) buys nothing: give {fix}"


def weights(value: Any) -> dict[str, float]:
    """Return a `Budget.gpu_weights` as it is kept; raise ValueError where it is none."""
    if isinstance(value, Mapping):
        kept = {kind: weight for kind, given in value.items() if TEXT.holds(kind) and (weight := finite(given))}
        if len(kept) == len(value) and all(weight > 0 for weight in kept.values()):
            return kept
    raise ValueError(
        f"Budget(gpu_weights={short(value)}): give numbers above 0 by kind of GPU, such as {{'H100': 2.0, 'A100': 1.0}}"
    )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limit what each strategy may spend on its search, equal for all. Whichever limit is reached first ends it.

    Failed, pruned and interrupted work counts, and so does what a search does to name its winner (`Study.rerun`).
    Final runs do not. A trial is measured at the end of each epoch, so a limit in seconds is overshot by at most one
    epoch of each trial that runs at that moment, and one of each worker that was killed.

    Raises:
        ValueError: there is no limit, or one or a weight that is no positive number.
    """

    trials: Annotated[int | None, at_least(1, says="a number of trials, whole and at least 1")] = None
    """Points. One that was interrupted and resumed counts once; a re-run tries no new one."""
    gpu_seconds: Annotated[float | None, above(0)] = None
    """Seconds of a GPU, of which a trial with a quarter of it uses a quarter; CPU-seconds where there is no GPU."""
    wall_seconds: Annotated[float | None, above(0)] = None
    """Seconds by the clock on the wall, added up over the trials: four at once use up an hour in a quarter of one. So
    the limit buys the same whichever strategies share the machine."""

    gpu_weights: Annotated[Mapping[str, float], weights] = field(default_factory=dict)
    """What a second of each kind of GPU counts in `gpu_seconds`, where trials run on several: with
    `{"H100": 2.0, "A100": 1.0}` they are seconds of an A100. A kind is a part of the name that the driver gives the
    GPU; the longest that fits holds, and a GPU that none fits counts 1. Seconds on the wall are not weighed."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_purchase)
        if self.trials is None and not self.seconds:
            raise ValueError("Budget() sets no limit: give trials=, gpu_seconds= or wall_seconds=")

    @property
    def seconds(self) -> dict[str, float]:
        """Return the limits in seconds, by their name."""
        return {name: limit for name in SECONDS if (limit := getattr(self, name)) is not None}

    def weight_of(self, gpu: str) -> float | None:
        """Return what a second of a GPU of this name counts; None where no kind is part of the name."""
        kinds = [kind for kind in self.gpu_weights if kind.lower() in gpu.lower()]
        return self.gpu_weights[max(kinds, key=len)] if kinds else None

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
