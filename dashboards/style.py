"""What the figures share: a colour for each strategy, axes that say what they show, what is drawn of diagnoses."""

from collections.abc import Sequence
from statistics import fmean

import plotly.graph_objects as go
from plotly.colors import qualitative

from autoaug.compare import Comparison, present_diagnoses
from autoaug.record import Record, TrialKind
from autoaug.store import Diagnosis

POOLED = "#57606a"
"""Grey: of no strategy in particular."""


def colours(comparison: Comparison) -> dict[str, str]:
    """Return a colour for each strategy, by the order in which a study defines them."""
    return {name: qualitative.D3[k % len(qualitative.D3)] for k, name in enumerate(comparison.strategies)}


def pale(colour: str, opacity: float) -> str:
    """Return a colour of the table as one can see through it; `opacity` in [0, 1]."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def layout(title: str, x: str, y: str) -> go.Layout:
    """Return what the figures share: white, with the legend below, for beside the figure it would take room from it."""
    return go.Layout(
        title={"text": title, "font": {"size": 14}},
        template="plotly_white",
        xaxis_title=x,
        yaxis_title=y,
        legend={"orientation": "h", "yanchor": "top", "y": -0.2},
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        hovermode="closest",
    )


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
