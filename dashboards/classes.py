"""What the winner does to each class: the difference of its test accuracy to the baseline, with its 95 % interval.

Filled points are more than chance, corrected for the number of classes; hollow ones are not. The intervals are those of
each class by itself. Of many classes those with the largest differences are drawn.
"""

import plotly.graph_objects as go

from autoaug.compare import ClassEffect, Comparison
from dashboards.style import colours, layout

MOST_CLASSES = 40
"""That are drawn; a figure must stay readable."""


def figure(comparison: Comparison) -> go.Figure:
    """Return a point with an interval for each class; an empty figure where nothing is known by class."""
    if (effects := comparison.classes) is None:
        return go.Figure()
    largest = sorted(effects.classes, key=lambda each: -abs(each.difference))[:MOST_CLASSES]
    points = drawn(sorted(largest, key=lambda each: each.difference), colours(comparison)[effects.strategy])
    shown = layout(f"{effects.strategy} against {effects.baseline}, by class", "difference of test accuracy", "")
    return go.Figure(points, shown.update(yaxis={"automargin": True, "type": "category"}, showlegend=False))


def drawn(effects: list[ClassEffect], colour: str) -> go.Scatter:
    """Return the differences as points, filled where they are more than chance."""
    return go.Scatter(
        x=[round(each.difference, 4) for each in effects],
        y=[each.name for each in effects],
        mode="markers",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [round(each.high - each.difference, 4) for each in effects],
            "arrayminus": [round(each.difference - each.low, 4) for each in effects],
            "color": colour,
        },
        marker={
            "color": colour,
            "size": 9,
            "symbol": ["circle-open" if each.verdict == "not enough evidence" else "circle" for each in effects],
        },
    )
