"""How the learners fared, epoch by epoch: their hypergradients, what these cost, and whether they point anywhere.

    norm       of the last hypergradient of an epoch, on a logarithmic axis: it is large where the policy still moves
    seconds    that all updates of an epoch took
    skipped    updates up to the epoch that were left out, as their hypergradient was no number; drawn where any was
    cosine     with finite differences of the bilevel objective, in [-1, 1]: 1 where the hypergradient points where
               training says. It is known to about ± 0.25, costs 320 steps of training each time, and is there where the
               learner was asked for it (`Updates.diagnose`); an epoch has the last one that was measured

Means over the final runs, while they learn; one line for each strategy with a learner.
"""

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from autoaug.record import TrialKind
from dashboards.style import HAIR, POOLED, layout, looks, named

PANELS = {
    "hypergradient_norm": "norm",
    "hyper_seconds": "seconds",
    "hyper_skipped": "updates skipped",
    "hypergradient_cosine": "cosine",
}
"""What is drawn, from above, and what stands along its axis."""

MOST_STRATEGIES, MOST_NUMBERS = 8, 2_400
"""Lines of a panel, and numbers of all lines together; a page must stay small."""

PANEL = 150
"""Pixels of a panel."""

Courses = Mapping[str, Mapping[int, float]]
"""Means over runs by epoch, for each strategy."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the course of hypergradients; an empty figure where no final run has a learner that has moved."""
    found = {name: courses(comparison, name) for name in PANELS}
    if not found["hypergradient_norm"]:
        return go.Figure()
    if not any(value for course in found["hyper_skipped"].values() for value in course.values()):
        found["hyper_skipped"] = {}
    panels = [name for name in PANELS if found[name]]
    look = looks(comparison)
    drawn = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.14 / len(panels))
    lines = sum(len(found[panel]) for panel in panels)
    for row, panel in enumerate(panels, start=1):
        for name, course in found[panel].items():
            epochs = thinned(list(course), max(10, MOST_NUMBERS // (2 * lines)))
            line = go.Scatter(
                x=epochs,
                y=[float(f"{course[epoch]:.3g}") for epoch in epochs],
                name=named(name),
                legendgroup=named(name, 100),
                showlegend=row == 1,
                mode="lines+markers",
                line={"color": look[name].colour, "dash": look[name].dash},
                marker={"color": look[name].colour, "symbol": look[name].symbol, "size": 7, "maxdisplayed": 8},
            )
            drawn.add_trace(line, row, 1)
    height = PANEL * len(panels) + 170
    shown = layout("Do the learners still move?", "", "", told(found))
    drawn.update_layout(shown.update(height=height, showlegend=True, legend={"y": -70 / (height - 120)}))
    drawn.update_xaxes(title_text="", gridcolor=HAIR, zeroline=False)
    drawn.update_yaxes(gridcolor=HAIR, zerolinecolor=POOLED, automargin=True)
    for row, panel in enumerate(panels, start=1):
        drawn.update_yaxes(title_text=PANELS[panel], rangemode="tozero", row=row)
    drawn.update_yaxes(type="log", nticks=5, tickformat=".1g", row=1)
    if "hypergradient_cosine" in panels:
        drawn.update_yaxes(range=[-1.05, 1.05], row=len(panels))
    return drawn.update_xaxes(title_text="epoch", row=len(panels))


def courses(comparison: Comparison, metric: str) -> Courses:
    """Return the mean over the final runs of each strategy of what its learner told, while it learned."""
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in comparison.records:
        learning = each.kind is TrialKind.FINAL and not each.training and each.phase == "augment"
        if learning and metric in each.metrics:
            values[each.strategy][each.epoch].append(each.metrics[metric])
    ranked = dict.fromkeys([*(row.name for row in comparison.rows), *comparison.strategies])
    names = [name for name in ranked if name in values][:MOST_STRATEGIES]
    return {name: {epoch: fmean(values[name][epoch]) for epoch in sorted(values[name])} for name in names}


def thinned(epochs: list[int], most: int) -> list[int]:
    """Return at most so many of some epochs in their order: every k-th, counted from the last one."""
    return epochs[::-1][:: -(-len(epochs) // most)][::-1]


def told(found: Mapping[str, Courses]) -> str:
    """Return in words how the norm went, what the updates took, and the mean cosine."""
    said = []
    for name, norm in found["hypergradient_norm"].items():
        first, last = norm[min(norm)], norm[max(norm)]
        took, pointed = found["hyper_seconds"].get(name, {}), found["hypergradient_cosine"].get(name, {})
        cosine = f", with a mean cosine of {fmean(pointed.values()):.2f}" if pointed else ""
        said.append(f"{name} from {first:.2g} to {last:.2g} in {sum(took.values()):.3g} seconds{cosine}")
    skipped = "" if found["hyper_skipped"] else " No update was skipped."
    return f"Norm of the hypergradient, from the first epoch with one to the last: {', '.join(said)}.{skipped}"
