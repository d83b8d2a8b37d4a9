"""Which strategies differ over several data sets: their mean ranks, with bars over those that are not told apart.

Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", figure 1; the tests are Wilcoxon's signed
ranks of each pair, corrected by Holm, so a bar joins the strategies with a dot on it and not whatever lies between.

It draws a comparison over data sets, so it is no `figure(comparison)`: `autoaug compare` asks for it by its own name.
"""

from html import escape

import plotly.graph_objects as go

from autoaug.compare import Across, across_headline
from autoaug.text import counted, shown
from dashboards.style import POOLED, colours, layout

BAR = 0.5
"""Height of a bar, in lines of strategies."""

LINE = 28
"""Pixels of a line; 150 more hold title and axis."""

MOST_BARS = 20
"""That are drawn, from the best ranks on."""

MOST_LINES = 40
"""Strategies that are drawn, the best ones: a figure must stay readable, and small."""


def diagram(across: Across) -> go.Figure:
    """Return mean ranks along an axis, and a bar for each group of strategies that are not told apart."""
    names = across.strategies[:MOST_LINES]
    if len(names) < 2:
        return go.Figure()
    groups = [group for each in across.cliques if len(group := [name for name in each if name in names]) > 1]
    bars, colour = groups[:MOST_BARS], colours(across.first)
    first = 1 + BAR * len(bars)
    stems = [stem(across, name, first + k, colour[name]) for k, name in enumerate(names)]
    drawn = [*stems, *(bar(across, group, 0.6 + BAR * k) for k, group in enumerate(bars))]
    far = max(across.ranks[name] for name in names)
    title = f"{question(across)}<br><sub>{legend(across)}</sub>"
    shown = layout(title, "mean rank, 1 is best", "")
    shown.update(
        title={"x": 0.02, "xref": "container", "y": 0.97, "yref": "container", "yanchor": "top"},
        xaxis={
            "side": "top",
            "range": [0.9, far + 0.1 * max(1.0, far - 1)],
            "dtick": 1 if far < 12 else 5,
            "tick0": 1,
            "showline": True,
            "linecolor": POOLED,
            "ticks": "outside",
            "zeroline": False,
            "title": {"standoff": 8},
        },
        yaxis={
            "range": [first + len(names) - 0.4, 0],
            "tickvals": [first + k for k in range(len(names))],
            "ticktext": [f"{named(name)}  {across.ranks[name]:.2f}" for name in names],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        showlegend=False,
        height=max(300, round(150 + LINE * (first + len(names)))),
        margin={"l": 20, "r": 20, "t": 115, "b": 20},
        meta={"alt": told(across)},
    )
    return go.Figure(drawn, shown)


def question(across: Across) -> str:
    """Return what the diagram answers, or that it cannot."""
    data = counted(len(across.comparisons), "data set")
    return f"Which strategies differ over {data}?" if across.testable else f"Mean ranks over {data}: too few to test"


def legend(across: Across) -> str:
    """Return what the bars are."""
    return f"a bar joins strategies that are not told apart{'' if across.testable else ': here all'}"


def told(across: Across) -> str:
    """Return the diagram in words."""
    ranks = ", ".join(f"{name} {across.ranks[name]:.2f}" for name in across.strategies[:MOST_LINES])
    groups = "; ".join(", ".join(group) for group in across.cliques[:MOST_BARS]) if across.testable else ""
    return f"{across_headline(across)}. Mean ranks: {ranks}.{f' Not told apart: {groups}.' if groups else ''}"


def named(name: str) -> str:
    """Return a name of which nothing is markup to Plotly."""
    return escape(shown(name, 40), quote=False)


def bar(across: Across, group: list[str], depth: float) -> go.Scatter:
    """Return a bar with a dot for each strategy of a group; dotted where nothing was tested."""
    return go.Scatter(
        x=[round(across.ranks[name], 3) for name in group],
        y=[depth] * len(group),
        mode="lines+markers",
        line={"color": POOLED, "width": 5, "dash": "solid" if across.testable else "dot"},
        marker={"color": POOLED, "size": 10},
        hovertext=f"not told apart: {named(', '.join(group))}",
        hoverinfo="text",
    )


def stem(across: Across, name: str, depth: float, colour: str) -> go.Scatter:
    """Return the line from a strategy's place on the axis down to its dot, and to its name."""
    rank = round(across.ranks[name], 3)
    return go.Scatter(
        x=[rank, rank, 0.9],
        y=[0, depth, depth],
        mode="lines+markers",
        line={"color": colour, "width": 1.5},
        marker={"color": colour, "size": [0, 10, 0], "opacity": 1, "line": {"width": 0}},
        name=named(name),
        hovertext=f"{named(name)}: mean rank {rank:.2f}",
        hoverinfo="text",
    )
