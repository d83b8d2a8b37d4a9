"""Trials that wait for a worker: what each kind of them holds."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoaug.store._optuna import acquaint, id_of_trial

FINAL_RUN = "final_run"
"""User attribute of a final run: which one of its strategy it is, counted from 0; strategies share these seeds."""

KEPT = ("point", "source", "retest", "reread", FINAL_RUN)
"""User attributes that the next attempt at a trial inherits."""


def next_attempt(lost: FrozenTrial, root: int, inherited: Mapping[str, Any]) -> FrozenTrial:
    """Return a trial with the same point; what was reported of it stays, and it has `inherited` user attributes."""
    return create_trial(
        state=TrialState.WAITING,
        params=lost.params,
        distributions=lost.distributions,
        user_attrs={
            "root": root,
            "attempt": lost.user_attrs.get("attempt", 1) + 1,
            **{name: lost.user_attrs[name] for name in KEPT if name in lost.user_attrs},
            **inherited,
        },
        intermediate_values=lost.intermediate_values,
    )


def new_point(root: int) -> FrozenTrial:
    """Return a trial of a search whose point is still to be proposed: which one of it, counted from 0."""
    return create_trial(state=TrialState.WAITING, params={}, distributions={}, user_attrs={"root": root})


Uses = Callable[[str, Mapping[str, Any]], bool]
"""Whether a dimension means something in a point, as far as that is known."""


def propose(
    search: optuna.Study,
    trial: FrozenTrial,
    space: Mapping[str, BaseDistribution],
    uses: Uses = lambda name, point: True,
) -> optuna.Trial:
    """Return the claimed trial with a value for every dimension that it lacks and uses, by the sampler of the search.

    What `Study.ask` does, for a trial that was claimed before: that method takes whichever comes. As there, the sampler
    sees the trials of this moment: a copy of a study has the same storage and sampler, and remembers no trials.
    """
    acquaint(search, trial)
    asked = optuna.Trial(copy(search), id_of_trial(trial))
    for name, rule in space.items():
        if uses(name, asked.params):
            suggest(asked, name, rule)
    return asked


def suggest(asked: optuna.Trial, name: str, rule: BaseDistribution) -> None:
    """Give a trial a value for a dimension.

    Raises:
        TypeError: Optuna has a distribution that this release does not know.
    """
    match rule:
        case FloatDistribution():
            asked.suggest_float(name, rule.low, rule.high, step=rule.step, log=rule.log)
        case IntDistribution():
            asked.suggest_int(name, rule.low, rule.high, step=rule.step, log=rule.log)
        case CategoricalDistribution():
            asked.suggest_categorical(name, rule.choices)
        case _:
            raise TypeError(f"{name} has the distribution {rule}, which autoaug does not know")


def final_run(
    strategies: Sequence[str], strategy: str, seed: int, point: Mapping[str, Any], source: int, retest: bool
) -> FrozenTrial:
    """Return a final run: the best point of a strategy, that of trial `source`, with a seed that only it has.

    The seed is no parameter: a page would draw it as something that was searched.
    """
    return create_trial(
        state=TrialState.WAITING,
        params={"strategy": strategy},
        distributions={"strategy": CategoricalDistribution(strategies)},
        user_attrs={FINAL_RUN: seed, "point": dict(point), "source": source} | ({"retest": True} if retest else {}),
    )


def final_seed(trial: FrozenTrial) -> int:
    """Return which final run of its strategy a trial is. In older storages it is a parameter, `seed`."""
    return int(trial.user_attrs[FINAL_RUN] if FINAL_RUN in trial.user_attrs else trial.params["seed"])


def rerun(searched: FrozenTrial) -> FrozenTrial:
    """Return a trial of the study's task with a point of a search on a proxy."""
    return create_trial(
        state=TrialState.WAITING,
        params=searched.params,
        distributions=searched.distributions,
        user_attrs={"source": searched.number},
    )
