"""What samplers of our own read of a study: everything they know is derived from its stored trials."""

import math
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autoaug.strategies._space import Space
from autoaug.strategies.samplers._scale import from_unit, in_support


def common_space(study: Study) -> Space:
    """Return the dimensions that vary, by name: first those of all complete trials, then those that only some have.

    Left out are dimensions that were not the same in all trials that have them.
    """
    trials = [each.distributions for each in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    rules = {name: rule for each in trials for name, rule in each.items()}
    constant = {name for name, rule in rules.items() if all(each.get(name, rule) == rule for each in trials)}
    always = [name for name in constant if all(name in each for each in trials)]
    names = [*sorted(always), *sorted(constant - set(always))]
    return {name: rules[name] for name in names if not rules[name].single()}


def scored(study: Study, space: Space) -> list[tuple[FrozenTrial, float]]:
    """Return the complete trials within a space, in their order, with values of which higher ones are better."""
    sign = 1.0 if single_direction(study) == StudyDirection.MAXIMIZE else -1.0
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    known = [(trial, sign * trial.value) for trial in trials if trial.value is not None and within(trial, space)]
    return [(trial, value) for trial, value in known if math.isfinite(value)]


def within(trial: FrozenTrial, space: Space) -> bool:
    """Whether a trial lies in a space, as far as it has its dimensions."""
    return bool(trial.params) and all(
        in_support(rule, trial.params[name]) for name, rule in space.items() if name in trial.params
    )


def value_of(trial: FrozenTrial, name: str, rule: BaseDistribution) -> Any:
    """Return the value of a trial in a dimension; of a conditional one that the trial lacks, the middle.

    Args:
        name: the dimension.
        rule: its distribution; of choices, the first stands for the middle.
    """
    if name in trial.params:
        return trial.params[name]
    return rule.choices[0] if isinstance(rule, CategoricalDistribution) else from_unit(rule, 0.5)  # type: ignore[arg-type]


def single_direction(study: Study) -> StudyDirection:
    """Return the direction of a study.

    Raises:
        ValueError: the study has more than one objective.
    """
    if len(study.directions) > 1:
        raise ValueError(f"this sampler serves one objective, and the study has {len(study.directions)}")
    return study.direction
