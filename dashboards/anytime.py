"""Best validation value so far, against all that a search had spent by then: one line per strategy.

Only trainings that ran to their end on the task itself are ranked; those cut short, and those on a proxy, just cost.
Several studies that repeat the searches with other seeds give their mean, in a band that is its 95 % interval.
"""

from collections.abc import Sequence

import plotly.graph_objects as go

from autoaug.compare import Band, Comparison, CurvePoint, anytime, bands
from dashboards.style import colours, layout, pale


def figure(comparison: Comparison) -> go.Figure:
    """Return the anytime curves of a comparison, one line per strategy; of repeated searches their mean in a band."""
    records, metric, colour = comparison.records, comparison.metric, colours(comparison)
    steps = anytime(records, metric, comparison.maximize, comparison.outcomes or None)
    averaged = bands(steps, metric, comparison.metrics)
    names = list(dict.fromkeys(step.strategy for step in steps))
    drawn: list[go.Scatter] = []
    for name in names:
        if averages := [band for band in averaged if band.strategy == name]:
            drawn += [shade(averages, colour[name]), mean(averages, colour[name])]
        else:
            drawn.append(line([step for step in steps if step.strategy == name], colour[name]))
    unit = "GPU" if any(record.device == "cuda" for record in records) else "CPU"
    title = "Mean over searches, and its 95 % interval" if averaged else "Best so far"
    return go.Figure(drawn, layout(title, f"{unit}-seconds spent", f"best {comparison.label(metric)}"))


def line(curve: Sequence[CurvePoint], colour: str) -> go.Scatter:
    """Return one search of a strategy as steps, corners only."""
    steps = [step for k, step in enumerate(curve) if k in (0, len(curve) - 1) or step.best != curve[k - 1].best]
    return go.Scatter(
        x=[round(step.gpu_seconds, 2) for step in steps],
        y=[round(step.best, 4) for step in steps],
        name=steps[0].strategy,
        # what is known stays known until something better is found; a search of one trial is a point
        mode="lines" if len(steps) > 1 else "markers",
        line={"color": colour, "shape": "hv"},
        marker={"color": colour, "size": 9},
    )


def mean(averaged: Sequence[Band], colour: str) -> go.Scatter:
    """Return the mean over the searches of a strategy as steps."""
    return go.Scatter(
        x=[round(band.gpu_seconds, 2) for band in averaged],
        y=[round(band.mean, 4) for band in averaged],
        name=f"{averaged[0].strategy} ({averaged[0].n} searches)",
        mode="lines" if len(averaged) > 1 else "markers",
        line={"color": colour, "shape": "hv"},
        marker={"color": colour, "size": 9},
    )


def shade(averaged: Sequence[Band], colour: str) -> go.Scatter:
    """Return the area of a band, drawn there along its lower edge and back along the upper one."""
    seconds = [round(band.gpu_seconds, 2) for band in averaged]
    return go.Scatter(
        x=[*stairs(seconds, seconds)[0], *stairs(seconds, seconds)[0][::-1]],
        y=[
            *stairs(seconds, [round(band.low, 4) for band in averaged])[1],
            *stairs(seconds, [round(band.high, 4) for band in averaged])[1][::-1],
        ],
        fill="toself",
        fillcolor=pale(colour, 0.15),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def stairs(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the corners of a line that keeps its height until the next point."""
    return [each for each in x for _ in (0, 1)][1:], [each for each in y for _ in (0, 1)][:-1]
