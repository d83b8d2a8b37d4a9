"""Which classes the winner helps and which it harms: the mean over all images hides both.

What varies from one final run to the next is the training, so a class is judged over final runs, as the leaderboard is,
on the test images that there are. Counting the images of one run, as McNemar's test does, would say that these two
networks differ, which two trainings of one strategy do too: a class that gains loses another.

A handful of runs say little about the spread of one class by itself: of three, Student's t has two degrees of freedom.
So the spread is measured against that of a binomial, var = phi p (1 - p) / n (McCullagh and Nelder 1989, section 4.5),
over the runs of every strategy, and a class is given the larger phi of two: that of its own runs, and that of all
classes together. A class that varies more than others is so not called certain, nor one that has varied too little by
chance. t has the degrees of freedom of the phi that was taken.

K classes, S strategies, R final runs
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from autoaug.compare._final_runs import FinalRun
from autoaug.compare._leaderboard import LeaderboardRow
from autoaug.compare._statistics import CONFIDENCE, holm

ClassVerdict = Literal["helped", "harmed", "not enough evidence"]
NO_EVIDENCE: ClassVerdict = "not enough evidence"


@dataclass(frozen=True)
class ClassCounts:
    """Hold how the test images of each class were predicted in one final run.

    >>> from autoaug.compare import ClassCounts
    >>> ClassCounts(("cat", "dog"), images=(50, 40), right=(45, 20)).names
    ('cat', 'dog')
    """

    names: tuple[str, ...]
    images: tuple[int, ...]
    right: tuple[int, ...]


@dataclass(frozen=True)
class ClassEffect:
    """Hold what the winner does to one class, against the baseline: accuracies are means over final runs."""

    name: str
    images: int
    """Test images of the class."""
    baseline: float
    accuracy: float
    difference: float
    """With the ends of its 95 % interval, of this class by itself."""
    low: float
    high: float
    p: float
    """Two-sided, of this class by itself."""
    p_holm: float
    """Corrected for the classes, for the strategies among which the winner was the best, and for the looks."""
    verdict: ClassVerdict


@dataclass(frozen=True)
class ClassEffects:
    """Hold what the winner does to each class, in the order of the classes."""

    strategy: str
    baseline: str
    runs: int
    """Final runs, or studies that repeat a search, which the strategy and the baseline share."""
    strategies: int
    """With how many the baseline was compared."""
    classes: tuple[ClassEffect, ...]

    def with_verdict(self, verdict: ClassVerdict) -> list[ClassEffect]:
        """Return the classes with a verdict, the largest differences first."""
        found = [each for each in self.classes if each.verdict == verdict]
        return sorted(found, key=lambda each: -abs(each.difference))


def class_effects(
    rows: Sequence[LeaderboardRow],
    baseline: str,
    counts: Mapping[str, Mapping[FinalRun, ClassCounts]],
    repeated: bool = False,
) -> ClassEffects | None:
    """Return what the first strategy of a leaderboard does to each class, against the baseline.

    Nothing where the baseline is the first itself, or shares fewer than two final runs with it.

    Args:
        rows: of the leaderboard, the best first.
        baseline: the strategy that the others are compared with.
        counts: by strategy, of each final run that kept them.
        repeated: whether several studies repeat the search: each is one run then, the mean of its final runs.

    >>> from autoaug.compare import ClassCounts, FinalRun, LeaderboardRow, class_effects, interval
    >>> def run(cats, dogs):
    ...     return ClassCounts(("cat", "dog"), (100, 100), (cats, dogs))
    >>> rows = [
    ...     LeaderboardRow(name, interval([mean]), None, 1, 0, 0, 1.0, "cpu", 1, None)
    ...     for name, mean in {"ra": 0.80, "none": 0.72}.items()
    ... ]
    >>> right = {"none": [(60, 85), (58, 84), (62, 84)], "ra": [(90, 69), (91, 71), (92, 70)]}
    >>> counts = {name: {FinalRun("s", k): run(*each) for k, each in enumerate(runs)} for name, runs in right.items()}
    >>> [(each.name, each.verdict) for each in class_effects(rows, "none", counts).classes]
    [('cat', 'helped'), ('dog', 'harmed')]
    """
    winner = next((row for row in rows if row.test), None)
    if winner is None or winner.name == baseline:
        return None
    alike = comparable(counts, winner.name)
    shared = sorted(alike.get(winner.name, {}).keys() & alike.get(baseline, {}).keys())
    of_winner, of_baseline = (accuracies(alike.get(name, {}), shared, repeated) for name in (winner.name, baseline))
    if len(of_winner) < 2:
        return None
    first = alike[winner.name][shared[0]]
    images = np.array(first.images)
    everybody = [accuracies(runs, sorted(runs), repeated) for runs in alike.values()]
    error, freedom = standard_errors(of_winner, of_baseline, everybody, images)
    compared = sum(row.vs_baseline is not None for row in rows if row.name != baseline) or 1
    factor = compared * penalty(winner)
    effects = judged(first.names, images, of_winner.mean(0), of_baseline.mean(0), error, freedom, factor)
    return ClassEffects(winner.name, baseline, len(of_winner), compared, tuple(effects))


def comparable(
    counts: Mapping[str, Mapping[FinalRun, ClassCounts]], winner: str
) -> dict[str, dict[FinalRun, ClassCounts]]:
    """Return the runs that were tested on the same images as the first of the winner, as far as their counts say."""
    first = next(iter(counts.get(winner, {}).values()), None)
    if first is None:
        return {}
    same = (first.names, first.images)
    return {
        name: {k: run for k, run in runs.items() if (run.names, run.images) == same} for name, runs in counts.items()
    }


def accuracies(runs: Mapping[FinalRun, ClassCounts], which: Sequence[FinalRun], repeated: bool) -> np.ndarray:
    """Return the accuracy on each class [R, K] of some runs, or the mean of those of each study; NaN without images."""
    by_unit: dict[FinalRun | str, list[np.ndarray]] = defaultdict(list)
    for run in which:
        images = np.array(runs[run].images, dtype=float)
        right = np.array(runs[run].right, dtype=float)
        by_unit[run.study if repeated else run].append(right / np.where(images > 0, images, np.nan))
    return np.array([np.mean(each, axis=0) for each in by_unit.values()])


def binomial(accuracy: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the variance of the accuracy on each class [K] of one run [R, K], were its images independent.

    One image right and one wrong are added, so that a class on which nothing or everything is right has a variance.
    """
    runs = len(accuracy)
    share = (accuracy.sum(0) * images + 1) / (runs * images + 2)
    return share * (1 - share) / np.maximum(images, 1)


def standard_errors(
    winner: np.ndarray, baseline: np.ndarray, everybody: Sequence[np.ndarray], images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error of the difference of two means over R runs, and its degrees of freedom, both [K].

    The pairing by seed is not used: it makes differences smaller, if anything, than those of independent runs.

    Args:
        winner: accuracies [R, K].
        baseline: as those of the winner.
        everybody: of each strategy, the accuracies of its final runs. Those with two or more tell of the spread.
        images: test images of each class, [K].
    """
    several = [runs for runs in everybody if len(runs) > 1]
    each = np.array([runs.var(axis=0, ddof=1) / binomial(runs, images) for runs in several])
    weights = np.array([len(runs) - 1 for runs in several])
    own, free = np.average(each, axis=0, weights=weights), int(weights.sum())
    present = images > 0
    pooled = float(own[present].mean()) or 1.0  # runs that are all the same say nothing of the spread
    phi = np.maximum(own, pooled)
    variance = phi * (binomial(winner, images) + binomial(baseline, images)) / len(winner)
    return np.sqrt(variance), np.where(own > pooled, free, free * present.sum())


def penalty(row: LeaderboardRow) -> float:
    """Return by how much looks raise p: what a test at 5 % may spend, over the share of it that this look has."""
    looks = row.vs_baseline.looks if row.vs_baseline else None
    return (1 - CONFIDENCE) / looks.level(1 - CONFIDENCE) if looks else 1.0


def judged(
    names: Sequence[str],
    images: np.ndarray,
    winner: np.ndarray,
    baseline: np.ndarray,
    error: np.ndarray,
    freedom: np.ndarray,
    factor: float,
) -> list[ClassEffect]:
    """Return the classes that have images with p, corrected p and verdict: familywise, by Holm's procedure.

    Args:
        names: of the classes; the arrays are [K], accuracies of the winner and of the baseline among them.
        factor: by which p is raised before Holm's procedure: the strategies among which the winner was the best, by
            Bonferroni, and the looks.
    """
    some: list[int] = np.flatnonzero(images > 0).tolist()
    difference = winner - baseline
    p = 2 * stats.t.sf(np.abs(difference[some]) / error[some], freedom[some])
    corrected = holm(np.minimum(p * factor, 1.0))
    half = stats.t.isf((1 - CONFIDENCE) / 2, freedom) * error
    effects = []
    for k, alone, together in zip(some, p, corrected, strict=True):
        sure: ClassVerdict = "helped" if difference[k] > 0 else "harmed"
        effects.append(
            ClassEffect(
                name=names[k],
                images=int(images[k]),
                baseline=float(baseline[k]),
                accuracy=float(winner[k]),
                difference=float(difference[k]),
                low=max(float(difference[k] - half[k]), -1.0),
                high=min(float(difference[k] + half[k]), 1.0),
                p=float(alone),
                p_holm=float(together),
                verdict=sure if together < 1 - CONFIDENCE and not math.isclose(difference[k], 0) else NO_EVIDENCE,
            )
        )
    return effects
