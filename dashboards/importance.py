"""How much each dimension mattered in reaching the best trials: its share, per strategy and over all of them.

A pale bar is no longer than what chance gives to a dimension that does nothing.
"""

from collections.abc import Mapping

import plotly.graph_objects as go

from autoaug.compare import Comparison
from dashboards.style import POOLED, colours, layout


def figure(comparison: Comparison) -> go.Figure:
    """Return the importances of a comparison as bars, grouped by dimension."""
    importance, colour = comparison.importance, colours(comparison)
    bars = [
        bar(name, shares, importance.chance[name], colour.get(name, POOLED))
        for name, shares in importance.strategies.items()
    ]
    if importance.pooled:
        bars.append(bar("all strategies", importance.pooled, importance.chance_pooled or 0.0, POOLED))
    drawn = layout("Pale: within chance", "share of importance", "").update(
        barmode="group", yaxis={"autorange": "reversed", "automargin": True}, xaxis={"rangemode": "tozero"}
    )
    return go.Figure(bars, drawn)


def bar(name: str, shares: Mapping[str, float], chance: float, colour: str) -> go.Bar:
    """Return the bars of one strategy; those that are no longer than what chance gives are pale."""
    return go.Bar(
        x=[round(share, 4) for share in shares.values()],
        y=list(shares),
        name=name,
        orientation="h",
        marker={"color": colour, "opacity": [1.0 if share > chance else 0.3 for share in shares.values()]},
    )
