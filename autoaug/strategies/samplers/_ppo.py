"""The controller of AutoAugment as an Optuna sampler whose state is derived from the stored trials."""

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from optuna import Study
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from torch import Generator

from autoaug.strategies.samplers._controller import ControllerTraining, Ppo
from autoaug.strategies.samplers._history import Space, common_space, scored, single_direction, value_of
from autoaug.strategies.samplers._scale import levels, nearest_level

REMEMBERED = 16
"""States of controllers that are kept in memory: enough for the strategies of a few studies side by side."""

Batch = tuple[tuple[tuple[int, ...], float], ...]
"""Decisions and reward of the trials of one update."""

states: OrderedDict[str, ControllerTraining] = OrderedDict()
"""Controllers by the history that they have learned from: a shortcut, which changes no proposal."""


class PPOSampler(BaseSampler):
    """Propose what the recurrent controller of AutoAugment decides, one dimension after the other.

    A continuous dimension is cut into 11 levels. The controller is trained again on the stored trials, batch by batch
    in the order of their numbers, so nothing but the trials is kept and any process can go on; what a process has
    trained once, it remembers. Points that it did not propose itself, such as known defaults, teach it like its own.
    """

    def __init__(self, seed: int, settings: Ppo | None = None) -> None:
        self.settings = settings or Ppo()
        self.rng = Generator().manual_seed(seed)
        self.random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """Return the dimensions that are proposed together: all that vary."""
        return common_space(study)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Space) -> dict[str, Any]:
        """Return what the controller decides after learning from the stored trials.

        Raises:
            ValueError: the study has more than one objective.
        """
        single_direction(study)
        if not search_space:
            return {}
        history = [
            (tuple(nearest_level(rule, value_of(past, name, rule)) for name, rule in search_space.items()), value)
            for past, value in scored(study, search_space)
        ]
        batch = self.settings.batch
        batches = [tuple(history[k : k + batch]) for k in range(0, len(history) - batch + 1, batch)]
        taken = train(search_space, self.settings, batches).controller.sample(self.rng)
        return {name: levels(rule)[k] for (name, rule), k in zip(search_space.items(), taken, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value of one dimension; raise ValueError where the study has more than one objective."""
        single_direction(study)
        return self.random.sample_independent(study, trial, param_name, param_distribution)


def train(space: Space, settings: Ppo, batches: Sequence[Batch]) -> ControllerTraining:
    """Return the controller after a history, trained on from the longest part of it that is remembered."""
    names = digests(space, settings, batches)
    known = max((k for k, name in enumerate(names) if name in states), default=None)
    if known == len(batches):
        return states[names[-1]]
    if known is None:
        training = ControllerTraining([len(levels(rule)) for rule in space.values()], settings)
    else:
        training = copy.deepcopy(states[names[known]])
    for batch in batches[known or 0 :]:
        training.update(torch.tensor([taken for taken, _ in batch]), torch.tensor([value for _, value in batch]))
    states[names[-1]] = training
    states.move_to_end(names[-1])
    while len(states) > REMEMBERED:
        states.popitem(last=False)
    return training


def digests(space: Space, settings: Ppo, batches: Sequence[Batch]) -> list[str]:
    """Return a name for the history before the first batch, after the first, after the second ..."""
    rules = [(name, distribution_to_json(rule)) for name, rule in space.items()]
    whole = hashlib.sha256(repr((rules, settings)).encode())
    names = [whole.hexdigest()]
    for batch in batches:
        whole.update(repr(batch).encode())
        names.append(whole.hexdigest())
    return names
