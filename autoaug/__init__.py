"""autoaug: search data augmentation and the training hyperparameters beside it, with evidence.

The names below are imported when they are first used, so that `import autoaug` and the command line's help are instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoaug.executors import run
    from autoaug.policy import Policy, load_policy
    from autoaug.record import Record
    from autoaug.study import Budget, Study
    from autoaug.train import Task

HOMES = {
    "Budget": "autoaug.study",
    "Policy": "autoaug.policy",
    "Record": "autoaug.record",
    "Study": "autoaug.study",
    "Task": "autoaug.train",
    "load_policy": "autoaug.policy",
    "run": "autoaug.executors",
}

__all__ = ["Budget", "Policy", "Record", "Study", "Task", "load_policy", "run"]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module 'autoaug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
