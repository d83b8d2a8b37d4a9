"""autoaug: search data augmentation and the training hyperparameters beside it, with evidence.

The names below are imported when they are first used, so that `import autoaug` and the command line's help are instant.
"""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.executors import run
    from autoaug.policy import Policy, load_policy
    from autoaug.record import Record
    from autoaug.study import Budget, Study
    from autoaug.train import Task
    from autoaug.trial import Command, Trial, current
else:
    __getattr__, _ = lazily(
        __name__,
        {
            "executors": "run",
            "policy": "Policy load_policy",
            "record": "Record",
            "study": "Budget Study",
            "train": "Task",
            "trial": "Command Trial current",
        },
    )

__all__ = ["Budget", "Command", "Policy", "Record", "Study", "Task", "Trial", "current", "load_policy", "run"]


def __dir__() -> list[str]:
    return __all__
