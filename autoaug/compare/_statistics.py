"""What a handful of runs allows one to say: means, intervals, paired differences, and how many runs are missing.

Samples are arrays whose last axis holds the runs, so that thousands of simulated studies are one call.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from autoaug.compare._looks import Looks
from autoaug.metrics import ANY_NUMBER, Limits

CONFIDENCE = 0.95

POWER = 0.8
"""How often a true difference is found with the number of seeds that is advised."""

MOST_SEEDS = 1000
"""More seeds than this are not advised but called too many."""

BOOTSTRAP_FROM = 30
"""From this many runs the interval is a bootstrap's. With fewer it covers the mean too seldom: of 10 normal runs in
91 % of samples, where Student's t does in 95 %. From about 30 on it nearly keeps up, and does better where a few runs,
such as one in ten, collapsed."""

RESAMPLES = 4999

ROUNDING = 1e-9
"""Differences that are closer than this are the same: subtracting accuracies leaves errors of 1e-16."""

Method = Literal["t", "bootstrap"]
Verdict = Literal["better", "worse", "not enough evidence"]


@dataclass(frozen=True)
class Interval:
    """Hold a mean over `n` runs with the ends of its 95 % interval, `low` and `high`.

    There is no interval where there is one run, or one that is not finite.

    >>> from autoaug.compare import Interval
    >>> Interval(mean=0.7, low=None, high=None, n=1).method is None
    True
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    method: Method | None = None
    """Of the interval: Student's t, or the bias-corrected and accelerated bootstrap (Efron 1987)."""


@dataclass(frozen=True)
class Difference:
    """Hold a strategy minus the baseline, paired by the seed that both shared: mean, 95 % interval, two-sided p.

    Where looks are known the interval is a repeated one: those of all looks hold the true difference in 95 % of studies
    (Jennison and Turnbull 1989).

    >>> from autoaug.compare import Difference
    >>> Difference(0.08, low=None, high=None, p=None).verdict
    'not enough evidence'
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    """Of a paired t-test; None where one pair, or one that is not finite, allows none."""
    p_holm: float | None = None
    """p corrected for the looks, and for the number of strategies that are compared with the baseline (Holm 1979)."""
    n: int = 1
    method: Method | None = None
    sd: float | None = None
    """Standard deviation of the paired differences."""
    verdict: Verdict = "not enough evidence"
    """By the corrected p: strategies that all equal the baseline get another one in at most 5 % of studies."""
    seeds_needed: int | None = None
    """Where evidence is missing: pairs with which a paired t-test finds a difference such as this one in 80 % of cases,
    whatever the other strategies show. None: nothing is missing, or the spread is unknown, or more than `MOST_SEEDS`.
    """
    looks: Looks | None = None
    """When somebody looked at this difference; None where that is not counted."""
    p_looks: float | None = None
    """p corrected for these looks alone."""


def method_for(n: int) -> Method:
    """Return by which method the interval of a mean of so many runs is made."""
    return "bootstrap" if n >= BOOTSTRAP_FROM else "t"


def limits(
    samples: np.ndarray, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of an interval of the mean, of samples of two or more values along the last axis."""
    n = samples.shape[-1]
    mean = np.asarray(samples.mean(axis=-1))
    if method_for(n) == "t":
        half = stats.t.isf((1 - confidence) / 2, n - 1) * samples.std(axis=-1, ddof=1) / math.sqrt(n)
        return mean - half, mean + half
    low, high = mean.copy(), mean.copy()
    spread = np.ptp(samples, axis=-1) > ROUNDING
    if spread.any():
        bounds = stats.bootstrap(
            (np.sort(samples[spread], axis=-1),),  # the order of the runs is nobody's choice
            np.mean,
            axis=-1,
            n_resamples=resamples,
            batch=100,
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
        low[spread], high[spread] = bounds.low, bounds.high
    return low, high


def p_values(samples: np.ndarray) -> np.ndarray:
    """Return two-sided p of a mean of zero, of samples of two or more values along the last axis, by a t-test.

    A sample without any spread gives a t-test nothing to go by, and calling it certain would be wrong: accuracies are
    multiples of one over the number of test images, so a few differences coincide often. There the exact sign test
    stands in.
    """
    n = samples.shape[-1]
    mean, error = samples.mean(axis=-1), samples.std(axis=-1, ddof=1) / math.sqrt(n)
    same = np.ptp(samples, axis=-1) < ROUNDING
    p = 2 * stats.t.sf(np.abs(mean) / np.where(same, 1.0, error), n - 1)
    by_sign = np.where(np.abs(mean) < ROUNDING, 1.0, 2.0 ** (1 - n))
    return np.where(same, by_sign, p)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p of several comparisons along the last axis, corrected by the step-down procedure of Holm 1979."""
    order = np.argsort(p, axis=-1)
    count = p.shape[-1]
    stepped = np.take_along_axis(p, order, axis=-1) * np.arange(count, 0, -1)
    corrected = np.empty_like(stepped)
    np.put_along_axis(corrected, order, np.minimum(np.maximum.accumulate(stepped, axis=-1), 1.0), axis=-1)
    return corrected


def seeds_needed(difference: float, sd: float, comparisons: int = 1, looks: Looks | None = None) -> int | None:
    """Return how many pairs let a paired t-test find a difference in 80 % of cases; None where 1,000 are too few.

    The level is that of Holm's first step, so it suffices whatever the other comparisons show. Where the difference is
    itself an estimate this is a rough guide: at p = 0.05 it asks for about twice the pairs that are there. After some
    `looks` it is where to look next, and more than a first look would take.
    """
    alpha = (1 - CONFIDENCE) / comparisons

    def power(n: int) -> float:
        """Return how often a test of `n` pairs finds the difference."""
        critical = stats.t.isf((looks.then(n).level(alpha) if looks else alpha) / 2, n - 1)
        # beyond a shift of 40 standard errors the power is one, and scipy's distribution loses its digits
        shift = min(abs(difference) / sd * math.sqrt(n), 40.0)
        return float(stats.nct.sf(critical, n - 1, shift))

    candidates = range(looks.runs[-1] + 1 if looks else 2, MOST_SEEDS + 1)
    first = bisect_left(candidates, POWER, key=power)
    return candidates[first] if first < len(candidates) else None


def interval(values: Iterable[float], within: Limits = ANY_NUMBER) -> Interval | None:
    """Return mean and 95 % interval of a sample; None of an empty one.

    Args:
        values: one per run, in the unit of the metric.
        within: the least and the largest value that a run can have: the interval ends there.

    Returns:
        By Student's t below `BOOTSTRAP_FROM` values, by BCa bootstrap (Efron 1987) from there on; without ends where
        there is one value, or one that is not finite.

    >>> from autoaug.compare import interval
    >>> accuracy = interval([0.70, 0.72, 0.74], within=(0.0, 1.0))
    >>> round(accuracy.low, 4), round(accuracy.mean, 4), round(accuracy.high, 4)
    (0.6703, 0.72, 0.7697)
    >>> interval([]) is None
    True
    """
    sample = np.asarray(list(values), dtype=float)
    if not len(sample):
        return None
    if len(sample) == 1 or not np.isfinite(sample).all():
        return Interval(float(sample.mean()), None, None, len(sample))
    low, high = np.clip(limits(sample), *within)
    return Interval(float(sample.mean()), float(low), float(high), len(sample), method_for(len(sample)))


def of_differences(sample: np.ndarray, looks: Looks | None = None, within: Limits = ANY_NUMBER) -> Difference | None:
    """Return what a sample of paired differences says, by itself, to somebody who has looked at its beginnings."""
    if not len(sample):
        return None
    if len(sample) == 1 or not np.isfinite(sample).all():
        return Difference(float(sample.mean()), None, None, None, n=len(sample))
    p = float(p_values(sample))
    confidence = 1 - looks.level(1 - CONFIDENCE) if looks else CONFIDENCE
    low, high = np.clip(limits(sample, confidence=confidence), *within)
    return Difference(
        float(sample.mean()),
        float(low),
        float(high),
        p,
        n=len(sample),
        method=method_for(len(sample)),
        sd=0.0 if np.ptp(sample) < ROUNDING else float(sample.std(ddof=1)),
        looks=looks,
        p_looks=looks.corrected(p) if looks else None,
    )


def judge(differences: Mapping[str, Difference | None], higher_is_better: bool = True) -> dict[str, Difference | None]:
    """Return the differences of several strategies to one baseline with corrected p, verdicts and missing seeds."""
    tested = {name: each for name, each in differences.items() if each is not None and each.p is not None}
    seen = [each.p if each.p_looks is None else each.p_looks for each in tested.values()]
    corrected = dict(zip(tested, holm(np.array(seen, dtype=float)), strict=True))
    judged = dict(differences)
    for name, each in tested.items():
        p = float(corrected[name])
        if p < 1 - CONFIDENCE:
            better = (each.difference > 0) == higher_is_better
            judged[name] = replace(each, p_holm=p, verdict="better" if better else "worse")
        else:
            lack = seeds_needed(each.difference, each.sd, len(tested), each.looks) if each.sd else None
            judged[name] = replace(each, p_holm=p, seeds_needed=lack)
    return judged
