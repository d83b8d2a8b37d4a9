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


def show_interval(estimate: Interval | None) -> str:
    if estimate is None:
        return NOTHING
    return f"{number(estimate.mean)}{show_half(estimate, estimate.mean)}"


def show_half(estimate: Interval | Difference, mean: float) -> str:
    """The wider half of an interval. Runs that are all equal have none: that they vary is not seen, not disproved."""
    if estimate.low is None or estimate.high is None:
        return ""
    return (
        f" ({estimate.n} equal)" if equal(estimate) else f" ± {number(max(estimate.high - mean, mean - estimate.low))}"
    )


def equal(estimate: Interval | Difference) -> bool:
    """Whether two runs or more have the same score, so that the interval has no width."""
    return estimate.low is not None and estimate.high is not None and estimate.high - estimate.low < ROUNDING


def show_difference(difference: Difference | None, wide: bool) -> tuple[str, str, str]:
    """Difference, corrected p, verdict."""
    if difference is None:
        return (NOTHING, NOTHING, NOTHING)
    return (
        f"{number(difference.difference, sign=True)}{show_half(difference, difference.difference)}",
        show_p(difference.p_holm),
        difference.verdict if wide else difference.verdict.removesuffix(" evidence"),
    )


def show_starred(difference: Difference | None, wide: bool) -> str:
    """Return a difference by another metric than the study's, with a star where it is more than chance."""
    if difference is None:
        return NOTHING
    star = "*" * significant(difference)
    shown, p, _ = show_difference(difference, wide)
    return f"{shown}{star}, p {p}" if wide else f"{number(difference.difference, sign=True)}{star}"


def significant(difference: Difference) -> bool:
    return difference.verdict != "not enough evidence"


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
