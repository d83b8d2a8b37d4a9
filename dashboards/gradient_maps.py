"""How the gradients of pixels at an offset go together: one map per strategy, by its largest product.

Dark beside the middle: pixels that far apart do not act together. "HMix and GMix", Figure 4, as `autoaug diagnose`
measured it; means over its trainings.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from autoaug.store import Diagnosis
from dashboards.style import last_diagnoses, layout, named

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
    drawn = make_subplots(
        rows=rows, cols=COLUMNS, subplot_titles=[named(name, 20) for name in found], vertical_spacing=0.25 / rows
    )
    for k, each in enumerate(found.values()):
        pixels = mean_map(each)
        reach = len(pixels) // 2
        offsets = list(range(-reach, reach + 1))
        picture = go.Heatmap(
            z=pixels,
            x=offsets,
            y=offsets,
            zmin=0,
            zmax=1,
            colorscale="Viridis",
            showscale=k == 0,
            colorbar={"thickness": 10, "outlinewidth": 0},
            hovertemplate="offset %{x}, %{y}: %{z}<extra></extra>",
        )
        row, column = divmod(k, COLUMNS)
        drawn.add_trace(picture, row + 1, column + 1)
    shown = layout("Which pixels act together?", "", "", told(found))
    subtitle = {"text": "products of gradients of two pixels, by their offset in pixels", "font": {"size": 11}}
    drawn.update_layout(shown.update(height=SIDE * rows + 120, margin={"t": 90, "l": 40}, title={"subtitle": subtitle}))
    drawn.update_annotations(font_size=12)
    for axis in drawn.select_yaxes():
        axis.update(scaleanchor=axis.anchor, constrain="domain")
    drawn.update_xaxes(title_text="", showgrid=False, zeroline=False, constrain="domain")
    return drawn.update_yaxes(title_text="", showgrid=False, zeroline=False)


def told(found: Mapping[str, Sequence[Diagnosis]]) -> str:
    """Return in words how much is beside the middle."""
    beside = {name: [fmean(map(fmean, each.series["map"])) for each in of_name] for name, of_name in found.items()}
    said = ", ".join(f"{name} {fmean(each):.3f}" for name, each in beside.items())
    return f"Products of the gradients of two pixels by their offset, 1 at the largest. Mean over the map: {said}."


def mean_map(found: list[Diagnosis]) -> list[list[float]]:
    """Return the mean over trainings of a map."""
    maps = [each.series["map"] for each in found]
    return [[round(fmean(cells), 3) for cells in zip(*rows, strict=True)] for rows in zip(*maps, strict=True)]
