"""What samplers of our own read of a study: everything they know is derived from its stored trials."""

import math

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

Space = dict[str, BaseDistribution]


def common_space(study: Study) -> Space:
    """The dimensions that all complete trials share and that vary, by name."""
    space = intersection_search_space(study.get_trials(deepcopy=False))
    return {name: rule for name, rule in space.items() if not rule.single()}


def scored(study: Study, space: Space) -> list[tuple[FrozenTrial, float]]:
    """The complete trials within a space, in their order, with values of which higher ones are better."""
    sign = 1.0 if single_direction(study) == StudyDirection.MAXIMIZE else -1.0
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    known = [(trial, sign * trial.value) for trial in trials if trial.value is not None and within(trial, space)]
    return [(trial, value) for trial, value in known if math.isfinite(value)]


def within(trial: FrozenTrial, space: Space) -> bool:
    return all(
        name in trial.params and rule._contains(rule.to_internal_repr(trial.params[name]))
        for name, rule in space.items()
    )


def single_direction(study: Study) -> StudyDirection:
    if len(study.directions) > 1:
        raise ValueError(f"this sampler serves one objective, and the study has {len(study.directions)}")
    return study.direction
