"""The scores of final runs, by their seeds, and what of them is independent."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from autoaug.metrics import on_split
from autoaug.record import Outcome, TrialKind


class FinalRun(NamedTuple):
    """Hold which final run it is, by its study and seed: the strategies share the seeds of a study.

    >>> from autoaug.compare import FinalRun
    >>> FinalRun("flowers", seed=0) < FinalRun("flowers", seed=1)
    True
    """

    study: str
    seed: int


Scores = Mapping[FinalRun, float]


def final_scores(outcomes: Iterable[Outcome], strategy: str, metric: str, deploy: str = "") -> dict[FinalRun, float]:
    """Return a metric on the test split of a strategy's complete final runs, or of what was deployed of them."""
    name = f"{deploy}_{on_split('test', metric)}" if deploy else on_split("test", metric)
    return {
        FinalRun(outcome.study, outcome.seed): outcome.metrics[name]
        for outcome in outcomes
        if outcome.strategy == strategy and outcome.kind is TrialKind.FINAL
        if outcome.state == "COMPLETE" and name in outcome.metrics
    }


def units(scores: Scores, repeated: bool) -> list[float]:
    """Return what is independent: final runs, or the mean of each study where searches are repeated."""
    if not repeated:
        return list(scores.values())
    by_study: dict[str, list[float]] = defaultdict(list)
    for run, score in scores.items():
        by_study[run.study].append(score)
    return [float(np.mean(each)) for each in by_study.values()]


SUMMARIES = {"last": "last epoch", "best": "best epoch", "median": "median of last 10"}
"""What the epochs of a final run come to on the validation split, and how it is called over a column."""


def final_summaries(outcomes: Iterable[Outcome], strategy: str, metric: str) -> dict[str, dict[FinalRun, float]]:
    """Return a metric on the validation split of a strategy's complete final runs, by each of `SUMMARIES`."""
    name = on_split("val", metric)
    found: dict[str, dict[FinalRun, float]] = {each: {} for each in SUMMARIES}
    for outcome in outcomes:
        if (outcome.strategy, outcome.kind, outcome.state) == (strategy, TrialKind.FINAL, "COMPLETE"):
            run = FinalRun(outcome.study, outcome.seed)
            values = zip(SUMMARIES, (outcome.metrics, outcome.best, outcome.median), strict=True)
            for each, metrics in values:
                if name in metrics:
                    found[each][run] = metrics[name]
    return found
