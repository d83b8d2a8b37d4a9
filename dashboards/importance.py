"""Which dimensions mattered in reaching the best trials: the share of each, per strategy and over all of them.

A hollow mark is no farther than what chance gives to a dimension that does nothing. Of many dimensions those with the
largest shares are drawn.
"""

from collections.abc import Mapping

import plotly.graph_objects as go

from autoaug.compare import Comparison
from dashboards.style import POOLED, Look, below, layout, listed, looks, named, tall

MOST_DIMENSIONS = 20
"""That are drawn; a figure must stay readable."""

OVER_ALL = Look(POOLED, "diamond-wide", "solid")
"""How what is over all strategies is drawn."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the importances of a comparison as marks along a line for each dimension."""
    importance, look = comparison.importance, looks(comparison)
    drawn = [(name, shares, importance.chance[name], look[name]) for name, shares in importance.strategies.items()]
    if importance.pooled:
        drawn.append(("all strategies", importance.pooled, importance.chance_pooled or 0.0, OVER_ALL))
    largest: dict[str, float] = {}
    for _, shares, _, _ in drawn:
        for dimension, share in shares.items():
            largest[dimension] = max(share, largest.get(dimension, 0.0))
    if not largest:
        return go.Figure()
    dimensions = sorted(largest, key=lambda dimension: -largest[dimension])[:MOST_DIMENSIONS]
    place = {dimension: k for k, dimension in enumerate(dimensions)}
    marks = [
        beside(name, shares, chance, look_of, place, (k + 0.5) / len(drawn) - 0.5)
        for k, (name, shares, chance, look_of) in enumerate(drawn)
    ]
    shown = layout("Which dimensions matter?", "share of importance (hollow: within chance)", "", told(comparison))
    rules = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": k + 0.5, "y1": k + 0.5, "line": {"color": POOLED}}
        for k in range(len(dimensions) - 1)
    ]
    shown.update(
        yaxis=listed([named(dimension) for dimension in dimensions]),
        xaxis={"rangemode": "tozero"},
        shapes=[{**rule, "opacity": 0.3, "layer": "below"} for rule in rules],
        **below(len(drawn), tall(max(len(dimensions), len(dimensions) * len(drawn) // 3))),
    )
    return go.Figure(marks, shown)


def beside(
    name: str, shares: Mapping[str, float], chance: float, look: Look, place: Mapping[str, int], offset: float
) -> go.Scatter:
    """Return the marks of one strategy; those that are no farther than what chance gives are hollow."""
    known = [(dimension, share) for dimension, share in shares.items() if dimension in place]
    return go.Scatter(
        x=[round(share, 4) for _, share in known],
        y=[round(place[dimension] + 0.7 * offset, 3) for dimension, _ in known],
        name=named(name),
        mode="markers",
        marker={
            "color": look.colour,
            "size": 9,
            "symbol": [look.symbol if share > chance else f"{look.symbol}-open" for _, share in known],
            "line": {"width": 1.5, "color": look.colour},
        },
    )


def told(comparison: Comparison) -> str:
    """Return in words what is more than chance, per strategy."""
    found = comparison.importance
    said = []
    for name, shares in list(found.strategies.items())[:8]:
        above = [f"{each} {share:.2f}" for each, share in shares.items() if share > found.chance[name]]
        said.append(f"{name}: {', '.join(above[:3]) or 'none'}")
    return f"Shares of importance that are more than chance. {'; '.join(said)}."
