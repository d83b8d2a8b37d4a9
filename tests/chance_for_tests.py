"""Simulated studies, and whether a share of them may be what theory gives; both fixed by their generator."""

import numpy as np
from scipy import stats

STUDIES = 1000


def draws(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def is_share(hits: np.ndarray, expected: float) -> bool:
    """Whether a share of simulated studies is what was expected, up to a chance of one in a thousand."""
    return stats.binomtest(int(hits.sum()), hits.size, expected).pvalue > 1e-3


def at_most(hits: np.ndarray, most: float) -> bool:
    return stats.binomtest(int(hits.sum()), hits.size, most, alternative="greater").pvalue > 1e-3


def studies(seeds: int, advantages: list[float], studies: int = STUDIES, seed: int = 0) -> np.ndarray:
    """Paired differences to a baseline, (study, strategy, seed): seeds share half of the spread of 0.02."""
    rng = draws(seed)
    shared = rng.normal(0, 0.02, (studies, 1, seeds))
    baseline = 0.9 + shared + rng.normal(0, 0.02, (studies, 1, seeds))
    own = 0.9 + shared + rng.normal(0, 0.02, (studies, len(advantages), seeds)) + np.array(advantages)[:, None]
    return own - baseline


SPREAD = 0.02 * 2**0.5
"""Standard deviation of the paired differences of `studies`: what the seeds share cancels."""
