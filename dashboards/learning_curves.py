"""Validation against epochs for the final runs: mean over seeds, one line per strategy.

The curves show what refinement does: a step upwards where the augmented epochs end. A training from scratch with what
a learner found is a line of its own, dashed, in the colour of its strategy. Of a long training evenly spaced epochs are
drawn, the last one among them; trials of the search are not.
"""

from collections import defaultdict
from collections.abc import Collection
from statistics import fmean

import plotly.graph_objects as go

from autoaug.compare import Comparison
from autoaug.record import TrialKind
from dashboards.style import colours, layout

MOST_POINTS = 200
"""Of a line; a page must stay small."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the learning curves of the final runs of a comparison, one line per strategy and training."""
    metric, colour = comparison.metric, colours(comparison)
    values: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in comparison.records:
        if record.kind is TrialKind.FINAL and metric in record.metrics:
            values[record.strategy, record.training][record.epoch].append(record.metrics[metric])
    lines = [
        go.Scatter(
            x=thinned(by),
            y=[round(fmean(by[epoch]), 4) for epoch in thinned(by)],
            name=f"{name} · {training.replace('_', ' ')}" if training else name,
            mode="lines",
            line={"color": colour[name], "dash": "dash" if training else "solid"},
        )
        for (name, training), by in values.items()
    ]
    return go.Figure(lines, layout("Final runs, mean over seeds", "epoch", comparison.label(metric)))


def thinned(epochs: Collection[int]) -> list[int]:
    """Return at most `MOST_POINTS` of some epochs in their order: every k-th, counted from the last one."""
    stride = -(-len(epochs) // MOST_POINTS)
    return sorted(epochs)[::-1][::stride][::-1]
