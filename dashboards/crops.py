"""Accuracy on validation images by how large their objects are shown, one line per strategy.

At 1 images are as they are; at 2 the middle half is cut out and enlarged, at 1/2 the image is shrunk ("HMix and GMix",
scenarios 1 and 2). As `autoaug diagnose` measured it; means over its trainings.
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from autoaug.compare import Comparison
from autoaug.store import Diagnosis
from dashboards.style import last_diagnoses, layout, looks, mean_series, named

MOST_SAID = 8
"""Strategies that are read out."""


def figure(comparison: Comparison) -> go.Figure:
    """Return accuracy against the size of objects; an empty figure where it was not measured."""
    found, look = last_diagnoses(comparison, "crops"), looks(comparison)
    if not found:
        return go.Figure()
    lines = [
        go.Scatter(
            x=list(each[0].series["zoom"]),
            y=mean_series(each, "accuracy"),
            name=named(name),
            mode="lines+markers",
            line={"color": look[name].colour, "dash": look[name].dash},
            marker={"color": look[name].colour, "symbol": look[name].symbol, "size": 8},
        )
        for name, each in found.items()
    ]
    zooms = sorted({zoom for each in found.values() for zoom in each[0].series["zoom"]})
    shown = layout("Are small and large objects known?", "size of objects", "validation accuracy", told(found))
    ticks = {"type": "log", "tickvals": zooms, "ticktext": [f"x {zoom:g}" for zoom in zooms]}
    return go.Figure(lines, shown.update(xaxis=ticks, showlegend=True))


def told(found: Mapping[str, Sequence[Diagnosis]]) -> str:
    """Return in words how well the smallest, the unchanged and the largest objects are known."""
    said = []
    for name, each in list(found.items())[:MOST_SAID]:
        at = dict(zip(each[0].series["zoom"], mean_series(each, "accuracy"), strict=True))
        said.append(
            f"{name} {', '.join(f'{at[zoom]:.2f} at x {zoom:g}' for zoom in sorted({min(at), 1.0, max(at)} & set(at)))}"
        )
    return f"Validation accuracy by the size of objects: {'; '.join(said)}."
