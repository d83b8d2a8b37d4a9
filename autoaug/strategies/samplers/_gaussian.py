"""A Gaussian process for as long as it is affordable."""

import warnings
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

MOST = 300
"""Trials that a Gaussian process is fitted to; the work for each proposal grows with their third power."""


class CappedGPSampler(BaseSampler):
    """Propose by Optuna's Gaussian process up to `MOST` complete trials, and by TPE, which scales, after that."""

    def __init__(self, seed: int) -> None:
        self.process = GPSampler(seed=seed, warn_independent_sampling=False)
        self.parzen = TPESampler(seed=seed)

    def inner(self, study: Study) -> BaseSampler:
        """Return the sampler that proposes at present, with a warning where it is no longer the Gaussian process."""
        if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) <= MOST:
            return self.process
        message = f"more than {MOST} trials are too many for a Gaussian process: TPE proposes instead"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return self.parzen

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the dimensions that the present sampler proposes together."""
        return self.inner(study).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the present sampler proposes together."""
        return self.inner(study).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return what the present sampler proposes for one dimension."""
        return self.inner(study).sample_independent(study, trial, param_name, param_distribution)
