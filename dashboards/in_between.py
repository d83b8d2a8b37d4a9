"""What networks do in between training images: how often they predict neither class, and how steep their loss is there.

Along lam x_i + (1 - lam) x_j for random pairs (Zhang et al. 2018, "mixup", Figure 2), as `autoaug diagnose` measured
it; means over its trainings, refined where they were refined.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from autoaug.store import Diagnosis
from dashboards.style import HAIR, POOLED, last_diagnoses, layout, looks, mean_series, named

MOST_SAID = 8
"""Strategies that are read out."""

PANELS = {"misses": "share of misses", "gradient": "norm of the gradient"}
"""What is drawn, from above, and what stands along its axis."""


def figure(comparison: Comparison) -> go.Figure:
    """Return misses and gradients against the share of the first image, one line per strategy; else an empty figure."""
    found, look = last_diagnoses(comparison, "in_between"), looks(comparison)
    if not found:
        return go.Figure()
    drawn = make_subplots(rows=len(PANELS), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    shown = layout("What happens between two images?", "", "", told(found))
    drawn.update_layout(shown.update(height=560, legend={"y": -0.15}, showlegend=True))
    for row, (series, words) in enumerate(PANELS.items(), start=1):
        for name, each in found.items():
            line = go.Scatter(
                x=list(each[0].series["share"]),
                y=mean_series(each, series),
                name=named(name),
                legendgroup=named(name, 100),
                showlegend=row == 1,
                mode="lines+markers",
                line={"color": look[name].colour, "dash": look[name].dash},
                marker={"color": look[name].colour, "symbol": look[name].symbol, "size": 7},
            )
            drawn.add_trace(line, row, 1)
        drawn.update_yaxes(title_text=words, rangemode="tozero", row=row, col=1)
    drawn.update_xaxes(title_text="", gridcolor=HAIR, zerolinecolor=POOLED)
    drawn.update_yaxes(gridcolor=HAIR, zerolinecolor=POOLED, automargin=True)
    return drawn.update_xaxes(title_text="share of the first image", row=len(PANELS), col=1)


def told(found: Mapping[str, Sequence[Diagnosis]]) -> str:
    """Return in words the means along the way."""
    means = {name: [fmean(mean_series(each, series)) for series in PANELS] for name, each in found.items()}
    said = [f"{name} misses {100 * miss:.1f} %, gradient {norm:.3g}" for name, (miss, norm) in means.items()]
    return f"Means between pairs of training images: {'; '.join(said[:MOST_SAID])}."
