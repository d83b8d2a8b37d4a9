"""How a policy moved while it was learned: selection, probability and strength of each operation against epochs.

One column for each stage, one row for each operation (Hataya et al. 2022, MADAO, Figures 3 to 5 have them as lines).
Operations that are all applied one after the other are one stage, and of a range of strengths its farther end is drawn;
what is always 1, as their selection, is left out. Means over the final runs of the first strategy on the leaderboard
whose policy moved. Evenly spaced epochs are drawn, fewer of a policy with many operations.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from dashboards.style import layout, learner_of, named
from dashboards.trees import met, options, physical

PANELS = {"selection": "selection π", "probability": "probability p", "strength": "strength μ"}
"""What is drawn of an operation, from above."""

MOST_EPOCHS, MOST_STAGES, MOST_OPS, MOST_CELLS = 60, 3, 20, 2_800
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
    names = {op: f"{op} {reach}".strip() for op, reach in reaches(runs.values()).items()}
    paths["strength"] = {key: path for key, path in paths["strength"].items() if key[1] in names}
    panels = [panel for panel in PANELS if panel == "strength" or set(values_of(paths[panel])) != {1.0}]
    most = min(MOST_EPOCHS, MOST_CELLS // (len(panels) * len(stages) * len(ops)))
    titles = [f"{PANELS[panel]}, stage {stage + 1}" for panel in panels for stage in stages]
    height = len(panels) * (ROW * len(ops) + 35) + 125
    drawn = make_subplots(
        rows=len(panels),
        cols=len(stages),
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=titles,
        vertical_spacing=min(0.5 / len(panels), 45 / height),
        horizontal_spacing=0.03,
    )
    for row, panel in enumerate(panels):
        largest = max(values_of(paths[panel])) if panel == "selection" else 1.0
        for column, stage in enumerate(stages):
            epochs = thinned(sorted({epoch for path in paths[panel].values() for epoch in path}), most)
            values = [[rounded(paths[panel].get((stage, op), {}).get(epoch)) for epoch in epochs] for op in ops]
            picture = go.Heatmap(
                z=values,
                x=epochs,
                y=ops,
                zmin=0,
                zmax=largest,
                colorscale="Viridis",
                hovertemplate=f"%{{y}}, epoch %{{x}}: {PANELS[panel]} %{{z}}<extra></extra>",
                showscale=column == len(stages) - 1,
                colorbar={"thickness": 10, "outlinewidth": 0},
            )
            drawn.add_trace(picture, row + 1, column + 1)
    for row in range(len(panels)):  # each beside its panel
        bottom, top = drawn.get_subplot(row + 1, len(stages)).yaxis.domain
        drawn.update_traces(colorbar={"len": top - bottom, "y": (top + bottom) / 2}, row=row + 1, col=len(stages))
    [name] = {each.strategy for run in runs.values() for each in run}
    shown = layout(f"What did {named(name, 20)} learn?", "", "", told(name, paths))
    shown.update(height=height, margin={"t": 85})
    drawn.update_layout(shown)
    drawn.update_layout(title_subtitle={"text": "strength: of the amount beside the operation", "font": {"size": 11}})
    drawn.update_annotations(font_size=11)
    drawn.update_yaxes(title_text="", automargin=True, tickfont_size=10, dtick=1, showgrid=False, zeroline=False)
    drawn.update_xaxes(title_text="", showgrid=False, zeroline=False)
    drawn.update_yaxes(tickvals=ops, ticktext=[names.get(op, op) for op in ops], row=panels.index("strength") + 1)
    return drawn.update_xaxes(title_text="epoch", row=len(panels))


def told(name: str, paths: Mapping[str, Paths]) -> str:
    """Return in words what the policy looked like in its last epoch: the operation chosen most in each stage."""
    last = {key: path[max(path)] for key, path in paths["selection"].items()}
    epochs = len({epoch for path in paths["selection"].values() for epoch in path})
    said = []
    for stage in sorted({stage for stage, _ in last})[:MOST_STAGES]:
        of_stage = {op: share for (at, op), share in last.items() if at == stage}
        if set(of_stage.values()) == {1.0}:  # applied one after the other: the strongest says most
            of_stage = {op: max(paths["strength"].get((stage, op), {0: 0.0}).items())[1] for op in of_stage}
        op = max(of_stage, key=lambda op: of_stage[op])
        strength = paths["strength"].get((stage, op))
        chosen = f"is chosen for {last[stage, op]:.0%} of the images" if last[stage, op] < 1 else "goes farthest"
        far = f", at strength {strength[max(strength)]:.2f}" if strength else ""
        said.append(f"{op} {chosen} in stage {stage + 1}{far}")
    return f"The policy of {name} over {epochs} epochs. In the last one {'; '.join(said)}."


def reaches(runs: Any) -> dict[str, str]:
    """Return the physical amount at strength 1 of each operation that has a strength, as one reads it.

    It is empty where it cannot be told, for a learned strength has become 0.
    """
    last = [run[-1].policy["root"] for run in runs if run]
    nodes = [each for root in last if root["kind"] != "schedule" for each in met(root)]
    return {each.op: physical(each.most, each.unit) for each in nodes if each.amount is not None}


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
            stage += 1
            for selection, each in options(node):
                if each["kind"] == "apply":
                    yield stage, each["op"], {"selection": selection, **applied(each)}


def applied(node: Mapping[str, Any]) -> dict[str, float]:
    """Return the probability and the strength of an operation, of a range the end that is farther from nothing."""
    ends = node["strength"] if isinstance(node["strength"], list) else [node["strength"]]
    return {"probability": node["probability"], "strength": max(abs(end) for end in ends)}


def thinned(epochs: list[int], most: int) -> list[int]:
    """Return at most so many of some epochs in their order: every k-th, counted from the last one."""
    return epochs[::-1][:: -(-len(epochs) // most)][::-1] if epochs else []


def rounded(value: float | None) -> float | None:
    """Return a value as it is drawn; None where the epoch has none."""
    return None if value is None else round(value, 3)
