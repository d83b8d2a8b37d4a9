"""Samplers whose randomness is a function of which trial they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from autoaug.record import ordinals
from autoaug.seeding import derive_seed


class SeededByTrial(BaseSampler):
    """Make a sampler for every trial anew, seeded by the name of the search and the number of the trial in it.

    A sampler that is rebuilt when a study is resumed starts its stream of random numbers again and proposes its
    first points a second time. Here the proposal depends on the stored trials alone, so a resumed study goes on as if
    it had never stopped.

    The first trials are the points of `first`, in their order; the sampler fills in what a point leaves open, one
    dimension at a time, and later sees these trials like any other.

    Args:
        make: a seed to a sampler, such as a row of `SAMPLERS`.
        name: what the seeds derive from, such as the study's name and seed and the name of the strategy.
        first: points to try before the sampler proposes any, each a value by the name of its dimension.
    """

    def __init__(
        self, make: Callable[[int], BaseSampler], *name: object, first: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.make = make
        self.name = name
        self.first = first
        self.current: tuple[int, BaseSampler, Mapping[str, Any] | None] | None = None

    def sampler_and_point(self, study: Study, trial: FrozenTrial) -> tuple[BaseSampler, Mapping[str, Any] | None]:
        """Return the sampler of a trial, and its point of `first`; None where it is not one of the first trials."""
        if self.current is None or self.current[0] != trial.number:
            ordinal = trial.user_attrs.get("root")
            if ordinal is None:
                ordinal = ordinals(each.user_attrs for each in study.get_trials(deepcopy=False)[: trial.number + 1])[-1]
            given = self.first[ordinal] if ordinal < len(self.first) else None
            self.current = trial.number, self.make(derive_seed(*self.name, ordinal)), given
        return self.current[1:]

    def sampler(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        """Return the sampler of a trial, which is made when it is first asked for."""
        return self.sampler_and_point(study, trial)[0]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the dimensions that the trial's sampler proposes together; none for a point of `first`."""
        sampler, given = self.sampler_and_point(study, trial)
        return sampler.infer_relative_search_space(study, trial) if given is None else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the trial's sampler proposes together."""
        return self.sampler(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value of one dimension: that of the point of `first`, or what the trial's sampler proposes."""
        sampler, given = self.sampler_and_point(study, trial)
        if given is not None and param_name in given:
            return given[param_name]
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let the trial's sampler do what it does before a trial."""
        self.sampler(study, trial).before_trial(study, trial)
