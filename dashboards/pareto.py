"""What a better score costs: every trial of every search by its cost, and the front of those that none beats on both.

The line joins the trials for which no other was both better and cheaper, over all strategies. Large hollow marks are
means of final runs, whose score is on the test images: a front is drawn of trials alone, for those are measured alike.
"""

import math
from collections.abc import Sequence
from statistics import fmean

import plotly.graph_objects as go

from autoaug.compare import Comparison, show_value
from autoaug.record import Outcome, TrialKind, complete_by_value, last_attempts
from dashboards.style import INK, Look, below, layout, looks, named, seconds_of, spread, test_scores

MOST_POINTS = 1000
"""Trials that are drawn, those of the front among them."""

WIDE = 20
"""From this ratio of the dearest trial to the cheapest on, the axis of costs is logarithmic."""


def figure(comparison: Comparison) -> go.Figure:
    """Return score against cost, a mark for each trial; an empty figure before the first one has ended."""
    ends = last_attempts(comparison.outcomes)
    trials = [each for each in complete_by_value(ends, comparison.maximize) if not each.proxy and each.gpu_seconds > 0]
    trials = [each for each in trials if each.value is not None and math.isfinite(each.value)]
    trials = [each for each in trials if each.strategy not in comparison.other_data]
    if not trials:
        return go.Figure()
    look, unit, front = looks(comparison), seconds_of(comparison), best_for_cost(trials)
    drawn = [stairs(front, comparison.maximize)]
    for name in comparison.strategies:
        own = [each for each in trials if each.strategy == name]
        few = spread(len(own), max(3, MOST_POINTS * len(own) // len(trials)))
        kept = [own[k] for k in few] + [each for each in front if each.strategy == name]
        if kept:
            drawn.append(marks(list({id(each): each for each in kept}.values()), look[name], named(name)))
    drawn += finals(comparison, look)
    value = comparison.label(comparison.metric)
    shown = layout("What does a better score cost?", f"{unit} of one training", value, told(front, unit, len(trials)))
    shown.update(below(len({each.strategy for each in trials}) + 1))
    costs = [each.gpu_seconds for each in trials]
    if max(costs) / min(costs) > WIDE:
        shown.update(xaxis={"type": "log", "dtick": "D2"})
    return go.Figure(drawn, shown)


def best_for_cost(trials: Sequence[Outcome]) -> list[Outcome]:
    """Return the trials that no other one beats in score at the same cost or less, the cheapest first.

    Args:
        trials: complete, the best one first.
    """
    front: list[Outcome] = []
    for each in trials:  # each is no better than those before it, so it has to be cheaper
        if not front or each.gpu_seconds < front[-1].gpu_seconds:
            front.append(each)
    return front[::-1]


def stairs(front: Sequence[Outcome], maximize: bool) -> go.Scatter:
    """Return the front as steps: what is known to be had for a cost, until a dearer trial is better."""
    return go.Scatter(
        x=[cost(each) for each in front],
        y=[score(each) for each in front],
        name="nothing better for less",
        mode="lines",
        line={"color": INK, "width": 1, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )


def marks(trials: Sequence[Outcome], look: Look, name: str) -> go.Scatter:
    """Return the trials of one strategy."""
    return go.Scatter(
        x=[cost(each) for each in trials],
        y=[score(each) for each in trials],
        name=name,
        legendgroup=named(name, 100),
        mode="markers",
        marker={"color": look.colour, "symbol": look.symbol, "size": 7, "opacity": 0.65},
    )


def finals(comparison: Comparison, look: dict[str, Look]) -> list[go.Scatter]:
    """Return the mean score and the mean cost of the final runs of each strategy."""
    scores, drawn = test_scores(comparison), []
    scores = {name: own for name, own in scores.items() if name not in comparison.other_data}
    for name, own in scores.items():
        costs = [
            each.gpu_seconds
            for each in comparison.outcomes
            if each.strategy == name and each.kind is TrialKind.FINAL and each.state == "COMPLETE"
        ]
        if fmean(costs) <= 0:
            continue
        mark = {"color": look[name].colour, "symbol": f"{look[name].symbol}-open", "size": 15, "line": {"width": 2.5}}
        drawn.append(
            go.Scatter(
                x=[float(f"{fmean(costs):.4g}")],
                y=[round(fmean(own.values()), 4)],
                name=f"{named(name)}, final runs",
                legendgroup=named(name),
                showlegend=False,
                mode="markers",
                marker=mark,
                hovertemplate="%{y} on test, %{x}<extra>final runs</extra>",
            )
        )
    return drawn


def cost(trial: Outcome) -> float:
    """Return the cost of a trial to four digits."""
    return float(f"{trial.gpu_seconds:.4g}")


def score(trial: Outcome) -> float:
    """Return the score of a trial to four decimals."""
    return round(trial.value or 0.0, 4)


def told(front: Sequence[Outcome], unit: str, count: int) -> str:
    """Return in words what is to be had for how much."""
    ends = [front[k] for k in spread(len(front), 5)]
    said = [f"{show_value(each.value)} for {each.gpu_seconds:.3g} by {each.strategy}" for each in ends]
    return f"Of {count} trials none is better and cheaper than these, in {unit}: {'; '.join(said)}."
