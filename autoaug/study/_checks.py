"""What the strategies of a study may search, and how: refused when the study is made where it could not matter."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.pruners import NopPruner

from autoaug.data import data_name, whole_of
from autoaug.lookup import suggest
from autoaug.mixing import MIXES
from autoaug.strategies import Strategy
from autoaug.study._choices import check_choices
from autoaug.study._conditions import refuse_unlearned_mix, refuse_useless_mix
from autoaug.study._dimensions import ends
from autoaug.study._loops import refuse_unread
from autoaug.study._most_epochs import check_lengths, most_epochs
from autoaug.train import MIX_WHEN, SAME_IN_ALL_TRIALS, Task

if TYPE_CHECKING:
    from autoaug.study._definition import Study


def check_strategy(study: "Study", strategy: str) -> None:
    """Refuse a strategy that could not be searched as the study says.

    Raises:
        ValueError: it names the dimension, the point or the field.
    """
    check_own_task(study, strategy)
    check_space(study, strategy)
    check_choices(study.name, study.space_of(strategy))
    check_mix(study, strategy)
    check_first(study, strategy)
    check_lengths(study, strategy)
    check_proxy(study, strategy)
    check_pruner(study, strategy)


def check_kinds(study: "Study") -> None:
    """Refuse what is no strategy or no dimension; a function in place of what it returns is the usual slip."""
    strategies: Mapping[str, Any] = study.strategies
    for name, strategy in strategies.items():
        if not isinstance(strategy, Strategy):
            fix = "call it" if callable(strategy) else "give a Strategy, such as autoaug.strategies.none()"
            raise ValueError(f"strategy {name!r} of study {study.name!r} is a {type(strategy).__name__}: {fix}")
        space: Mapping[str, Any] = {**study.space, **strategy.space}
        for dimension, rule in space.items():
            if not isinstance(rule, BaseDistribution):
                fix = "give one of Optuna's distributions, such as FloatDistribution(0, 1)"
                raise ValueError(f"dimension {dimension!r} in study {study.name!r} is {rule!r}: {fix}")
            if not all(math.isfinite(end) for end in ends(rule)):
                raise ValueError(f"dimension {dimension!r} in study {study.name!r} is {rule!r}: give finite ends")


def check_space(study: "Study", strategy: str) -> None:
    """Refuse a dimension that sets nothing that exists and can matter, or that two spaces set."""
    twice = sorted(set(study.space) & set(study.strategies[strategy].space))
    if twice:
        raise ValueError(f"{twice[0]!r} is in the space of study {study.name!r} and of strategy {strategy!r}: keep one")
    settable = settable_names(study, strategy)
    for name in study.space_of(strategy):
        noun, _, what = name.partition(".")
        if noun not in settable:
            raise ValueError(
                f"unknown dimension {name!r} in study {study.name!r}: it starts with {' or '.join(settable)}"
            )
        names = settable[noun]
        if names is not None and what not in names:
            raise ValueError(f"unknown dimension {name!r} in study {study.name!r}: {suggest(what, names)}")
        if noun == "task" and what in SAME_IN_ALL_TRIALS:
            raise ValueError(
                f"dimension {name!r} in study {study.name!r}: {SAME_IN_ALL_TRIALS[what]} is the same in all trials; "
                f"leave it out, and give Task({what}=...)"
            )
        if noun == "task" and study.train is not None:
            refuse_unread(f"dimension {name!r} of study {study.name!r}", what)
    for name in study.strategies[strategy].conditions:
        if name not in study.strategies[strategy].space:
            known = suggest(name, study.strategies[strategy].space)
            raise ValueError(f"strategy {strategy!r} has a condition for {name!r}, which it does not search: {known}")


def check_mix(study: "Study", strategy: str) -> None:
    """Refuse what is set of a mix and could not matter."""
    space, fixed = study.space_of(strategy), study.mix_of(strategy)
    try:
        refuse_useless_mix(space, fixed)
        if study.strategies[strategy].learns_mix:
            refuse_unlearned_mix(space, fixed)
            refuse_unscheduled(study.deploy)
    except ValueError as error:
        raise ValueError(f"strategy {strategy!r} of study {study.name!r}: {error}") from None


def refuse_unscheduled(deploy: tuple[str, ...]) -> None:
    """Refuse to train anew by a schedule of the policies that were learned, beside which no mix has a schedule.

    Raises:
        ValueError: that is asked for.
    """
    if "policy_schedule" in deploy:
        raise ValueError(
            "deploy='policy_schedule' replays the policy epoch by epoch, and the mix that is learned beside it has no "
            "schedule: give Study(deploy=('last_policy',))"
        )


def check_first(study: "Study", strategy: str) -> None:
    """Refuse points to try first that lie outside the space."""
    try:
        study.first_of(strategy)
    except ValueError as error:
        raise ValueError(f"strategy {strategy!r} of study {study.name!r}: {error}") from None


def check_own_task(study: "Study", strategy: str) -> None:
    """Refuse fields of a task of a strategy's own that make no task, or that its space sets too."""
    own, where = study.strategies[strategy].task, f"the task of strategy {strategy!r} of study {study.name!r}"
    for name, value in own.items():
        if study.train is not None:
            refuse_unread(where, name)
        if f"task.{name}" in {**study.space, **study.strategies[strategy].space}:
            raise ValueError(f"{where}: 'task.{name}' is fixed at {value!r} and a dimension of the space: keep one")
    try:
        study.strategies[strategy].trained(**own)
        task = study.full_task_of(strategy)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None
    here, there = task.data, study.task.data
    if here is not None and there is not None and whole_of(here) != whole_of(there):
        raise ValueError(
            f"{where}: {data_name(here)} and the study's {data_name(there)} are drawn from different datasets, so "
            f"scores would be of different test images: give some of {data_name(whole_of(there))}"
        )


def check_proxy(study: "Study", strategy: str) -> None:
    """Refuse a proxy that makes no task."""
    for name in study.strategies[strategy].proxy if study.train is not None else ():
        refuse_unread(f"the proxy of strategy {strategy!r} of study {study.name!r}", name)
    try:
        study.strategies[strategy].proxied(**study.strategies[strategy].proxy)
        study.task_of(strategy)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the proxy of strategy {strategy!r} of study {study.name!r}: {error}") from None


def check_pruner(study: "Study", strategy: str) -> None:
    """Refuse a pruner for trials that report nothing before their end."""
    rule = study.strategies[strategy].pruner
    if not isinstance(rule, NopPruner) and study.train is None and most_epochs(study, strategy, search=True) < 2:
        raise ValueError(
            f"strategy {strategy!r} of study {study.name!r} has the pruner {type(rule).__name__} and trials of one "
            "epoch, which report nothing before their end: take the pruner away, or give more epochs"
        )


def settable_names(study: "Study", name: str) -> dict[str, set[str] | None]:
    """Return what each noun of a point can set, for one strategy; None is whatever the loop of the study reads."""
    strategy = study.strategies[name]
    return {
        **({} if study.train is None else {"train": None}),
        "policy": parameters(strategy.policy),
        "mix": {"kind", *MIX_WHEN}.union(*(parameters(mix) for mix in MIXES.values())),
        "task": {field.name for field in fields(Task)} - set(MIX_WHEN.values()),
        "learner": parameters(strategy.within) - {"mix"} if strategy.within else set(),
    }


def parameters(function: Any) -> set[str]:
    """Return the names of a function's parameters."""
    return set(inspect.signature(function).parameters)
