"""What the figures share: a colour, a symbol and a dash for each strategy, axes that say what they show, and diagnoses.

Nobody knows on what a figure will lie: Optuna Dashboard shows a saved one as it is, on white or on near-black. So the
background is transparent, and every colour here has a contrast of 3 or more with both (WCAG 2.2, 1.4.11).
"""

from collections.abc import Sequence
from html import escape
from itertools import cycle
from statistics import fmean
from typing import Any, NamedTuple

import plotly.graph_objects as go

from autoaug.compare import Comparison, Difference, present_diagnoses, unit_of
from autoaug.metrics import Metric
from autoaug.record import Record, TrialKind
from autoaug.store import Diagnosis
from autoaug.text import shown

COLOURS = (
    "#2f7ed8", "#d9670f", "#2c9a3f", "#dc4a4a", "#9468c8", "#a0705f", "#d65bb0", "#94921f", "#1299a8",
)  # fmt: skip
"""Of strategies, by the order in which a study defines them."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star", "x", "pentagon", "hexagram")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "2px,6px")
"""Of lines. Colours, symbols and dashes are 9, 10 and 7: 630 strategies have each a look of their own."""

POOLED = "#7d8590"
"""Grey: of no strategy in particular, and of lines that are only there to compare with."""

INK, HAIR = "#777e88", "rgba(125, 133, 144, 0.25)"
"""Of text, and of grids."""

LONGEST_LABEL = 28
"""Characters of a name in a figure, which has little room for it."""


class Look(NamedTuple):
    """Hold how a strategy is drawn: symbol and dash say which it is where colours cannot be told apart."""

    colour: str
    symbol: str
    dash: str


def looks(comparison: Comparison) -> dict[str, Look]:
    """Return how each strategy is drawn in every figure, by the order in which a study defines them."""
    ways = zip(cycle(COLOURS), cycle(SYMBOLS), cycle(DASHES), strict=False)
    names = dict.fromkeys([*comparison.strategies, *(row.name for row in comparison.rows)])
    return {name: Look(*way) for name, way in zip(names, ways, strict=False)}


def colours(comparison: Comparison) -> dict[str, str]:
    """Return a colour for each strategy, by the order in which a study defines them."""
    return {name: look.colour for name, look in looks(comparison).items()}


def pale(colour: str, opacity: float) -> str:
    """Return a colour of the table as one can see through it; `opacity` in [0, 1]."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def named(name: str, most: int = LONGEST_LABEL) -> str:
    """Return a name as Plotly draws it, cut to `most` characters: tags were markup to it."""
    return escape(shown(name) if len(name) <= most else f"{shown(name[: most - 1])}…", quote=False)


def layout(title: str, x: str, y: str, alt: str = "") -> go.Layout:
    """Return what the figures share, the legend below: beside the figure it would take room from it.

    Args:
        title: the question that the figure answers; a button or two are to its right.
        x: what is measured along the axis, with its unit.
        y: as `x`.
        alt: what is to be seen, in a sentence or two with its numbers, for those who cannot see it.
    """
    axis: dict[str, Any] = {"gridcolor": HAIR, "zerolinecolor": POOLED, "linecolor": HAIR, "automargin": True}
    return go.Layout(
        title={"text": title, "font": {"size": 14}, "x": 0, "xanchor": "left", "xref": "paper"},
        template="none",  # that of Plotly is seven kilobytes in every figure
        font={"color": INK, "size": 12},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        xaxis={**axis, "title": {"text": x}},
        yaxis={**axis, "title": {"text": y}},
        legend={"orientation": "h", "yanchor": "top", "y": -0.2},
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        hovermode="closest",
        meta={"alt": alt or title},
    )


def on(ink: str, hair: str, paper: str) -> dict[str, Any]:
    """Return the colours of a layout for one background, as `figure.update_layout` and `Plotly.relayout` take them."""
    axes = {
        f"{axis}.{part}": colour
        for axis in ("xaxis", "yaxis")
        for part, colour in (("gridcolor", hair), ("linecolor", hair), ("zerolinecolor", ink))
    }
    return {"font.color": ink, "hoverlabel.bgcolor": paper, "hoverlabel.font.color": ink, **axes}


def light_layout() -> dict[str, Any]:
    """Return the colours of text and grid on white paper: `Plotly.relayout(div, style)`, or `update_layout` with them.

    >>> from dashboards.style import light_layout
    >>> light_layout()["font.color"]
    '#24292f'
    """
    return on("#24292f", "#e4e8ee", "#ffffff")


def dark_layout() -> dict[str, Any]:
    """Return the colours of text and grid on a near-black page, as `light_layout` does for white ones.

    >>> from dashboards.style import dark_layout
    >>> dark_layout()["font.color"]
    '#e6e9ee'
    """
    return on("#e6e9ee", "#333a43", "#1d2126")


def seconds_of(comparison: Comparison) -> str:
    """Return in which seconds costs are measured: "GPU-seconds" where one trial ran on a GPU, or else "CPU-seconds"."""
    devices = {each.device for each in comparison.outcomes or comparison.records}
    return f"{unit_of(devices)[:3]}-seconds"


def is_share(metric: Metric) -> bool:
    """Whether a metric is a share, such as accuracy, of which differences are said in points: hundredths."""
    return metric.range == (0.0, 1.0)


def difference_of(comparison: Comparison) -> tuple[float, str]:
    """Return by what differences of the test score are multiplied, and what stands along their axis."""
    share = is_share(comparison.ruling)
    which = "" if comparison.maximize else ", less is better"
    label = f"{comparison.label(comparison.test_metric)} minus that of {named(comparison.baseline)}"
    return (100.0 if share else 1.0, f"{label}, {'points' if share else 'its unit'}{which}")


def test_scores(comparison: Comparison) -> dict[str, dict[tuple[str, int], float]]:
    """Return the test scores of the complete final runs of each strategy, by study and seed, which strategies share."""
    found: dict[str, dict[tuple[str, int], float]] = {}
    for each in comparison.outcomes:
        complete = each.kind is TrialKind.FINAL and each.state == "COMPLETE"
        if complete and comparison.test_metric in each.metrics:
            found.setdefault(each.strategy, {})[each.study, each.seed] = each.metrics[comparison.test_metric]
    return found


def listed(names: Sequence[str]) -> dict[str, Any]:
    """Return an axis with a name at each whole number, the first one above: names that are cut alike stay apart."""
    count = len(names)
    bare = {"showgrid": False, "zeroline": False}
    return {"tickvals": [*range(count)], "ticktext": [*names], "range": [count - 0.4, -0.6], **bare}


def tall(rows: int) -> int | None:
    """Return the height in pixels of a figure with so many rows; None where that of any figure is enough."""
    return 24 * rows + 160 if rows > 12 else None


def below(entries: int, height: int | None = None) -> dict[str, Any]:
    """Return height and legend of a figure with so many entries in it, two in a row of a narrow page.

    Many take room of their own and leave the figure its own; the legend stays clear of what stands along the axis.
    """
    legend = 20 * -(-entries // 2) + 10
    most = max(height or 450, 350 + legend)
    return {"height": most if most > 450 else None, "legend": {"y": round(-60 / (most - 110 - legend), 3)}}


def spread(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers from 0 to `count` - 1, evenly spaced, the first and the last among them."""
    return sorted({round(k * (count - 1) / max(1, min(count, most) - 1)) for k in range(min(count, most))})


def sure(difference: Difference) -> bool:
    """Whether a difference is more than chance."""
    return difference.verdict != "not enough evidence"


def last_diagnoses(comparison: Comparison, diagnostic: str) -> dict[str, list[Diagnosis]]:
    """Return what a diagnostic found of each strategy at the end of its trainings, in the order of the study."""
    found = [each for each in present_diagnoses(comparison.diagnoses) if each.diagnostic == diagnostic and each.series]
    refined = {each.strategy for each in found if each.phase == "refine"}
    ends = [each for each in found if each.phase == "refine" or each.strategy not in refined]
    by_strategy = {name: [each for each in ends if each.strategy == name] for name in comparison.strategies}
    return {name: each for name, each in by_strategy.items() if each}


def mean_series(found: Sequence[Diagnosis], name: str) -> list[float]:
    """Return the mean over trainings of a series of numbers."""
    return [round(fmean(values), 4) for values in zip(*(each.series[name] for each in found), strict=True)]


def learner_of(comparison: Comparison) -> dict[int, list[Record]]:
    """Return the epochs with a policy of the final runs of one strategy, by number of the run.

    It is the first on the leaderboard whose policy moved; empty where none did.
    """
    moved = [each for each in comparison.records if each.policy and each.kind is TrialKind.FINAL and not each.training]
    moved = [each for each in moved if each.phase == "augment"]
    ranked = [row.name for row in comparison.rows] + comparison.strategies
    name = next((name for name in ranked if any(each.strategy == name for each in moved)), None)
    runs: dict[int, list[Record]] = {}
    for each in moved:
        if each.strategy == name:
            runs.setdefault(each.trial, []).append(each)
    return runs
