"""Which classes the winner helps and harms: the difference of its test accuracy to the baseline, with 95 % intervals.

Filled points are more than chance, corrected for the number of classes; hollow ones are not. The intervals are those of
each class by itself. Of many classes those with the largest differences are drawn.
"""

import plotly.graph_objects as go

from autoaug.compare import ClassEffect, ClassEffects, Comparison
from dashboards.style import POOLED, Look, layout, listed, looks, named, tall

MOST_CLASSES = 40
"""That are drawn; a figure must stay readable."""


def figure(comparison: Comparison) -> go.Figure:
    """Return a point with an interval for each class; an empty figure where nothing is known by class."""
    effects = comparison.classes
    if effects is None or not effects.classes:
        return go.Figure()
    largest = sorted(effects.classes, key=lambda each: -abs(each.difference))[:MOST_CLASSES]
    ordered = sorted(largest, key=lambda each: -each.difference)
    axis = f"test accuracy of {named(effects.strategy)}<br>minus that of {named(effects.baseline)}, points"
    shown = layout("Which classes does it help or harm?", axis, "", told(effects))
    shown.update(
        yaxis=listed([named(each.name) for each in ordered]),
        xaxis={"zeroline": False},
        shapes=[{"type": "line", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "line": {"color": POOLED}}],
        showlegend=False,
        height=tall(len(ordered)),
    )
    return go.Figure(drawn(ordered, looks(comparison)[effects.strategy]), shown)


def drawn(effects: list[ClassEffect], look: Look) -> go.Scatter:
    """Return the differences as points, filled where they are more than chance."""
    return go.Scatter(
        x=[round(100 * each.difference, 2) for each in effects],
        y=[*range(len(effects))],
        mode="markers",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [round(100 * (each.high - each.difference), 2) for each in effects],
            "arrayminus": [round(100 * (each.difference - each.low), 2) for each in effects],
            "color": look.colour,
        },
        marker={
            "color": look.colour,
            "size": 9,
            "symbol": [
                f"{look.symbol}-open" if each.verdict == "not enough evidence" else look.symbol for each in effects
            ],
            "line": {"width": 2, "color": look.colour},
        },
    )


def told(effects: ClassEffects) -> str:
    """Return in words which classes are helped and which are harmed beyond chance."""
    said = []
    for verdict in ("helped", "harmed"):
        found = effects.with_verdict(verdict)
        some = ", ".join(f"{each.name} {100 * each.difference:+.1f}" for each in found[:5])
        said.append(f"{len(found)} {verdict}{f' ({some})' if some else ''}")
    count = f"{effects.strategy} against {effects.baseline}, of {len(effects.classes)} classes beyond chance"
    return f"{count}: {' and '.join(said)}, in points of test accuracy."
