"""What augmentation is worth in images: how many more of them would bring the baseline as far.

Arms of the baseline that learn from other numbers of images, each with data of its own (`Strategy.trained(data=...)`),
are its learning curve. Between two numbers it is a straight line in log n; beyond the largest it says only "more".

The interval holds each n at which the curve cannot be told from the strategy. There the differences of the two over
final runs, paired by seed, have a mean whose interval by Student's t holds zero: a ratio is bounded by inverting a
test (Fieller 1954, "Some problems in interval estimation"). Percentiles of a bootstrap of a handful of seeds, which the
leaderboard leaves alone for the same reason, are too narrow.

R final runs, K numbers of images
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from autoaug.compare._comparison import Comparison
from autoaug.compare._final_runs import FinalRun, final_scores, units
from autoaug.compare._statistics import CONFIDENCE

GRID = 2001
"""Numbers of images, evenly spaced in log n, at which the interval is looked for."""


@dataclass(frozen=True)
class Arm:
    """Hold one point of the baseline's learning curve: images trained on, and the mean test score of its final runs.

    >>> from autoaug.compare import Arm
    >>> Arm("none-2x", images=200, mean=0.91).images
    200
    """

    strategy: str
    images: int
    mean: float


@dataclass(frozen=True)
class Worth:
    """Hold how many times the images the baseline would need to reach what a strategy reaches.

    >>> from autoaug.compare import Arm, Worth
    >>> curve = (Arm("none", 100, 0.80), Arm("none-4x", 400, 0.90))
    >>> Worth("ra", "none", images=100, mean=0.85, curve=curve, runs=3, factor=2.0, low=1.6, high=None).words
    'worth 2x your data [1.6, more than 4]'
    """

    strategy: str
    baseline: str
    images: int
    """That the strategy, and the baseline, learned from."""
    mean: float
    """Of the strategy's test scores."""
    curve: tuple[Arm, ...]
    """Of the baseline, by rising number of images."""
    runs: int
    """Final runs, or studies that repeat a search, that all of them share."""
    factor: float | None
    """None where the strategy is beyond the largest number of images; where it is below the smallest, that of it."""
    low: float | None
    """Ends of the 95 % interval. None beyond the largest number of images, or where one run tells of no interval."""
    high: float | None

    @property
    def largest(self) -> float:
        """Return how many times the images the largest arm has."""
        return self.curve[-1].images / self.images

    @property
    def words(self) -> str:
        """Return the answer as it stands over a figure: "worth 1.8x your data [1.4, 2.3]"."""
        beyond = f"more than {self.largest:.2g}"
        said = f"worth {beyond if self.factor is None else f'{self.factor:.2g}'}x your data"
        if self.runs < 2 or (self.factor is None and self.low is None):
            return said
        low, high = (beyond if end is None else f"{end:.2g}" for end in (self.low, self.high))
        return f"{said} [{low}, {high}]"


def worth(comparison: Comparison) -> Worth | None:
    """Return what the best strategy is worth in images; None where no arm of the baseline has another number of them.

    An arm is a strategy with data of its own and the space of the baseline; where that is empty it has the baseline's
    policy, as far as policies were kept. The best strategy is the first on the leaderboard that is neither the baseline
    nor has data of its own.

    >>> from autoaug.compare import Comparison, leaderboard, worth
    >>> from autoaug.record import Outcome, TrialKind
    >>> definition = {
    ...     "metric": "val_accuracy", "baseline": "none", "spaces": {"none": {}, "ra": {}, "none-4x": {}},
    ...     "task": {"data": "few"}, "tasks": {"none-4x": {"data": "more"}},
    ...     "data": {"few": {"images": {"train": 100}}, "more": {"images": {"train": 400}}},
    ... }
    >>> more = {"study": "s", "state": "COMPLETE", "kind": TrialKind.FINAL}
    >>> outcomes = [
    ...     Outcome(strategy=name, trial=k, root=k, seed=k, metrics={"test_accuracy": score + k / 100}, **more)
    ...     for name, score in {"none": 0.7, "ra": 0.8, "none-4x": 0.9}.items() for k in range(3)
    ... ]
    >>> rows = leaderboard(outcomes, "none", other_data=["none-4x"])
    >>> found = worth(Comparison(("s",), definition, rows, outcomes))
    >>> found.strategy, round(found.factor, 6)
    ('ra', 2.0)
    """
    baseline, sizes = comparison.baseline, curve_sizes(comparison)
    ranked = (row.name for row in comparison.rows if row.test and row.name != baseline and not row.other_data)
    best = next(ranked, None)
    if best is None or len(set(sizes.values())) < 2 or baseline not in sizes:
        return None
    scores = {name: final_scores(comparison.outcomes, name, comparison.metric) for name in [best, *sizes]}
    sizes = {name: images for name, images in sizes.items() if scores[name]}
    shared = sorted(set.intersection(*(set(scores[name]) for name in [best, *sizes])))
    if not shared or len(sizes) < 2 or baseline not in sizes:
        return None
    reached = paired(scores[best], shared, comparison)
    curve = np.array([paired(scores[name], shared, comparison) for name in sizes]).T
    arms = tuple(Arm(name, sizes[name], float(mean)) for name, mean in zip(sizes, curve.mean(axis=0), strict=True))
    images = [float(arm.images) for arm in arms]
    ends = equivalent(images, curve, reached, comparison.maximize)
    factor, low, high = (end and end / sizes[baseline] for end in ends)
    return Worth(best, baseline, sizes[baseline], float(reached.mean()), arms, len(reached), factor, low, high)


def curve_sizes(comparison: Comparison) -> dict[str, int]:
    """Return the training images of the baseline and of its arms, by name, the fewest first."""
    definition, baseline = comparison.definition, comparison.baseline
    tasks: Mapping[str, Mapping[str, Any]] = definition.get("tasks", {})
    facts: Mapping[str, Any] = definition.get("data", {})
    found: dict[int, str] = {}
    for name in [baseline, *comparison.strategies]:
        data = tasks.get(name, {}).get("data", definition.get("task", {}).get("data"))
        images = facts.get(data, {}).get("images", {}).get("train") if data is not None else None
        if images and (name == baseline or (name in comparison.other_data and is_arm(comparison, name))):
            found.setdefault(images, name)
    return {name: images for images, name in sorted(found.items())}


def is_arm(comparison: Comparison, name: str) -> bool:
    """Whether a strategy searches the space of the baseline; where there is nothing to search, it has its policy."""
    spaces, policies, baseline = comparison.definition["spaces"], comparison.policies, comparison.baseline
    kept = name in policies and baseline in policies and not spaces.get(name)
    return spaces.get(name) == spaces.get(baseline) and (
        not kept or policies[name]["root"] == policies[baseline]["root"]
    )


def paired(scores: Mapping[FinalRun, float], shared: Sequence[FinalRun], comparison: Comparison) -> np.ndarray:
    """Return the scores [R] of the runs that all share, or the means of each study where they repeat a search."""
    return np.array(units({run: scores[run] for run in shared}, len(comparison.studies) > 1))


def equivalent(
    images: Sequence[float], curve: np.ndarray, reached: np.ndarray, maximize: bool = True
) -> tuple[float | None, float | None, float | None]:
    """Return with how many images the curve reaches a score, and the ends of its 95 % interval; None beyond the last.

    Args:
        images: K numbers, rising.
        curve: test scores [R, K] with so many images, by final run.
        reached: test scores [R] of what is compared, paired with the curve by final run.
        maximize: whether more of the score is better.
    """
    at = np.linspace(math.log(images[0]), math.log(images[-1]), GRID)
    between = np.array([np.interp(at, np.log(images), run) for run in curve])
    ahead = (reached[:, None] - between) * (1 if maximize else -1)
    mean, runs = ahead.mean(axis=0), len(reached)
    factor = crossing(at, mean)
    if runs < 2:
        return factor, None, None
    half = stats.t.isf((1 - CONFIDENCE) / 2, runs - 1) * ahead.std(axis=0, ddof=1) / math.sqrt(runs)
    return factor, crossing(at, mean - half), crossing(at, mean + half)


def crossing(at: np.ndarray, ahead: np.ndarray) -> float | None:
    """Return where a strategy is no longer ahead of the curve, from few images to many; None where it always is.

    The line from the last point at which it is ahead to the next one says where between the two.
    """
    behind = np.flatnonzero(ahead <= 0)
    if not len(behind):
        return None
    k = int(behind[0])
    if k == 0:
        return float(np.exp(at[0]))
    share = ahead[k - 1] / (ahead[k - 1] - ahead[k])
    return float(np.exp(at[k - 1] + share * (at[k] - at[k - 1])))
