"""How a figure is printed: short, and no more certain than it is."""

import math
from collections.abc import Iterable

from autoaug.compare._leaderboard import LeaderboardRow
from autoaug.compare._statistics import ROUNDING, Difference, Interval
from autoaug.metrics import DEFAULT_METRIC, row_of

NOTHING = "–"


def short(metric: str) -> str:
    """Return the name of a metric, without what goes without saying: "val" of the default metric."""
    return metric.removesuffix(f"_{row_of(DEFAULT_METRIC)}")


def unit_of(devices: Iterable[str]) -> str:
    return "GPU s" if "cuda" in devices else "CPU s"


def number(value: float, sign: bool = False) -> str:
    """Four decimals. What is rounded to zero has no minus, and what is no number no plus."""
    value = 0.0 if abs(value) < 0.00005 else value
    return f"{value:{'+' if sign and not math.isnan(value) else ''}.4f}"


def show_interval(found: Interval | None) -> str:
    if found is None:
        return NOTHING
    return f"{number(found.mean)}{show_half(found, found.mean)}"


def show_half(found: Interval | Difference, mean: float) -> str:
    """The wider half of an interval. Runs that are all equal have none: that they vary is not seen, not disproved."""
    if found.low is None or found.high is None:
        return ""
    return f" ({found.n} equal)" if equal(found) else f" ± {number(max(found.high - mean, mean - found.low))}"


def equal(found: Interval | Difference) -> bool:
    """Whether two runs or more have the same score, so that the interval has no width."""
    return found.low is not None and found.high is not None and found.high - found.low < ROUNDING


def show_difference(found: Difference | None, wide: bool) -> tuple[str, str, str]:
    """Difference, corrected p, verdict."""
    if found is None:
        return (NOTHING, NOTHING, NOTHING)
    return (
        f"{number(found.difference, sign=True)}{show_half(found, found.difference)}",
        show_p(found.p_holm),
        found.verdict if wide else found.verdict.removesuffix(" evidence"),
    )


def show_starred(found: Difference | None, wide: bool) -> str:
    """Return a difference by another metric than the study's, with a star where it is more than chance."""
    if found is None:
        return NOTHING
    star = "*" * significant(found)
    difference, p, _ = show_difference(found, wide)
    return f"{difference}{star}, p {p}" if wide else f"{number(found.difference, sign=True)}{star}"


def significant(found: Difference) -> bool:
    return found.verdict != "not enough evidence"


def show_p(p: float | None) -> str:
    if p is None:
        return NOTHING
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def show_rank(rank: float | None) -> str:
    return NOTHING if rank is None else f"{rank:.1f}"


def show_value(value: float | None) -> str:
    return NOTHING if value is None else number(value)


def show_trials(row: LeaderboardRow) -> str:
    lost = row.pruned + row.failed
    return f"{row.trials - lost}/{row.trials}" if lost else str(row.trials)


def show_seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return f"{seconds:.1f}" if seconds < 1000 else f"{seconds:.0f}"
