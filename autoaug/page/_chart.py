"""The chart of a page's first screen: a dot and an interval per strategy, sorted by effect. It needs no JavaScript.

Places along its axis are per cent of its width, so that it is drawn at the width of any screen.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoaug.compare import Comparison, FinalRun, LeaderboardRow, show_p
from autoaug.record import TrialKind

HUES = 9
"""Colours that the style sheet has, those of a project's figures; more strategies than that share them."""

MARGIN = 0.06
"""Of the axis, that is left free on either side of what is drawn."""

NICE_STEPS = (1, 2, 2.5, 5, 10)
"""Of an axis, times a power of ten."""


@dataclass(frozen=True)
class Line:
    """Hold one strategy of a chart. What is drawn is in per cent of the width of the axis; None is not drawn."""

    name: str
    hue: int
    """Which colour, by the order in which the study defines the strategies."""
    said: str
    """The figures in words, beside the drawing: "+2.5 ± 1.3"."""
    verdict: str
    """Of the strategy against the baseline, and p; empty where there is none."""
    sure: bool
    """Whether it differs from the baseline beyond chance."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    runs: tuple[float, ...] = ()
    """Of single final runs."""


@dataclass(frozen=True)
class Chart:
    """Hold what is drawn, the best line first."""

    caption: str
    """What the lines show, in words."""
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    """Places along the axis, in per cent, and what stands there."""
    zero: float | None
    """Where the baseline is; None where the lines are no differences."""


@dataclass(frozen=True)
class Measured:
    """Hold what is known of a strategy in the unit of the axis."""

    row: LeaderboardRow
    value: float | None
    low: float | None = None
    high: float | None = None
    runs: tuple[float, ...] = ()

    def numbers(self) -> list[float]:
        """Return everything of it that is drawn."""
        return [each for each in (self.value, self.low, self.high, *self.runs) if each is not None]


def chart_of(comparison: Comparison) -> Chart:
    """Return the differences to the baseline; where there are none yet, test scores, or else the best of the search.

    Shares, such as accuracies, are in points: per cent of the images.
    """
    ruling = comparison.ruling
    scale = 100.0 if ruling.range == (0.0, 1.0) else 1.0
    points = " in points" if scale == 100.0 else ""
    better = "further right is better" if ruling.maximize else "further left is better"
    label = comparison.label(comparison.test_metric)
    if any(row.vs_baseline for row in comparison.rows):
        single = differences(comparison)
        found = [of_difference(row, comparison.baseline, single.get(row.name, ()), scale) for row in comparison.rows]
        caption = f"Difference to {comparison.baseline} by {label}{points}, with 95 % intervals: {better}"
        return drawn(comparison, found, caption, versus=True)
    if any(row.test for row in comparison.rows):
        found = [of_test(row, scale) for row in comparison.rows]
        return drawn(comparison, found, f"{label.capitalize()}{points}, with 95 % intervals: {better}", versus=False)
    found = [Measured(row, scaled(row.val_best, scale)) for row in comparison.rows]
    caption = f"Best {comparison.label(comparison.metric)} of each search so far{points}: {better}"
    return drawn(comparison, found, caption, versus=False)


def scaled(value: float | None, scale: float) -> float | None:
    """Return a value in the unit of the axis; what is no finite number is not drawn."""
    return None if value is None or not math.isfinite(value) else scale * value


def of_difference(row: LeaderboardRow, baseline: str, runs: Iterable[float], scale: float) -> Measured:
    """Return a strategy minus the baseline, which itself stands at zero."""
    if row.name == baseline:
        return Measured(row, 0.0 if row.test else None)
    if (difference := row.vs_baseline) is None:
        return Measured(row, None)
    middle, low, high = (scaled(end, scale) for end in (difference.difference, difference.low, difference.high))
    return Measured(row, middle, low, high, tuple(scale * run for run in runs if math.isfinite(run)))


def of_test(row: LeaderboardRow, scale: float) -> Measured:
    """Return the mean of a strategy's final runs."""
    if (test := row.test) is None:
        return Measured(row, None)
    middle, low, high = (scaled(end, scale) for end in (test.mean, test.low, test.high))
    return Measured(row, middle, low, high)


def differences(comparison: Comparison) -> dict[str, list[float]]:
    """Return the difference of each final run to that of the baseline with the same seed, by strategy.

    Of several studies, which repeat a search, nothing: what is independent there is a study, not a run.
    """
    scores: dict[str, dict[FinalRun, float]] = {}
    for each in comparison.outcomes:
        value = each.metrics.get(comparison.test_metric)
        if each.kind is TrialKind.FINAL and each.state == "COMPLETE" and value is not None:
            scores.setdefault(each.strategy, {})[FinalRun(each.study, each.seed)] = value
    base = scores.pop(comparison.baseline, {})
    if len(comparison.studies) > 1:
        return {}
    return {name: [runs[run] - base[run] for run in sorted(runs) if run in base] for name, runs in scores.items()}


def drawn(comparison: Comparison, found: Sequence[Measured], caption: str, versus: bool) -> Chart:
    """Return what was measured as it is drawn: the best first, along one axis."""
    hues = {name: k % HUES for k, name in enumerate(comparison.strategies)}
    sign = -1.0 if comparison.maximize else 1.0
    best_first = sorted(found, key=lambda each: math.inf if each.value is None else sign * each.value)
    axis = Axis.over([number for each in found for number in each.numbers()] + [0.0] * versus)
    lines = [
        Line(
            name=each.row.name,
            hue=hues.get(each.row.name, 0),
            said=in_words(each, comparison.baseline, versus, axis.decimals),
            verdict=verdict_of(each.row, comparison.baseline) if versus else "",
            sure=each.row.vs_baseline is not None and each.row.vs_baseline.verdict != "not enough evidence",
            value=axis.place(each.value),
            low=axis.place(each.low),
            high=axis.place(each.high),
            runs=tuple(place for run in each.runs if (place := axis.place(run)) is not None),
        )
        for each in best_first
    ]
    return Chart(caption, lines, axis.ticks(versus), axis.place(0.0) if versus else None)


def in_words(each: Measured, baseline: str, versus: bool, decimals: int) -> str:
    """Return the figures of a line: "+2.5 ± 1.3"; a dash where there are none."""
    if versus and each.row.name == baseline:
        return "baseline"
    if each.value is None:
        return "–"
    value = f"{each.value:{'+' if versus else ''}.{decimals}f}"
    if each.low is None or each.high is None or each.high - each.low <= 0:
        return value
    return f"{value} ± {max(each.high - each.value, each.value - each.low):.{decimals}f}"


def verdict_of(row: LeaderboardRow, baseline: str) -> str:
    """Return in a few words what may be said: "better, p 0.002"."""
    if row.name == baseline:
        return ""
    if row.vs_baseline is None:
        return "failed" if row.reason else "other data" if row.other_data else "not tested"
    p = "" if row.vs_baseline.p_holm is None else f", p {show_p(row.vs_baseline.p_holm)}"
    return f"{row.vs_baseline.verdict}{p}"


@dataclass(frozen=True)
class Axis:
    """Hold the ends of an axis, in its own unit, and the distance of its ticks."""

    low: float
    high: float
    step: float

    @classmethod
    def over(cls, numbers: Sequence[float]) -> "Axis":
        """Return the axis that shows these numbers, with some room beside them."""
        low, high = min(numbers, default=0.0), max(numbers, default=1.0)
        room = (high - low) * MARGIN or max(abs(high), 1.0) * MARGIN
        low, high = low - room, high + room
        raw = (high - low) / 4
        power = 10.0 ** math.floor(math.log10(raw))
        return cls(low, high, next(step * power for step in NICE_STEPS if step * power >= raw))

    @property
    def decimals(self) -> int:
        """Return how many decimals tell apart a tenth of the ticks' distance."""
        return min(6, max(1, 1 - math.floor(math.log10(self.step))))

    def place(self, value: float | None) -> float | None:
        """Return where a value is drawn, in per cent."""
        return None if value is None else round(100 * (value - self.low) / (self.high - self.low), 2)

    def ticks(self, signed: bool) -> list[tuple[float, str]]:
        """Return the ticks: places in per cent, and what stands there."""
        first = math.ceil(self.low / self.step)
        values = [k * self.step for k in range(first, math.floor(self.high / self.step) + 1)]
        decimals = min(6, max(0, -math.floor(math.log10(self.step) + 1e-9), 1 if self.step % 1 else 0))
        shown = [f"{value:{'+' if signed and value else ''}.{decimals}f}" for value in values]
        return [
            (round(100 * (value - self.low) / (self.high - self.low), 2), text)
            for value, text in zip(values, shown, strict=True)
        ]
