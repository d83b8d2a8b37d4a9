"""How a figure is printed: short, and no more certain than it is."""

import math
from collections.abc import Iterable

from autoaug.compare._leaderboard import LeaderboardRow
from autoaug.compare._statistics import ROUNDING, Difference, Interval
from autoaug.metrics import DEFAULT_METRIC, row_of

NOTHING = "–"


def short(metric: str) -> str:
    """Return the name of a metric, without what goes without saying: "val" of the default metric.

    >>> from autoaug.compare import short
    >>> short("val_accuracy"), short("val_nll"), short("val_balanced_accuracy")
    ('val', 'val_nll', 'val_balanced_accuracy')
    """
    default = row_of(DEFAULT_METRIC)
    return metric.removesuffix(f"_{default}") if row_of(metric) == default else metric


def unit_of(devices: Iterable[str]) -> str:
    """Return the unit of a cost by the devices it was measured on: "GPU s" where one is "cuda", or else "CPU s".

    >>> from autoaug.compare import unit_of
    >>> unit_of(["cpu", "cuda"]), unit_of(["cpu"])
    ('GPU s', 'CPU s')
    """
    return "GPU s" if "cuda" in devices else "CPU s"


def number(value: float, sign: bool = False) -> str:
    """Return a value with four decimals. What is rounded to zero has no minus, and what is no number no plus."""
    value = 0.0 if abs(value) < 0.00005 else value
    return f"{value:{'+' if sign and not math.isnan(value) else ''}.4f}"


def show_interval(estimate: Interval | None) -> str:
    """Return a mean with half of its 95 % interval, in the unit of its values; a dash where there is none.

    >>> from autoaug.compare import interval, show_interval
    >>> show_interval(interval([0.70, 0.72]))
    '0.7100 ± 0.1271'
    >>> show_interval(interval([0.70])), show_interval(None)
    ('0.7000', '–')
    """
    if estimate is None:
        return NOTHING
    return f"{number(estimate.mean)}{show_half(estimate, estimate.mean)}"


def show_half(estimate: Interval | Difference, mean: float) -> str:
    """Return the wider half of an interval; runs that are all equal show none, which does not say that none vary."""
    if estimate.low is None or estimate.high is None:
        return ""
    return (
        f" ({estimate.n} equal)" if equal(estimate) else f" ± {number(max(estimate.high - mean, mean - estimate.low))}"
    )


def equal(estimate: Interval | Difference) -> bool:
    """Whether two runs or more have the same score, so that the interval has no width."""
    return estimate.low is not None and estimate.high is not None and estimate.high - estimate.low < ROUNDING


def show_difference(difference: Difference | None, wide: bool) -> tuple[str, str, str]:
    """Return the difference with half of its interval, its corrected p, and its verdict."""
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
    """Whether a difference is more than chance by its corrected p."""
    return difference.verdict != "not enough evidence"


def show_p(p: float | None) -> str:
    """Return p with three decimals, "<0.001" below that; a dash where no test was possible.

    >>> from autoaug.compare import show_p
    >>> show_p(0.0312), show_p(0.0004), show_p(None)
    ('0.031', '<0.001', '–')
    """
    if p is None:
        return NOTHING
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def show_rank(rank: float | None) -> str:
    """Return a mean rank with one decimal; a dash where there is none."""
    return NOTHING if rank is None else f"{rank:.1f}"


def show_value(value: float | None) -> str:
    """Return a value of a metric with four decimals; a dash where there is none.

    >>> from autoaug.compare import show_value
    >>> show_value(0.81234), show_value(None)
    ('0.8123', '–')
    """
    return NOTHING if value is None else number(value)


def show_trials(row: LeaderboardRow) -> str:
    """Return how many trials there were; "a/b" where only a of b ran to their end."""
    lost = row.pruned + row.failed
    return f"{row.trials - lost}/{row.trials}" if lost else str(row.trials)


def show_seconds(seconds: float | None) -> str:
    """Return seconds with one decimal, without any from a thousand on; a dash where they are not known.

    >>> from autoaug.compare import show_seconds
    >>> show_seconds(12.34), show_seconds(1234.5), show_seconds(None)
    ('12.3', '1234', '–')
    """
    if seconds is None:
        return NOTHING
    return f"{seconds:.1f}" if seconds < 1000 else f"{seconds:.0f}"


def show_limit(seconds: float) -> str:
    """Return a limit as it was given, without an exponent.

    >>> from autoaug.compare import show_limit
    >>> show_limit(0.5), show_limit(1e6)
    ('0.5', '1,000,000')
    """
    return f"{seconds:,.10g}"
