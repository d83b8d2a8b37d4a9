"""What a worker applied, read from what it made and not from what it was asked for; and the two compared."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autoaug.study._conditions import others
from autoaug.study._definition import Study
from autoaug.study._setup import Setup, set_up
from autoaug.train import NullLearner, Task, spelt

LARGEST_TREE = 20_000
"""Characters of a policy that are stored with a trial; of a longer one its kind is."""

DEPTH = 8
"""How deep objects are looked into for a value."""


def applied(setup: Setup, task: Task) -> dict[str, Any]:
    """Return what is trained, as plain data: mix, policy and learner, and where its task differs from the study's.

    Args:
        setup: what was made of a point.
        task: the study's.
    """
    tree = setup.policy.tree().model_dump(mode="json", exclude_defaults=True)
    now, given = setup.task.describe(), task.describe()
    return {
        "task": {name: value for name, value in now.items() if value != given[name]},
        "mix": settings(setup.mix),
        "policy": settings(setup.policy) | ({"tree": tree} if len(repr(tree)) <= LARGEST_TREE else {}),
        "learner": None if type(setup.learner) is NullLearner else settings(setup.learner),
    }


def settings(made: Any) -> dict[str, Any]:
    """Return the kind of an object, and its public attributes that are settings."""
    attributes = {name: plain(value) for name, value in getattr(made, "__dict__", {}).items() if name[0] != "_"}
    named = spelt(made) if not hasattr(made, "__dict__") or hasattr(made, "__code__") else type(made).__name__
    attributes = {name: value for name, value in attributes.items() if value is not None and name != "training"}
    return {**attributes, "kind": named}


def plain(value: Any) -> Any:
    """Return a setting as plain data; None for what is none, such as tensors and counts."""
    if isinstance(value, bool | int | float | str):
        return value if not isinstance(value, float) or math.isfinite(value) else f"{value}"
    if isinstance(value, partial):
        return {"kind": spelt(value.func)} | {name: plain(given) for name, given in value.keywords.items()}
    if isinstance(value, torch.optim.Optimizer):
        return {"kind": type(value).__name__} | {name: plain(given) for name, given in value.defaults.items()}
    if isinstance(value, list | tuple):
        numbers = all(isinstance(each, bool | int | float) for each in value)
        return [plain(each) for each in value] if numbers else None
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return spelt(value) if hasattr(value, "__code__") else None


def unapplied(study: Study, strategy: str, point: Mapping[str, Any], *, search: bool = False) -> list[str]:
    """Return the dimensions of a point that leave no trace in what is made of it: any other value makes the same.

    Left out are the dimensions of a loop of the user's own, of which its trial knows which were read, those that the
    proxy of a search sets, and those of a single value. What objects hold is compared, also what their functions hold;
    nothing is trained. Where a point made twice differs from itself, the list is empty.

    Args:
        search: the point is that of a trial on the strategy's proxy.
    """
    known, hidden = study.space_of(strategy), study.strategies[strategy].proxy if search else {}
    asked = [
        name
        for name in point
        if name in known and not name.startswith("train.") and name.removeprefix("task.") not in hidden
    ]
    values = {name: [{**point, name: value} for value in others(known[name], point[name])] for name in asked}
    if not any(values.values()):
        return []
    whole = setup_text(study, strategy, point, search)
    if whole != setup_text(study, strategy, point, search):
        return []
    return [
        name
        for name, changed in values.items()
        if changed and all(setup_text(study, strategy, each, search) == whole for each in changed)
    ]


def setup_text(study: Study, strategy: str, point: Mapping[str, Any], search: bool) -> str:
    """Return all that a point is made into, as a text; of a point that cannot be made, why."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            setup = set_up(study, strategy, point, search=search)
        except Exception as error:  # another value is impossible: then this one was looked at
            return f"{error}"
        return repr([values_in(each) for each in (setup.task, setup.policy, setup.mix, setup.learner)])


def values_in(value: Any, depth: int = DEPTH) -> Any:
    """Return all values in an object, as plain data."""
    if value is None or isinstance(value, bool | int | float | str | type):
        return value
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return tuple(value.shape), hashlib.sha256(flat.numpy().tobytes()).hexdigest()
    kind = type(value).__name__
    if not depth:
        return kind
    if isinstance(value, Mapping):
        return {f"{name}": values_in(each, depth - 1) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [values_in(each, depth - 1) for each in value]
    if isinstance(value, partial):
        return [values_in(each, depth - 1) for each in (value.func, value.args, value.keywords)]
    if hasattr(value, "__code__"):
        cells = value.__closure__ or ()
        return [spelt(value), *(values_in(cell.cell_contents, depth - 1) for cell in cells)]
    return [kind, values_in(getattr(value, "__dict__", {}), depth - 1)]
