"""Best validation value so far, against all that a search had spent by then: one line per strategy."""

from collections.abc import Sequence

import plotly.graph_objects as go

from autoaug.compare import anytime
from autoaug.record import Record


def figure(records: Sequence[Record], metric: str = "val_accuracy") -> go.Figure:
    steps = anytime(records, metric, maximize="nll" not in metric)
    names = list(dict.fromkeys(step.strategy for step in steps))
    lines = [
        go.Scatter(
            x=[round(step.gpu_seconds, 2) for step in steps if step.strategy == name],
            y=[round(step.best, 4) for step in steps if step.strategy == name],
            name=name,
            mode="lines",
            line_shape="hv",  # what is known stays known until something better is found
        )
        for name in names
    ]
    unit = "GPU" if any(record.device == "cuda" for record in records) else "CPU"
    axes = {"xaxis_title": f"{unit}-seconds spent", "yaxis_title": f"best {metric}"}
    return go.Figure(lines, go.Layout(title="Anytime", template="plotly_white", **axes))
