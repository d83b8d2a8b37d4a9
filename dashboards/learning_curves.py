"""How the final runs trained: the validation score above, training and validation loss below, against epochs.

Lines are means over seeds, and where there are several and few strategies a band reaches from the worst seed to the
best. The training loss is that of the images that the network saw: augmented ones until refinement begins, dashed, and
clean ones from there on, dotted; where refinement is shaded. So it is not to be read across that border, while the
validation loss, solid, is. A training from scratch with what a learner found is a line of the upper panel, dashed.

Of a long training evenly spaced epochs are drawn, fewer of many strategies, the last one of each phase among them; of
many strategies the first on the leaderboard, and the baseline; trials of the search are not.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoaug.compare import Comparison
from autoaug.record import Record, TrialKind
from dashboards.style import HAIR, POOLED, layout, looks, named, pale

MOST_POINTS, MOST_NUMBERS = 200, 2_000
"""Of a line, and of all lines together; a page must stay small."""

MOST_STRATEGIES, MOST_BANDS = 8, 4
"""That are drawn, and up to which bands do not cover each other."""

DASHES = {"": "solid", "augment": "dash", "refine": "dot"}
"""Of validation, of the training loss until refinement, and of that while refining."""


class Course(NamedTuple):
    """Hold one metric of the trainings of a strategy: its mean over seeds, and that of the worst and the best seed."""

    epochs: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    runs: int


def figure(comparison: Comparison) -> go.Figure:
    """Return the learning curves of the final runs of a comparison; an empty figure where none has ended an epoch."""
    metric, names = comparison.metric, drawn_strategies(comparison)
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for each in comparison.records:
        if each.kind is TrialKind.FINAL and each.strategy in names and metric in each.metrics:
            found[each.strategy, each.training].append(each)
    if not found:
        return go.Figure()
    learned = [each for records in found.values() for each in records if "train_loss" in each.metrics]
    two, phases = bool(learned), {each.phase for each in learned}
    drawn = make_subplots(rows=1 + two, cols=1, shared_xaxes=True, vertical_spacing=0.05)
    banded, most = len(names) <= MOST_BANDS, points(len(found), len(names), len(phases))
    for (name, training), records in sorted(found.items(), key=lambda each: names.index(each[0][0])):
        colour, symbol, _ = looks(comparison)[name]  # dashes tell losses apart
        title = f"{named(name)} · {training.replace('_', ' ')}" if training else named(name)
        marker = {"symbol": symbol, "size": 7, "maxdisplayed": 8, "color": colour}
        style = {"name": title, "legendgroup": named(name, 100), "marker": marker}
        score = course(records, metric, most)
        if banded and score.runs > 1:
            drawn.add_trace(band(score, pale(colour, 0.2), name), 1, 1)
        drawn.add_trace(curve(score, style, colour, "dash" if training else "solid"), 1, 1)
        if two and not training:
            courses: dict[str, Course] = {"": course(records, "val_nll", most)}
            for phase in phases:
                courses[phase] = course([each for each in records if each.phase == phase], "train_loss", most)
            for kind, loss in courses.items():
                if loss.epochs:
                    drawn.add_trace(curve(loss, style, colour, DASHES[kind]).update(showlegend=False), 2, 1)
    shown = layout("How did the final runs train?", "", "", told(comparison, found))
    shown.update(height=640 if two else 440, showlegend=True, legend={"y": -0.1 if two else -0.2})
    drawn.update_layout(shown)
    shade(drawn, found.values())
    for line in explained(phases) if two else []:
        drawn.add_trace(line, 2, 1)
    drawn.update_xaxes(title_text="", gridcolor=HAIR, zeroline=False)
    drawn.update_yaxes(gridcolor=HAIR, zeroline=False, automargin=True)
    drawn.update_yaxes(title_text=comparison.label(metric), row=1)
    if two:
        drawn.update_yaxes(title_text="loss, nats", type="log", nticks=6, row=2)
    return drawn.update_xaxes(title_text="epoch", row=1 + two)


def drawn_strategies(comparison: Comparison) -> list[str]:
    """Return the first strategies on the leaderboard, and the baseline among them."""
    ranked = list(dict.fromkeys([*(row.name for row in comparison.rows), *comparison.strategies]))
    first = ranked[:MOST_STRATEGIES]
    return first if comparison.baseline in first else [*first[:-1], comparison.baseline]


def points(trainings: int, strategies: int, phases: int) -> int:
    """Return of how many epochs a line is drawn, so that all lines together stay small."""
    numbers = 2 * trainings * (3 if strategies <= MOST_BANDS else 1) + 2 * strategies * (1 + phases) * (phases > 0)
    return max(10, min(MOST_POINTS, MOST_NUMBERS // numbers))


def course(records: Sequence[Record], metric: str, most: int) -> Course:
    """Return the mean and the ends of a metric over some trainings, at evenly spaced epochs."""
    values: dict[int, list[float]] = defaultdict(list)
    for each in records:
        if metric in each.metrics:
            values[each.epoch].append(each.metrics[metric])
    last = {max(by) for phase in ("augment", "refine") if (by := [e.epoch for e in records if e.phase == phase])}
    epochs = sorted({*thinned(values, most), *(last & set(values))})
    shown = [values[epoch] for epoch in epochs]
    return Course(
        epochs,
        [round(fmean(each), 4) for each in shown],
        [round(min(each), 4) for each in shown],
        [round(max(each), 4) for each in shown],
        max(map(len, shown), default=0),
    )


def thinned(epochs: Collection[int], most: int = MOST_POINTS) -> list[int]:
    """Return at most so many of some epochs in their order: every k-th, counted from the last one."""
    stride = -(-len(epochs) // most)
    return sorted(epochs)[::-1][::stride][::-1] if epochs else []


def curve(course: Course, style: Mapping[str, Any], colour: str, dash: str) -> go.Scatter:
    """Return a line with a few marks, that tell strategies apart without their colours."""
    line = {"color": colour, "dash": dash, "width": 2}
    return go.Scatter(x=course.epochs, y=course.mean, mode="lines+markers", line=line, **style)


def band(course: Course, colour: str, group: str) -> go.Scatter:
    """Return what lies between the lowest and the highest seed."""
    return go.Scatter(
        x=[*course.epochs, *course.epochs[::-1]],
        y=[*course.high, *course.low[::-1]],
        fill="toself",
        fillcolor=colour,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=named(group, 100),
    )


def shade(drawn: go.Figure, trainings: Iterable[Sequence[Record]]) -> None:
    """Shade the epochs in which a training is refined, if one is."""
    refined = [each.epoch for records in trainings for each in records if each.phase == "refine"]
    if refined:
        first, last = min(refined) - 0.5, max(refined) + 0.5
        drawn.add_vrect(x0=first, x1=last, fillcolor=POOLED, opacity=0.15, line_width=0, layer="below")
        above = {"y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False, "font": {"size": 11}}
        drawn.add_annotation(x=last, xanchor="right", text="refinement", **above)


def explained(phases: Collection[str]) -> Iterator[go.Scatter]:
    """Yield what the legend says of dashes: lines without points."""
    words = {"": "validation", "augment": "training, augmented images", "refine": "training, clean images"}
    for kind in ["", *(phase for phase in ("augment", "refine") if phase in phases)]:
        line = {"color": POOLED, "dash": DASHES[kind]}
        yield go.Scatter(x=[None], y=[None], name=f"loss: {words[kind]}", mode="lines", line=line)


def told(comparison: Comparison, found: Mapping[tuple[str, str], Sequence[Record]]) -> str:
    """Return in words where the trainings end, and what refinement did."""
    label, said = comparison.label(comparison.metric), []
    for (name, training), records in found.items():
        if not training:
            *_, last = course(records, comparison.metric, MOST_POINTS).mean
            before = course([each for each in records if each.phase == "augment"], comparison.metric, MOST_POINTS).mean
            refined = any(each.phase == "refine" for each in records) and before
            said.append(f"{name} {last:.4g}" + (f" ({before[-1]:.4g} before refinement)" if refined else ""))
    return f"Mean {label} of the final runs in their last epoch: {', '.join(said)}."
