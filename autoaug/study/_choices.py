"""Choices of a dimension: what a storage can hold, and give back as it was."""

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autoaug.models import is_file

TABLES = {
    "task.model": "autoaug.models.MODELS",
    "task.optimiser": "autoaug.train.OPTIMISERS",
    "task.loss": "autoaug.train.LOSSES",
    "mix.kind": "autoaug.mixing.MIXES",
}
"""Where a function of the user's gets the name by which a dimension can choose it."""


def check_choices(study: str, space: Mapping[str, BaseDistribution]) -> None:
    """Refuse choices that a storage would change or lose. Optuna itself warns of some, and fails later.

    Raises:
        ValueError: it names the dimension, the choice and what to give instead.
    """
    for name, rule in space.items():
        for choice in rule.choices if isinstance(rule, CategoricalDistribution) else ():
            if not is_storable(choice):
                raise ValueError(
                    f"dimension {name!r} in study {study!r} has the choice {reprlib.repr(choice)}, which no storage "
                    f"can hold: {instead(name, choice)}"
                )
            if name == "task.weights" and isinstance(choice, str) and is_file(choice):
                refuse_relative(study, Path(choice))


def refuse_relative(study: str, weights: Path) -> None:
    """Refuse a file of weights whose place depends on the folder that a process runs in: that of a worker is another.

    Raises:
        ValueError: the path is relative.
    """
    if not weights.expanduser().is_absolute():
        raise ValueError(
            f"dimension 'task.weights' in study {study!r} has the choice {str(weights)!r}, which is another file in "
            f"the folder of another process: give the whole path, {str(weights.absolute())!r}"
        )


def is_storable(choice: object) -> bool:
    """Whether JSON holds a value, and two of it are equal: NaN is never found again."""
    if isinstance(choice, float):
        return math.isfinite(choice)
    return choice is None or isinstance(choice, bool | int | str)


def instead(name: str, choice: object) -> str:
    """Return what to give in place of a choice."""
    if callable(choice) and name in TABLES:
        given = getattr(choice, "__name__", "mine")
        return f"give it a name, {TABLES[name]}[{given!r}] = {given}, and choose among names"
    if name == "task.standard":
        return "give its text, Task(standard=...).standard"
    return "give texts, finite numbers, True, False or None, and let a strategy make of them what it needs"
