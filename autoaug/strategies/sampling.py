"""Samplers whose randomness is a function of which trial they are asked for."""

from collections.abc import Callable
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from autoaug.record import ordinals
from autoaug.seeding import derive_seed


class SeededByTrial(BaseSampler):
    """A fresh sampler for every trial, seeded by what the search is called and by which of its trials it is.

    A sampler that is rebuilt when a study is resumed starts its stream of random numbers again and proposes its
    first points a second time. Here the proposal depends on the stored trials alone, so a resumed study goes on as if
    it had never stopped.
    """

    def __init__(self, make: Callable[[int], BaseSampler], *name: object) -> None:
        self.make = make
        self.name = name
        self.current: tuple[int, BaseSampler] | None = None

    def sampler(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if self.current is None or self.current[0] != trial.number:
            trials = study.get_trials(deepcopy=False)[: trial.number + 1]
            ordinal = ordinals(each.user_attrs for each in trials)[-1]
            self.current = trial.number, self.make(derive_seed(*self.name, ordinal))
        return self.current[1]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.sampler(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.sampler(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.sampler(study, trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler(study, trial).before_trial(study, trial)
