"""What the figures share: one colour per strategy in all of them, and axes that say what they show."""

import plotly.graph_objects as go
from plotly.colors import qualitative

from autoaug.compare import Comparison

POOLED = "#57606a"
"""Grey: of no strategy in particular."""


def colours(comparison: Comparison) -> dict[str, str]:
    """Return a colour for each strategy, by the order in which a study defines them."""
    return {name: qualitative.D3[k % len(qualitative.D3)] for k, name in enumerate(comparison.strategies)}


def pale(colour: str, opacity: float) -> str:
    """Return a colour of the table as one can see through it; `opacity` in [0, 1]."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def layout(title: str, x: str, y: str) -> go.Layout:
    """Return what the figures share: white, with the legend below, for beside the figure it would take room from it."""
    return go.Layout(
        title={"text": title, "font": {"size": 14}},
        template="plotly_white",
        xaxis_title=x,
        yaxis_title=y,
        legend={"orientation": "h", "yanchor": "top", "y": -0.2},
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        hovermode="closest",
    )
