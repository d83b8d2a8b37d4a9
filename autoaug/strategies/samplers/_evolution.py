"""CMA-ES (Hansen 2016, "The CMA Evolution Strategy: A Tutorial") whose state is derived from the stored trials."""

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from autoaug.strategies.samplers._history import Space, common_space, scored, single_direction, value_of
from autoaug.strategies.samplers._scale import Numeric, from_unit, to_unit

if TYPE_CHECKING:
    from cmaes import CMA

WIDTH = 0.25
"""The first standard deviation, as a share of each dimension."""


class CmaEsSampler(BaseSampler):
    """Adapt a normal distribution to the better trials.

    Optuna's sampler keeps the optimiser between trials, pickled in the storage. Here a new one is given the stored
    trials, generation by generation in the order of their numbers, which takes milliseconds, so nothing but the trials
    is kept and any process can go on. Points that it did not propose itself, such as known defaults, count like those
    that it did. Where a run has converged, another begins with twice the population (Auger and Hansen 2005).

    Categorical dimensions are sampled at random: the method has no use for them.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """Return the dimensions that are proposed together: those that vary and are no choices."""
        return dict(numeric(common_space(study)))

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Space) -> dict[str, Any]:
        """Return a draw from the normal distribution that the stored trials lead to.

        Raises:
            ValueError: the study has more than one objective.
        """
        single_direction(study)
        space = numeric(search_space)
        if not space:
            return {}
        optimiser = begin(len(space))
        generation: list[tuple[np.ndarray, float]] = []
        for past, value in scored(study, search_space):
            position = np.array([to_unit(rule, value_of(past, name, rule)) for name, rule in space.items()])
            generation.append((position, -value))
            if len(generation) == optimiser.population_size:
                optimiser.tell(generation)
                generation = []
                if optimiser.should_stop():
                    optimiser = begin(len(space), 2 * optimiser.population_size)
        optimiser.reseed_rng(self.seed)
        self.seed += 1
        asked = zip(space.items(), optimiser.ask(), strict=True)
        return {name: from_unit(rule, share) for (name, rule), share in asked}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value of one dimension; raise ValueError where the study has more than one objective."""
        single_direction(study)
        return self.random.sample_independent(study, trial, param_name, param_distribution)


def numeric(space: Space) -> dict[str, Numeric]:
    """Return the dimensions that are no choices."""
    return {name: rule for name, rule in space.items() if isinstance(rule, Numeric)}


def begin(dimensions: int, population: int | None = None) -> "CMA":
    """Return the optimiser before it has seen a trial: in the middle of the unit cube."""
    from cmaes import CMA  # here, because it brings scipy along, and few searches need it

    bounds = np.array([[0.0, 1.0]] * dimensions)
    return CMA(np.full(dimensions, 0.5), WIDTH, bounds=bounds, population_size=population, seed=0)
