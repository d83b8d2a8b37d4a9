"""Which strategy scores best on the test images: means of final runs with 95 % intervals, and every single run.

Thin lines join the runs of one seed, which the strategies share: where they run side by side, a difference is more than
the luck of a seed. The vertical line is the mean of the baseline. A hollow mark is of networks trained anew, from
scratch, with what a learner had found.
"""

import plotly.graph_objects as go

from autoaug.compare import Comparison, Interval, LeaderboardRow, show_value
from autoaug.learners import DEPLOYS
from dashboards.style import POOLED, Look, layout, listed, looks, named, pale, spread, tall, test_scores

MOST_ROWS = 40
"""That are drawn, the best ones."""

MOST_DOTS = 400
"""Single runs that are drawn, of all strategies together."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the scores of final runs, the best strategy above; an empty figure before the first one has ended."""
    known = [(row, row.test) for row in comparison.rows if row.test is not None][:MOST_ROWS]
    if not known:
        return go.Figure()
    scores, look = test_scores(comparison), looks(comparison)
    shared = sorted({run for row, _ in known for run in scores.get(row.name, {})})
    runs = [shared[k] for k in spread(len(shared), max(2, MOST_DOTS // len(known)))]
    drawn = [paired(known, scores, runs)] if runs else []
    for place, (row, test) in enumerate(known):
        dots = [scores[row.name][run] for run in runs if run in scores.get(row.name, {})]
        drawn += [single(place, dots, look[row.name])] if len(dots) > 1 else []
        drawn.append(mean(place + 0.17, test, look[row.name], named(row.name)))
        drawn += [
            mean(place + 0.36, row.retrained[deploy], look[row.name], f"{named(row.name)}, trained anew", "-open")
            for deploy in DEPLOYS
            if deploy in row.retrained
        ]
    shown = layout(
        "Which strategy scores best?", comparison.label(comparison.test_metric), "", told(known, comparison.baseline)
    )
    shown.update(
        yaxis=listed([named(row.name) for row, _ in known]),
        shapes=[level(test.mean) for row, test in known if row.name == comparison.baseline],
        showlegend=False,
        height=tall(len(known)),
    )
    return go.Figure(drawn, shown)


def paired(
    known: list[tuple[LeaderboardRow, Interval]],
    scores: dict[str, dict[tuple[str, int], float]],
    runs: list[tuple[str, int]],
) -> go.Scatter:
    """Return a thin line for each seed, through its runs."""
    x: list[float | None] = []
    y: list[float | None] = []
    for run in runs:
        for place, (row, _) in enumerate(known):
            if run in scores.get(row.name, {}):
                x.append(round(scores[row.name][run], 4))
                y.append(place)
        x.append(None)
        y.append(None)
    line = {"color": pale(POOLED, 0.5), "width": 1}
    return go.Scatter(x=x, y=y, mode="lines", name="one seed", line=line, hoverinfo="skip", showlegend=False)


def single(place: float, scores: list[float], look: Look) -> go.Scatter:
    """Return the runs of one strategy as dots."""
    return go.Scatter(
        x=[round(score, 4) for score in scores],
        y=[place] * len(scores),
        mode="markers",
        marker={"color": pale(look.colour, 0.55), "size": 6},
        name="single runs",
        hovertemplate="%{x}<extra>single run</extra>",
    )


def mean(place: float, test: Interval, look: Look, name: str, hollow: str = "") -> go.Scatter:
    """Return the mean of the final runs of a strategy with its interval, where there is one."""
    known = test.low is not None and test.high is not None
    return go.Scatter(
        x=[round(test.mean, 4)],
        y=[place],
        name=name,
        mode="markers",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [round(test.high - test.mean, 4) if known and test.high is not None else None],
            "arrayminus": [round(test.mean - test.low, 4) if known and test.low is not None else None],
            "color": look.colour,
            "thickness": 2,
            "width": 5,
        },
        marker={"color": look.colour, "size": 8 if hollow else 11, "symbol": f"{look.symbol}{hollow}"},
    )


def level(mean: float) -> dict[str, object]:
    """Return the vertical line of the baseline."""
    x, line = round(mean, 4), {"color": POOLED, "width": 1, "dash": "dot"}
    return {"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line, "layer": "below"}


def told(known: list[tuple[LeaderboardRow, Interval]], baseline: str) -> str:
    """Return the means in words, the best first."""
    said = [
        f"{row.name}{' (the baseline)' if row.name == baseline else ''} {show_value(test.mean)}"
        + (f" [{show_value(test.low)}, {show_value(test.high)}]" if test.low is not None else "")
        for row, test in known
    ]
    more = f"; and {len(said) - 8} more" if len(said) > 8 else ""
    return f"Mean test scores of final runs, with 95 % intervals: {'; '.join(said[:8])}{more}."
