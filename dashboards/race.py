"""Which strategy gets there first: best validation value so far, against all that a search had spent by then.

Only trainings that ran to their end on the task itself are ranked; those cut short, and those on a proxy, just cost.
Several studies that repeat the searches with other seeds give their mean, in a band that is its 95 % interval. The
dotted level is what the baseline comes to in its final runs, on the same images.
"""

from collections.abc import Sequence

import plotly.graph_objects as go

from autoaug.compare import Band, Comparison, CurvePoint, anytime, bands, show_value
from autoaug.metrics import row_of
from dashboards.style import INK, POOLED, Look, below, layout, looks, named, pale, seconds_of, spread

MOST_POINTS = 300
"""Of all bands together."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the anytime curves of a comparison, one line per strategy; of repeated searches their mean in a band."""
    metric, look = comparison.metric, looks(comparison)
    alike = [each for each in comparison.records if each.strategy not in comparison.other_data]
    steps = anytime(alike, metric, comparison.maximize, comparison.outcomes or None)
    averaged = bands(steps, metric, comparison.metrics)
    names = list(dict.fromkeys(step.strategy for step in steps))
    if not names:
        return go.Figure()
    drawn: list[go.Scatter] = []
    for name in names:
        if averages := [band for band in averaged if band.strategy == name]:
            few = [averages[k] for k in spread(len(averages), max(6, MOST_POINTS // len(names)))]
            drawn += [shade(few, look[name].colour), mean(few, look[name])]
        else:
            drawn.append(line([step for step in steps if step.strategy == name], look[name]))
    unit = seconds_of(comparison)
    shown = layout(
        "Which strategy gets there first?", f"{unit} spent", f"best {comparison.label(metric)}", told(steps, unit)
    )
    shown.update(below(len(names)))
    level = level_of(comparison)
    if level is not None:
        shown.update(shapes=[reference(level, comparison.baseline)])
    return go.Figure(drawn, shown)


def told(steps: Sequence[CurvePoint], unit: str) -> str:
    """Return in words where each search ended, and from when on it stood there."""
    said = []
    for name in dict.fromkeys(step.strategy for step in steps):
        ends = [step for step in steps if step.strategy == name]
        since = next(step for step in ends if step.best == ends[-1].best)
        said.append(f"{name} {show_value(since.best)} after {since.gpu_seconds:.3g}")
    more = f", and {len(said) - 8} more strategies" if len(said) > 8 else ""
    return f"Best validation value of each search, and after how many {unit}: {', '.join(said[:8])}{more}."


def level_of(comparison: Comparison) -> float | None:
    """Return the mean of the baseline's final runs on the validation images; None where that is not known."""
    for row in comparison.rows:
        known = row.validation.get(row_of(comparison.metric), {}) if row.name == comparison.baseline else {}
        if last := known.get("last"):
            return last.mean
    return None


def reference(level: float, baseline: str) -> dict[str, object]:
    """Return a level to compare with, which says whose it is."""
    text = {"text": f"{named(baseline)}, final runs", "textposition": "end", "font": {"size": 10, "color": INK}}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": round(level, 4),
        "y1": round(level, 4),
        "line": {"color": POOLED, "width": 1, "dash": "dot"},
        "label": text,
    }


def line(curve: Sequence[CurvePoint], look: Look) -> go.Scatter:
    """Return one search of a strategy as steps, corners only."""
    steps = [step for k, step in enumerate(curve) if k in (0, len(curve) - 1) or step.best != curve[k - 1].best]
    x, y = [round(step.gpu_seconds, 2) for step in steps], [round(step.best, 4) for step in steps]
    return stepped(x, y, named(steps[0].strategy), look)


def mean(averaged: Sequence[Band], look: Look) -> go.Scatter:
    """Return the mean over the searches of a strategy as steps."""
    x, y = [round(band.gpu_seconds, 2) for band in averaged], [round(band.mean, 4) for band in averaged]
    return stepped(x, y, f"{named(averaged[0].strategy)} ({averaged[0].n} searches)", look)


def stepped(x: list[float], y: list[float], name: str, look: Look) -> go.Scatter:
    """Return a line that keeps its height until something better is found; a search of one trial is a point."""
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        mode="lines+markers",
        line={"color": look.colour, "dash": look.dash, "shape": "hv"},
        marker={"color": look.colour, "symbol": look.symbol, "size": 7 if len(x) > 1 else 9},
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
