"""Where the seconds went: what the search of each strategy cost, and its final runs.

A search pays for trials that were pruned, failed or were lost as well. Of a strategy with a learner the hyper steps,
which move the policy, are set apart from the training of the network.
"""

from collections import defaultdict
from collections.abc import Mapping

import plotly.graph_objects as go

from autoaug.compare import Comparison
from autoaug.record import TrialKind
from dashboards.style import INK, POOLED, below, layout, listed, looks, named, seconds_of, tall

PARTS: Mapping[str, tuple[str, float]] = {
    "search": ("", 1.0),
    "its hyper steps": ("/", 1.0),
    "pruned": (".", 0.75),
    "failed or lost": ("x", 0.75),
    "running": ("-", 0.75),
    "final runs": ("", 0.4),
    "their hyper steps": ("/", 0.4),
}
"""What is paid for, with the pattern and the opacity of its bars: their colour is that of the strategy."""

STATES = {"COMPLETE": "search", "PRUNED": "pruned", "FAIL": "failed or lost", "RUNNING": "running"}

MOST_ROWS = 40
"""That are drawn, the dearest ones."""


def figure(comparison: Comparison) -> go.Figure:
    """Return a bar per strategy, the dearest above; an empty figure before anything was spent."""
    spent = spent_on(comparison)
    names = sorted(spent, key=lambda name: -sum(spent[name].values()))[:MOST_ROWS]
    if not names:
        return go.Figure()
    look, unit = looks(comparison), seconds_of(comparison)
    drawn: list[go.Bar] = []
    for part, (pattern, opacity) in PARTS.items():
        if not any(spent[name].get(part) for name in names):
            continue
        of_names = filled([look[name].colour for name in names], pattern, opacity)
        seconds = [float(f"{spent[name].get(part, 0.0):.4g}") for name in names]
        bar = {"y": [*range(len(names))], "orientation": "h", "legendgroup": part}
        drawn.append(go.Bar(x=seconds, name=part, marker=of_names, showlegend=False, **bar))
        key = filled(POOLED, pattern, opacity)  # a bar has many colours, its part has none
        drawn.append(go.Bar(x=[None], y=[0], name=part, marker=key, orientation="h", legendgroup=part))
    shown = layout("Where did the seconds go?", unit, "", told(spent, names, unit))
    shown.update(
        barmode="stack",
        bargap=0.35,
        yaxis=listed([named(name) for name in names]),
        xaxis={"rangemode": "tozero"},
        annotations=[total(k, sum(spent[name].values())) for k, name in enumerate(names)],
        **below(len(drawn) // 2, tall(len(names))),
    )
    return go.Figure(drawn, shown)


def filled(colour: str | list[str], pattern: str, opacity: float) -> dict[str, object]:
    """Return how bars are filled: with a colour, and white lines over it where there is a pattern.

    A list of colours is then given as that of the background alone: as that of the bars Plotly would warn of it, or
    draw the lines in it.
    """
    if not pattern:
        return {"color": colour, "opacity": opacity}
    lines = {"fillmode": "replace", "bgcolor": colour, "fgcolor": "#ffffff", "fgopacity": 0.5}
    return {"color": POOLED, "opacity": opacity, "pattern": {"shape": pattern, "solidity": 0.35, "size": 6, **lines}}


def spent_on(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Return what each strategy has spent on each of `PARTS`; those that have spent nothing are left out."""
    spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    share = hyper_shares(comparison)
    for each in comparison.outcomes:
        final = each.kind is TrialKind.FINAL
        if each.gpu_seconds <= 0:
            continue
        part = STATES.get(each.state, "failed or lost")
        if part == "search":
            hyper = each.gpu_seconds * share.get((each.strategy, final), 0.0)
            spent[each.strategy]["their hyper steps" if final else "its hyper steps"] += hyper
            spent[each.strategy]["final runs" if final else "search"] += each.gpu_seconds - hyper
        else:
            spent[each.strategy]["final runs" if final and part == "running" else part] += each.gpu_seconds
    return {name: dict(parts) for name, parts in spent.items()}


def hyper_shares(comparison: Comparison) -> dict[tuple[str, bool], float]:
    """Return which share of its complete trainings a strategy spent on hyper steps, in the search and in final runs.

    Of a large comparison not all epochs are known: then the share is that of the trainings of which they are. Hyper
    steps are timed as the device is, in CPU-seconds or by a GPU's clock; a share of a GPU costs less than its time.
    """
    complete = {
        (each.study, each.substudy, each.trial): each for each in comparison.outcomes if each.state == "COMPLETE"
    }
    counted: dict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for record in comparison.records:
        key = (record.study, record.substudy, record.trial)
        if key in complete:
            of = counted[key]
            of[0] += not record.training
            of[1] += record.gpu_seconds
            whole = record.gpu_seconds if record.device == "cpu" else record.wall_seconds
            if whole > 0:
                of[2] += record.gpu_seconds * min(1.0, record.metrics.get("hyper_seconds", 0.0) / whole)
    sums: dict[tuple[str, bool], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for key, (epochs, seconds, hyper) in counted.items():
        if epochs == complete[key].epochs:
            which = sums[complete[key].strategy, complete[key].kind is TrialKind.FINAL]
            which[0] += seconds
            which[1] += hyper
    return {key: hyper / seconds for key, (seconds, hyper) in sums.items() if seconds > 0 and hyper > 0}


def total(place: int, seconds: float) -> dict[str, object]:
    """Return the sum of a bar, at its end."""
    text = {"text": f"{seconds:,.3g}" if seconds < 1000 else f"{seconds:,.0f}", "showarrow": False}
    return {**text, "x": seconds, "y": place, "xanchor": "left", "xshift": 4, "font": {"size": 11, "color": INK}}


def told(spent: Mapping[str, Mapping[str, float]], names: list[str], unit: str) -> str:
    """Return the sums in words, the dearest strategy first."""
    said = []
    for name in names[:8]:
        parts = ", ".join(f"{part} {spent[name][part]:.3g}" for part in PARTS if spent[name].get(part))
        said.append(f"{name} {sum(spent[name].values()):.3g} ({parts})")
    more = f"; and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{unit} of each strategy: {'; '.join(said)}{more}."
