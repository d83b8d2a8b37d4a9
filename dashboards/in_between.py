"""What networks do in between training images: how often they predict neither class, and how steep their loss is there.

Along lam x_i + (1 - lam) x_j for random pairs (Zhang et al. 2018, "mixup", Figure 2), as `autoaug diagnose` measured
it; means over its trainings, refined where they were refined.
"""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from dashboards.style import colours, last_diagnoses, layout, mean_series

PANELS = {"misses": "share of misses", "gradient": "norm of the gradient"}
"""What is drawn, from above, and what stands along its axis."""


def figure(comparison: Comparison) -> go.Figure:
    """Return misses and gradients against the share of the first image, one line per strategy; else an empty figure."""
    found, colour = last_diagnoses(comparison, "in_between"), colours(comparison)
    if not found:
        return go.Figure()
    drawn = make_subplots(rows=len(PANELS), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    drawn.update_layout(layout("In between training images", "", "").update(height=560, legend={"y": -0.15}))
    for row, (series, words) in enumerate(PANELS.items(), start=1):
        for name, each in found.items():
            line = go.Scatter(
                x=list(each[0].series["share"]),
                y=mean_series(each, series),
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                mode="lines+markers",
                line={"color": colour[name]},
            )
            drawn.add_trace(line, row, 1)
        drawn.update_yaxes(title_text=words, rangemode="tozero", row=row, col=1)
    drawn.update_xaxes(title_text="")
    return drawn.update_xaxes(title_text="share of the first image", row=len(PANELS), col=1)
