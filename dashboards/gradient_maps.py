"""How the gradients of pixels at an offset go together: one map per strategy, by its largest product.

Dark beside the middle: pixels that far apart do not act together. "HMix and GMix", Figure 4, as `autoaug diagnose`
measured it; means over its trainings.
"""

from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from autoaug.store import Diagnosis
from dashboards.style import last_diagnoses, layout

COLUMNS, MOST = 2, 8
"""Maps in a row, as many as a narrow page has room for, and maps that are drawn."""

SIDE = 210
"""Pixels of a row."""


def figure(comparison: Comparison) -> go.Figure:
    """Return a map of gradient products for each strategy; an empty figure where none was measured."""
    found = dict(list(last_diagnoses(comparison, "gradient_map").items())[:MOST])
    if not found:
        return go.Figure()
    rows = -(-len(found) // COLUMNS)
    drawn = make_subplots(rows=rows, cols=COLUMNS, subplot_titles=list(found), vertical_spacing=0.25 / rows)
    for k, each in enumerate(found.values()):
        pixels = mean_map(each)
        reach = len(pixels) // 2
        offsets = list(range(-reach, reach + 1))
        picture = go.Heatmap(
            z=pixels, x=offsets, y=offsets, zmin=0, zmax=1, colorscale="Viridis", showscale=k == 0, hoverinfo="x+y+z"
        )
        row, column = divmod(k, COLUMNS)
        drawn.add_trace(picture, row + 1, column + 1)
    shown = layout("Products of gradients, by offset in pixels", "", "").update(height=SIDE * rows + 110)
    return drawn.update_layout(shown).update_xaxes(title_text="").update_yaxes(title_text="")


def mean_map(found: list[Diagnosis]) -> list[list[float]]:
    """Return the mean over trainings of a map."""
    maps = [each.series["map"] for each in found]
    return [[round(fmean(cells), 3) for cells in zip(*rows, strict=True)] for rows in zip(*maps, strict=True)]
