"""A walk over the grid of all levels of all dimensions."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from autoaug.strategies.samplers._history import Space, common_space, single_direction, within
from autoaug.strategies.samplers._scale import levels, nearest_level

GOLDEN = (math.sqrt(5) - 1) / 2


class GridSampler(BaseSampler):
    """Visit every point of the grid once before any is visited twice.

    The walk is the same in every search and jumps by the golden section of the grid, so that where it is cut short it
    has been everywhere a little. It goes on from the points that any stored trial has, whoever proposed them. The
    first trial of a study is a random point of the grid. A point that lacks a conditional dimension stands for all its
    levels, so that no two points are visited that differ by nothing else.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """Return the dimensions that are proposed together: all that vary."""
        return common_space(study)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Space) -> dict[str, Any]:
        """Return the next point of the walk.

        Raises:
            ValueError: the study has more than one objective.
        """
        single_direction(study)
        if not search_space:
            return {}
        axes = {name: levels(rule) for name, rule in search_space.items()}
        sizes = [len(axis) for axis in axes.values()]
        others = (each for each in study.get_trials(deepcopy=False) if each.number != trial.number)
        visits = Visits(sizes, (levels_of(each, search_space) for each in others if within(each, search_space)))
        indices = unravel(next_cell(visits, math.prod(sizes)), sizes)
        return {name: axis[k] for (name, axis), k in zip(axes.items(), indices, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random level of one dimension; raise ValueError where the study has more than one objective."""
        single_direction(study)
        known = levels(param_distribution)
        return known[self.rng.integers(len(known))]


class Visits:
    """Count how often each cell of a grid was visited; a point that lacks a dimension was at all its levels."""

    def __init__(self, sizes: list[int], points: Iterable[list[int | None]]) -> None:
        self.sizes = sizes
        self.counts: Counter[int] = Counter()
        self.open: list[list[int | None]] = []
        for point in points:
            if None in point:
                self.open.append(point)
            else:
                self.counts[ravel([k for k in point if k is not None], sizes)] += 1

    def __getitem__(self, number: int) -> int:
        indices = unravel(number, self.sizes)
        return self.counts[number] + sum(
            all(known in (None, k) for known, k in zip(point, indices, strict=True)) for point in self.open
        )


def levels_of(trial: FrozenTrial, space: Space) -> list[int | None]:
    """Return the level of a trial in each dimension; None in those that it lacks."""
    return [nearest_level(rule, trial.params[name]) if name in trial.params else None for name, rule in space.items()]


def next_cell(visits: Visits | Counter[int], size: int) -> int:
    """Return the first cell of the walk, round after round, with fewer visits than the walk has passed it."""
    stride = next(k for k in range(max(1, round(GOLDEN * size)), size + 1) if math.gcd(k, size) == 1)
    step = 0
    while visits[step * stride % size] > step // size:
        step += 1
    return step * stride % size


def ravel(indices: list[int], sizes: list[int]) -> int:
    """Return the number of a cell in a grid, in Python's whole numbers, which do not overflow."""
    number = 0
    for k, size in zip(indices, sizes, strict=True):
        number = number * size + k
    return number


def unravel(number: int, sizes: list[int]) -> list[int]:
    """Return the level of a cell in each dimension, from its number."""
    indices = []
    for size in reversed(sizes):
        number, k = divmod(number, size)
        indices.append(k)
    return indices[::-1]
