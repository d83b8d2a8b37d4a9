"""Validation against epochs for the final runs: mean over seeds, one line per strategy.

The curves show what refinement does: a step upwards where the augmented epochs end.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import plotly.graph_objects as go

from autoaug.record import Record


def figure(records: Sequence[Record], metric: str = "val_accuracy") -> go.Figure:
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.final:
            values[record.strategy][record.epoch].append(record.metrics[metric])
    lines = [
        go.Scatter(x=sorted(by), y=[round(fmean(by[epoch]), 4) for epoch in sorted(by)], name=name, mode="lines")
        for name, by in values.items()
    ]
    axes = {"xaxis_title": "epoch", "yaxis_title": metric}
    return go.Figure(lines, go.Layout(title="Final runs", template="plotly_white", **axes))
