"""Accuracy on validation images by how large their objects are shown, one line per strategy.

At 1 images are as they are; at 2 the middle half is cut out and enlarged, at 1/2 the image is shrunk ("HMix and GMix",
scenarios 1 and 2). As `autoaug diagnose` measured it; means over its trainings.
"""

import plotly.graph_objects as go

from autoaug.compare import Comparison
from dashboards.style import colours, last_diagnoses, layout, mean_series


def figure(comparison: Comparison) -> go.Figure:
    """Return accuracy against the size of objects; an empty figure where it was not measured."""
    found, colour = last_diagnoses(comparison, "crops"), colours(comparison)
    if not found:
        return go.Figure()
    lines = [
        go.Scatter(
            x=list(each[0].series["zoom"]),
            y=mean_series(each, "accuracy"),
            name=name,
            mode="lines+markers",
            line={"color": colour[name]},
        )
        for name, each in found.items()
    ]
    zooms = sorted({zoom for each in found.values() for zoom in each[0].series["zoom"]})
    shown = layout("Small and large objects", "size of objects", "validation accuracy")
    ticks = {"type": "log", "tickvals": zooms, "ticktext": [f"{zoom:g}" for zoom in zooms]}
    return go.Figure(lines, shown.update(xaxis=ticks))
