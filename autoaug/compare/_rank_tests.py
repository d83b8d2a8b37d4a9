"""Tests of strategies over data sets, which go by ranks: what differs between data sets has no unit they share.

Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", for all but the choice of tests between
pairs: those by mean ranks (Nemenyi) say of two strategies what a third one does to them, so that here signed ranks of
the two alone stand in (Benavoli et al. 2016, "Should we really use post-hoc tests based on mean-ranks?").

N data sets, k strategies
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import stats

from autoaug.compare._statistics import CONFIDENCE, ROUNDING

F_FROM = 6
"""Data sets from which the distribution of Iman and Davenport is near enough: it then finds a difference that is not
there in at most 5.6 % of cases. Of 3 data sets and 3 strategies it would in 20 %."""

PERMUTATIONS = 9999


@dataclass(frozen=True)
class FriedmanTest:
    """Hold whether the mean ranks of several strategies over data sets differ by more than chance, by all of them.

    >>> from autoaug.compare import FriedmanTest
    >>> FriedmanTest(chi_squared=5.33, f=4.0, degrees=(2, 10), p=0.053, method="F").p
    0.053
    """

    chi_squared: float
    """Friedman's statistic, corrected for ties."""
    f: float
    """Iman and Davenport 1980: (N - 1) chi² / (N (k - 1) - chi²); infinite where all data sets agree."""
    degrees: tuple[int, int]
    """Of freedom of F: k - 1 and (k - 1) (N - 1)."""
    p: float
    method: Literal["F", "permutations"]
    """From six data sets on p is that of F; below, the share of permuted ranks that differ as much."""


def ranks_of(values: np.ndarray, maximize: bool) -> np.ndarray:
    """Return the places [..., N, k] of strategies on each data set, of values [..., N, k]: 1 is best, ties share."""
    rounded = np.round(values / ROUNDING) * ROUNDING
    return np.asarray(stats.rankdata(-rounded if maximize else rounded, axis=-1))


def friedman_statistic(ranks: np.ndarray) -> np.ndarray:
    """Return Friedman's chi² [...] of ranks [..., N, k], corrected for ties; 0 where all are tied."""
    count, strategies = ranks.shape[-2:]
    middle = (strategies + 1) / 2
    between = count**2 * ((ranks.mean(axis=-2) - middle) ** 2).sum(axis=-1)
    within = ((ranks - middle) ** 2).sum(axis=(-2, -1)) / (strategies - 1)
    return np.asarray(between / np.where(within > 0, within, 1.0))


def friedman(ranks: np.ndarray) -> FriedmanTest | None:
    """Return the test of the ranks [N, k] of three strategies or more on two data sets or more; None of fewer."""
    count, strategies = ranks.shape
    if count < 2 or strategies < 3:
        return None
    chi_squared, most = float(friedman_statistic(ranks)), count * (strategies - 1)
    f = (count - 1) * chi_squared / (most - chi_squared) if most - chi_squared > ROUNDING else math.inf
    degrees = (strategies - 1, (strategies - 1) * (count - 1))
    if count < F_FROM:
        return FriedmanTest(chi_squared, f, degrees, permuted_p(ranks), "permutations")
    surest = math.factorial(strategies) ** (1.0 - count)  # the share of cases where all data sets agree by chance
    return FriedmanTest(chi_squared, f, degrees, max(float(stats.f.sf(f, *degrees)), surest), "F")


def permuted_p(ranks: np.ndarray) -> float:
    """Return p of Friedman's statistic by permuting the ranks within each data set; the draws are always the same."""
    rng = np.random.default_rng(0)
    permuted = rng.permuted(np.broadcast_to(ranks, (PERMUTATIONS, *ranks.shape)), axis=-1)
    as_far = (friedman_statistic(permuted) >= float(friedman_statistic(ranks)) - ROUNDING).sum()
    return float((1 + as_far) / (1 + PERMUTATIONS))


def signed_rank_p(differences: Sequence[float] | np.ndarray) -> float:
    """Return two-sided p of Wilcoxon's signed-rank test of differences, one per data set; 1 where there are none.

    Exact, with ties too: of all ways to sign the ranks that the differences have, the share that is as far off. Those
    of zero are left out, as by Wilcoxon 1945.
    """
    rounded = np.round(np.asarray(differences, dtype=float) / ROUNDING)
    rounded = rounded[rounded != 0]
    doubled = np.rint(2 * stats.rankdata(np.abs(rounded))).astype(int)  # whole numbers, where ties share ranks
    shares = signed_sums(tuple(sorted(doubled.tolist())))
    positive = int(doubled[rounded > 0].sum())
    return min(1.0, 2 * float(min(shares[: positive + 1].sum(), shares[positive:].sum())))


@cache
def signed_sums(ranks: tuple[int, ...]) -> np.ndarray:
    """Return the distribution of the sum of those ranks that got a plus, where each sign is a toss of a coin."""
    shares = np.zeros(sum(ranks) + 1)
    shares[0] = 1.0
    for rank in ranks:
        shares = (shares + np.concatenate([np.zeros(rank), shares[: len(shares) - rank]])) / 2
    return shares


def least_data_sets(pairs: int) -> int:
    """Return how many data sets Wilcoxon's test needs at least, to find anything among so many pairs.

    The surest that N differences can be is 2 / 2**N, where all have the same sign; Holm multiplies it by the pairs.
    """
    return next(count for count in range(2, 100) if pairs * 2.0 ** (1 - count) < 1 - CONFIDENCE)


def cliques(names: Sequence[str], apart: Collection[frozenset[str]]) -> list[tuple[str, ...]]:
    """Return the largest groups of two or more strategies of which no two are told apart, in the order of the names.

    Args:
        names: of the strategies.
        apart: pairs that differ by more than chance.
    """
    near = {one: {two for two in names if two != one and frozenset((one, two)) not in apart} for one in names}
    order = {name: place for place, name in enumerate(names)}
    found = [tuple(sorted(each, key=order.__getitem__)) for each in maximal(set(), set(names), set(), near)]
    return sorted((each for each in found if len(each) > 1), key=lambda group: [order[name] for name in group])


def maximal(
    group: set[str], candidates: set[str], done: set[str], near: Mapping[str, set[str]]
) -> Iterator[frozenset[str]]:
    """Yield the maximal cliques that hold a group, by Bron and Kerbosch 1973 with the pivot of Tomita et al. 2006."""
    if not candidates and not done:
        yield frozenset(group)
        return
    pivot = max(sorted(candidates | done), key=lambda name: len(near[name] & candidates))
    for name in sorted(candidates - near[pivot]):
        yield from maximal(group | {name}, candidates & near[name], done & near[name], near)
        candidates, done = candidates - {name}, done | {name}
