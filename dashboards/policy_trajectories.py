"""How a policy moved while it was learned: selection, probability and strength of each operation against epochs.

One column for each stage, one colour for each value (Hataya et al. 2022, MADAO, Figures 3 to 5 have them as lines).
Operations that are all applied one after the other are one stage, and of a range of strengths its farther end is drawn;
what is always 1, as their selection, is left out. Means over the final runs of the first strategy on the leaderboard
whose policy moved. Evenly spaced epochs are drawn.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from dashboards.style import layout, learner_of

PANELS = {"selection": "selection π", "probability": "probability p", "strength": "strength μ"}
"""What is drawn of an operation, from above."""

MOST_EPOCHS, MOST_STAGES, MOST_OPS = 60, 3, 20
"""That are drawn; a page must stay small."""

ROW = 17
"""Pixels of an operation."""

Paths = Mapping[tuple[int, str], Mapping[int, float]]
"""Values by epoch, for each stage and operation."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the trajectories of a learned policy; an empty figure where none was learned of choices of operations."""
    runs = learner_of(comparison)
    paths = {panel: trajectories(runs.values(), panel) for panel in PANELS}
    stages = sorted({stage for stage, _ in paths["selection"]})[:MOST_STAGES]
    if not stages:
        return go.Figure()
    ops = list(dict.fromkeys(op for _, op in paths["selection"]))[:MOST_OPS][::-1]
    panels = [panel for panel in PANELS if panel == "strength" or set(values_of(paths[panel])) != {1.0}]
    titles = [f"{PANELS[panel]}, stage {stage + 1}" for panel in panels for stage in stages]
    drawn = make_subplots(
        rows=len(panels),
        cols=len(stages),
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=titles,
        vertical_spacing=0.07,
        horizontal_spacing=0.03,
    )
    for row, panel in enumerate(panels):
        largest = max(values_of(paths[panel])) if panel == "selection" else 1.0
        for column, stage in enumerate(stages):
            epochs = thinned(sorted({epoch for path in paths[panel].values() for epoch in path}))
            values = [[rounded(paths[panel].get((stage, op), {}).get(epoch)) for epoch in epochs] for op in ops]
            picture = go.Heatmap(
                z=values,
                x=epochs,
                y=ops,
                zmin=0,
                zmax=largest,
                colorscale="Viridis",
                showscale=column == len(stages) - 1,
                colorbar={"len": 0.84 / len(panels), "y": 1 - (0.42 + 1.08 * row) / len(panels), "thickness": 10},
            )
            drawn.add_trace(picture, row + 1, column + 1)
    [name] = {each.strategy for run in runs.values() for each in run}
    shown = layout(f"{name}: the policy while it was learned", "", "")
    drawn.update_layout(shown.update(height=len(panels) * (ROW * len(ops) + 35) + 105, margin={"t": 70}))
    drawn.update_annotations(font_size=11)
    drawn.update_yaxes(title_text="", automargin=True, tickfont_size=10, dtick=1).update_xaxes(title_text="")
    return drawn.update_xaxes(title_text="epoch", row=len(panels))


def trajectories(runs: Any, panel: str) -> Paths:
    """Return the means over runs of one value of every stage and operation, by epoch."""
    found: dict[tuple[int, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for record in run:
            for stage, op, values in stages_of(record.policy["root"]):
                found[stage, op][record.epoch].append(values[panel])
    return {key: {epoch: fmean(each) for epoch, each in path.items()} for key, path in found.items()}


def values_of(paths: Paths) -> Iterator[float]:
    """Yield all values that are drawn of a panel."""
    return (value for path in paths.values() for value in path.values())


def stages_of(root: Mapping[str, Any]) -> Iterator[tuple[int, str, dict[str, float]]]:
    """Yield stage, operation and values of a stored policy that is a sequence of operations and choices of them."""
    nodes, stage = root["nodes"] if root["kind"] == "sequence" else [root], -1
    for before, node in zip([None, *nodes], nodes, strict=False):
        if node["kind"] == "apply":
            stage += before is None or before["kind"] != "apply"
            yield stage, node["op"], {"selection": 1.0, **applied(node)}
        elif node["kind"] == "choice":
            stage, total = stage + 1, sum(option["weight"] for option in node["options"])
            for option in node["options"]:
                each, selection = option["node"], option["weight"] / total
                if each["kind"] == "apply":
                    yield stage, each["op"], {"selection": selection, **applied(each)}


def applied(node: Mapping[str, Any]) -> dict[str, float]:
    """Return the probability and the strength of an operation, of a range the end that is farther from nothing."""
    ends = node["strength"] if isinstance(node["strength"], list) else [node["strength"]]
    return {"probability": node["probability"], "strength": max(abs(end) for end in ends)}


def thinned(epochs: list[int]) -> list[int]:
    """Return at most `MOST_EPOCHS` of some epochs in their order: every k-th, counted from the last one."""
    return epochs[::-1][:: -(-len(epochs) // MOST_EPOCHS)][::-1] if epochs else []


def rounded(value: float | None) -> float | None:
    """Return a value as it is drawn; None where the epoch has none."""
    return None if value is None else round(value, 4)
