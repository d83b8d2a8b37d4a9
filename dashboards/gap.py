"""How far apart the losses of a network are on augmented and on clean images, before refinement and after it.

A bar from the loss on clean training images to that on images as a training step sees them, for each strategy: above,
hollow, at the end of the augmented epochs, and below, filled, after refinement, when a step sees the standard
augmentation only (He et al. 2019, "Data Augmentation Revisited", Table 2). `autoaug diagnose` measures both with the
weights of one moment.

Where it was not run, the epochs have something like it: the training loss, which is the mean over an epoch while the
weights move, and the validation loss, of the last augmented and of the last refined epoch of the final runs. The line
below the title says which of the two is drawn. Means over trainings.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean

import plotly.graph_objects as go

from autoaug.compare import Comparison, present_diagnoses
from autoaug.record import Record, TrialKind
from dashboards.style import POOLED, colours, layout, listed, named

MOST_STRATEGIES, MOST_SAID = 20, 8
"""That are drawn, and that are read out: the first on the leaderboard."""

MEASURED = {"as trained": "as a step sees them", "clean": "clean"}
NOTED = {"train_loss": "training", "val_nll": "validation"}
"""Losses that are drawn, from the diagnostic and from epochs, and how the legend calls them."""

FROM = {
    "as trained": "cross-entropy on training images, by autoaug diagnose",
    "train_loss": "training and validation loss of the last epochs, not diagnosed",
}
"""What stands below the title, by the first of the losses."""

PHASES = {"augment": "before refinement", "refine": "after refinement"}
SYMBOLS = (("diamond-open", "circle-open"), ("diamond", "circle"))
"""Of the losses, for each phase."""

Losses = Mapping[tuple[str, str], float]
"""Means over trainings in nats, by loss and phase."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the losses of each strategy before and after refinement; an empty figure where none is known."""
    kinds, found = MEASURED, diagnosed(comparison)
    if not found:
        kinds, found = NOTED, noted(comparison)
    if not found:
        return go.Figure()
    ranked = dict.fromkeys([*(row.name for row in comparison.rows), *comparison.strategies])
    names = [name for name in ranked if name in found][:MOST_STRATEGIES]
    colour = colours(comparison)
    marks = [mark for row, name in enumerate(names) for mark in bars(found[name], kinds, row, colour[name], name)]
    shown = layout(
        "How far apart are the losses?", "loss, nats", "", told({name: found[name] for name in names}, kinds)
    )
    shown.update(
        height=44 * len(names) + 270,
        margin={"t": 80},
        title={"subtitle": {"text": FROM[next(iter(kinds))], "font": {"size": 11}}},
        yaxis={**listed([named(name) for name in names]), "zeroline": False},
        legend={"y": -80 / (44 * len(names) + 130)},
    )
    if min(loss for losses in found.values() for loss in losses.values()) > 0:
        shown.update(xaxis={"type": "log", "nticks": 6})
    return go.Figure([*marks, *explained(kinds, found)], shown)


def diagnosed(comparison: Comparison) -> dict[str, Losses]:
    """Return what the diagnostic of the cross-entropy found, by strategy."""
    values: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in present_diagnoses(comparison.diagnoses):
        for loss in MEASURED if each.diagnostic == "cross_entropy" else []:
            if loss in each.values:
                values[each.strategy][loss, each.phase].append(each.values[loss])
    return means(values)


def noted(comparison: Comparison) -> dict[str, Losses]:
    """Return the losses of the last augmented and of the last refined epoch of the final runs, by strategy."""
    last: dict[tuple[str, str, int, str], Record] = {}
    for each in comparison.records:
        if each.kind is TrialKind.FINAL and not each.training and set(NOTED) <= set(each.metrics):
            key = each.study, each.strategy, each.trial, each.phase
            last[key] = max(last.get(key, each), each, key=lambda record: record.epoch)
    values: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in last.values():
        for loss in NOTED:
            values[each.strategy][loss, each.phase].append(each.metrics[loss])
    return means(values)


def means(values: Mapping[str, Mapping[tuple[str, str], list[float]]]) -> dict[str, Losses]:
    """Return the means over trainings."""
    return {name: {key: fmean(each) for key, each in found.items()} for name, found in values.items()}


def bars(found: Losses, kinds: Mapping[str, str], row: int, colour: str, name: str) -> Iterator[go.Scatter]:
    """Yield the bar between the losses of a strategy for each phase."""
    for k, (phase, when) in enumerate(PHASES.items()):
        losses = [(loss, symbol) for loss, symbol in zip(kinds, SYMBOLS[k], strict=True) if (loss, phase) in found]
        if losses:
            yield go.Scatter(
                x=[round(found[loss, phase], 5) for loss, _ in losses],
                y=[row - 0.16 + 0.32 * k] * len(losses),
                mode="lines+markers",
                line={"color": colour, "width": 1 + 2 * k},
                marker={"color": colour, "size": 10, "symbol": [symbol for _, symbol in losses], "line": {"width": 2}},
                customdata=[f"{kinds[loss]}, {when}" for loss, _ in losses],
                hovertemplate=f"{named(name)}, %{{customdata}}: %{{x}}<extra></extra>",
                showlegend=False,
            )


def explained(kinds: Mapping[str, str], found: Mapping[str, Losses]) -> Iterator[go.Scatter]:
    """Yield what the legend says of the marks: marks without a place."""
    there = {key for losses in found.values() for key in losses}
    for k, (phase, when) in enumerate(PHASES.items()):
        for (loss, words), symbol in zip(kinds.items(), SYMBOLS[k], strict=True):
            if (loss, phase) in there:
                marker = {"color": POOLED, "size": 10, "symbol": symbol, "line": {"width": 2}}
                yield go.Scatter(x=[None], y=[None], name=f"{words}, {when}", mode="markers", marker=marker)


def told(found: Mapping[str, Losses], kinds: Mapping[str, str]) -> str:
    """Return in words what the losses of the first strategies are."""
    said = []
    for name, losses in list(found.items())[:MOST_SAID]:
        at = [[f"{losses[loss, phase]:.3g}" for loss in kinds if (loss, phase) in losses] for phase in PHASES]
        said.append(f"{name} {', then '.join(' and '.join(each) for each in at if each)}")
    first, second = kinds.values()
    return f"Losses in nats, {first} and {second}, before and then after refinement: {'; '.join(said)}."
