"""What beats the baseline, by how much, and how sure that is: the paired difference of test scores with its interval.

A filled mark is more than chance, by p corrected for the strategies and for the looks; a hollow one is not. The best is
above. Differences of shares, such as accuracies, are in points: hundredths.
"""

from html import escape

import plotly.graph_objects as go

from autoaug.compare import Comparison, Difference, LeaderboardRow, show_p
from dashboards.style import POOLED, Look, difference_of, is_share, layout, listed, looks, named, sure, tall

MOST_ROWS = 40
"""That are drawn: of more strategies those that differ most."""


def figure(comparison: Comparison) -> go.Figure:
    """Return a point with an interval for each strategy but the baseline; an empty figure before any is known."""
    known = [(row, row.vs_baseline) for row in comparison.rows if row.vs_baseline is not None]
    known = sorted(known, key=lambda each: -abs(each[1].difference))[:MOST_ROWS]
    known.sort(key=lambda each: each[1].difference, reverse=comparison.maximize)
    if not known:
        return go.Figure()
    factor, axis = difference_of(comparison)
    look = looks(comparison)
    points = [point(k, row, effect, factor, look[row.name]) for k, (row, effect) in enumerate(known)]
    baseline = named(comparison.baseline)
    title = f"What beats {baseline}?" if len(baseline) <= 20 else "What beats the baseline?"
    unit = "points" if is_share(comparison.ruling) else comparison.label(comparison.test_metric)
    shown = layout(title, axis, "", told(known, comparison.baseline, factor, unit))
    shown.update(
        yaxis=listed([f"{named(row.name)}<br><sub>{escape(said(effect))}</sub>" for row, effect in known]),
        xaxis={"zeroline": False},
        shapes=[{"type": "line", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "line": {"color": POOLED}}],
        showlegend=False,
        height=tall(round(1.4 * len(known))),
    )
    return go.Figure(points, shown)


def point(place: int, row: LeaderboardRow, effect: Difference, factor: float, look: Look) -> go.Scatter:
    """Return the difference of one strategy, hollow where it may be chance."""
    middle = factor * effect.difference
    known = effect.low is not None and effect.high is not None
    return go.Scatter(
        x=[round(middle, 4)],
        y=[place],
        name=named(row.name),
        mode="markers+text",
        text=[f"{middle:+.2g}" if abs(middle) < 10 else f"{middle:+.1f}"],
        textposition="top center",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [round(factor * effect.high - middle, 4) if known and effect.high is not None else None],
            "arrayminus": [round(middle - factor * effect.low, 4) if known and effect.low is not None else None],
            "color": look.colour,
            "thickness": 2,
            "width": 5,
        },
        marker={
            "color": look.colour,
            "size": 11,
            "symbol": look.symbol if sure(effect) else f"{look.symbol}-open",
            "line": {"width": 2, "color": look.colour},
        },
    )


def said(effect: Difference) -> str:
    """Return the verdict with its corrected p, and over how many pairs of runs."""
    verdict = effect.verdict if sure(effect) else "not enough evidence"
    p = f", p {show_p(effect.p_holm)}" if effect.p_holm is not None else ""
    return f"{verdict}{p}, n = {effect.n}"


def told(known: list[tuple[LeaderboardRow, Difference]], baseline: str, factor: float, unit: str) -> str:
    """Return the differences in words, the largest gain first."""
    ends = [
        f"{row.name} {factor * each.difference:+.3g}"
        + (f" [{factor * each.low:.3g}, {factor * each.high:.3g}]" if each.low is not None and each.high else "")
        + f" ({said(each)})"
        for row, each in known
    ]
    more = f"; and {len(ends) - 8} more" if len(ends) > 8 else ""
    return f"Differences to {baseline} in {unit}, with 95 % intervals: {'; '.join(ends[:8])}{more}."
