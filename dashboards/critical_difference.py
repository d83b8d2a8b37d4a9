"""Which strategies differ over several data sets: their mean ranks, with bars over those that are not told apart.

Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", figure 1; the tests are Wilcoxon's signed
ranks of each pair, corrected by Holm, so a bar joins the strategies with a dot on it and not whatever lies between.

It draws a comparison over data sets, so it is no `figure(comparison)`: `autoaug compare` asks for it by its own name.
"""

import plotly.graph_objects as go

from autoaug.compare import Across, show_p
from autoaug.text import counted
from dashboards.style import POOLED, colours, layout

BAR = 0.5
"""Height of a bar, in lines of strategies."""

LINE = 30
"""Pixels of a line; 170 more hold title, axis and margins."""

MOST_BARS = 20
"""That are drawn, from the best ranks on."""


def diagram(across: Across) -> go.Figure:
    """Return mean ranks along an axis, and a bar for each group of strategies that are not told apart."""
    if len(across.strategies) < 2:
        return go.Figure()
    bars = across.cliques[:MOST_BARS]
    first = 1 + BAR * len(bars)
    lines = {name: first + k for k, name in enumerate(across.strategies)}
    drawn = [bar(across, group, 0.6 + BAR * k) for k, group in enumerate(bars)]
    colour = colours(across.first)
    for name, depth in lines.items():
        drawn += [stem(across.ranks[name], depth, colour[name]), dot(across, name, depth, colour[name])]
    count = len(across.strategies)
    shown = layout(title(across), "mean rank (1 is best)", "")
    shown.update(
        xaxis={
            "side": "top",
            "range": [0.9, count + 0.1],
            "dtick": 1,
            "tick0": 1,
            "showline": True,
            "linecolor": POOLED,
            "ticks": "outside",
            "zeroline": False,
            "title": {"standoff": 8},
        },
        yaxis={
            "range": [first + count - 0.4, 0],
            "tickvals": list(lines.values()),
            "ticktext": list(lines),
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        showlegend=False,
        height=round(170 + LINE * (first + count)),
        margin={"l": 20, "r": 20, "t": 110, "b": 20},
    )
    return go.Figure(drawn, shown)


def title(across: Across) -> str:
    """Return what the bars say, or that they say nothing."""
    data = counted(len(across.comparisons), "data set")
    if not across.testable:
        return f"Mean ranks over {data}: too few to test"
    differ = f", Friedman p {show_p(across.friedman.p)}" if across.friedman else ""
    return f"Which differ over {data}?{differ}<br><sup>a bar joins strategies that are not told apart</sup>"


def bar(across: Across, group: tuple[str, ...], depth: float) -> go.Scatter:
    """Return a bar with a dot for each strategy of a group; dashed where nothing was tested."""
    return go.Scatter(
        x=[round(across.ranks[name], 3) for name in group],
        y=[depth] * len(group),
        mode="lines+markers",
        line={"color": POOLED, "width": 5, "dash": "solid" if across.testable else "dot"},
        marker={"color": POOLED, "size": 10},
        text=[f"not told apart: {', '.join(group)}"] * len(group),
        hoverinfo="text",
    )


def stem(rank: float, depth: float, colour: str) -> go.Scatter:
    """Return the line from the axis down to the line of a strategy, and to its name."""
    return go.Scatter(
        x=[round(rank, 3)] * 2 + [0.9],
        y=[0, depth, depth],
        mode="lines",
        line={"color": colour, "width": 1.5},
        hoverinfo="skip",
    )


def dot(across: Across, name: str, depth: float, colour: str) -> go.Scatter:
    """Return a strategy's mean rank, with its number."""
    rank = across.ranks[name]
    return go.Scatter(
        x=[round(rank, 3)],
        y=[depth],
        mode="markers+text",
        marker={"color": colour, "size": 10},
        text=[f"{rank:.2f}"],
        textposition="middle right" if rank < len(across.strategies) - 0.4 else "top left",
        name=name,
        hovertext=[f"{name}: mean rank {rank:.2f}"],
        hoverinfo="text",
    )
