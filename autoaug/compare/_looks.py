"""Looking again: how much of the 5 % of false wins each look at a growing number of final runs may spend.

Whoever looks, finds nothing and adds final runs until p is small finds something in the end. A group-sequential test by
alpha spending (Lan and DeMets 1983) gives every look a share, fixed by the number of runs alone, so neither the number
of looks nor the last one need be known: up to the planned number the share rises with its third power (Kim and DeMets
1987), which keeps nearly all for the planned look; a tenth is held back for final runs that nobody had planned.

The levels are exact for normal differences, also of three runs (Jennison and Turnbull 1991): where nothing differs, the
two-sided p of growing samples are a Markov chain of uniform variables. Given the sum and the sum of squares of all
runs, the runs lie uniformly on a sphere, and that gives p of the first few from p of all. Here the chain has `CELLS`
states, equally wide in normal scores.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.optimize import brentq

RESERVE = 0.1
"""Held back at the planned number of runs, for looks beyond it."""

EXPONENT = 3
"""Of the share that looks before the planned number may spend."""

CELLS, DRAWS, SPLITS = 400, 151, 12
"""The chain's states, and the quantiles of the two random numbers of a step."""

SCORES = np.linspace(8, 0, CELLS)
EDGES = np.append(0.0, 2 * special.ndtr(-SCORES))
"""Of the cells, as two-sided p: from 0 to 1, [CELLS + 1]."""
WIDTHS = np.diff(EDGES)
MIDDLES = 2 * special.ndtr(-(SCORES + 4 / (CELLS - 1)))

LEAST = 1e-12
"""Smaller p are not told apart."""


@dataclass(frozen=True)
class Looks:
    """Hold when somebody looked at how a strategy compares with the baseline."""

    runs: tuple[int, ...]
    """Final runs that both had at each look, 2 or more: rising, the present look last."""
    planned: int
    """Final runs that were planned when somebody looked for the first time."""

    def level(self, alpha: float) -> float:
        """Return the uncorrected p that the present look needs, so that all looks err in `alpha` of studies at most."""
        return boundaries(self.runs, self.planned, alpha)

    def corrected(self, p: float) -> float:
        """Return p corrected for all looks (a repeated p): the smallest alpha at which this look is a finding."""
        low, high = (np.log(LEAST), 0.0)
        if p >= self.level(1.0):
            return 1.0
        if p <= self.level(LEAST):
            return LEAST
        return float(np.exp(brentq(lambda alpha: self.level(float(np.exp(alpha))) - p, low, high, xtol=1e-6)))

    def then(self, runs: int) -> "Looks":
        """Return these looks and one more, at `runs` final runs."""
        return Looks((*(each for each in self.runs if each < runs), runs), self.planned)


def share(runs: int, planned: int) -> float:
    """Return the part of alpha that may be spent by the time that there are `runs` final runs."""
    if runs <= planned:
        return (1 - RESERVE) * (runs / planned) ** EXPONENT
    return 1 - RESERVE * planned / runs


def boundaries(looks: tuple[int, ...], planned: int, alpha: float) -> float:
    """Return the level of the last of several looks: each takes what may be spent by then and was not before."""
    unseen, spent, level = np.ones(CELLS), 0.0, 0.0
    for before, runs in zip((0, *looks), looks, strict=False):
        if before:
            unseen = step(before, runs) @ (unseen * np.clip((EDGES[1:] - level) / WIDTHS, 0, 1))
        until = alpha * share(runs, planned)
        level = float(np.interp(until - spent, np.append(0.0, np.cumsum(unseen * WIDTHS)), EDGES))
        spent = until
    return level


@lru_cache(maxsize=256)
def step(few: int, many: int) -> np.ndarray:
    """Return the chances [CELLS, CELLS] that p of the first `few` runs is in a cell, for p of all `many` in another."""
    t = special.stdtrit(many - 1, 1 - MIDDLES / 2)
    share_of_all = np.minimum(t**2 / (many - 1 + t**2), 1 - 1e-15)[:, None, None]  # of the squares, by the common mean
    at = (np.arange(DRAWS) + 0.5) / DRAWS
    t = special.stdtrit(many - 2, at)
    along = (t / np.sqrt(many - 2 + t**2))[:, None]  # a coordinate of a point on the sphere of the residuals
    inner = np.ones(1)
    if many - few > 1:
        inner = special.betaincinv((few - 1) / 2, (many - few - 1) / 2, (np.arange(SPLITS) + 0.5) / SPLITS)
    t = special.stdtrit(few - 1, 1 - EDGES[1:-1] / 2)
    edges = (t**2 / (few - 1 + t**2))[::-1]

    def row_by_row(share_of_all: np.ndarray) -> np.ndarray:
        """Return how many of the draws fall into each cell, for some of the rows."""
        mean = np.sqrt(few / many * share_of_all) + np.sqrt((1 - few / many) * (1 - share_of_all)) * along
        rest = (1 - share_of_all) * (1 - along**2) * inner
        share_of_few = mean**2 / (mean**2 + rest)
        cell = CELLS - 1 - np.searchsorted(edges, share_of_few)
        rows = np.arange(len(cell))[:, None, None] * CELLS
        return np.bincount((rows + cell).ravel(), minlength=len(cell) * CELLS).reshape(-1, CELLS)

    # a few rows at a time: all of them would take more memory than a comparison of thousands of trials
    counts = np.concatenate([row_by_row(some) for some in np.array_split(share_of_all, CELLS // 20)])
    return counts / (DRAWS * inner.size)
