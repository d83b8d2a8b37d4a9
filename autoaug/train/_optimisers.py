"""The table of optimisers, `OPTIMISERS`: how each is made from the weights of a network and the fields of a task."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

from autoaug.fields import TEXT, Refused
from autoaug.lookup import lookup

if TYPE_CHECKING:
    from autoaug.train._task import Task

BuildOptimiser = Callable[[Iterable[nn.Parameter], "Task"], torch.optim.Optimizer]


def sgd(parameters: Iterable[nn.Parameter], task: "Task") -> torch.optim.Optimizer:
    """Return SGD with the momentum of the task, by Nesterov's rule if it says so."""
    return torch.optim.SGD(
        parameters,
        lr=task.lr,
        momentum=task.momentum,
        nesterov=task.nesterov and task.momentum > 0,
        weight_decay=task.weight_decay,
    )


OPTIMISERS: dict[str, BuildOptimiser] = {"sgd": sgd}
"""Made at the peak learning rate of the task, which the schedule scales. A learner that differentiates through the
steps of an optimiser refuses those that it does not know, before a study runs."""


def optimiser_name(name: object) -> str:
    """Return the value of `Task.optimiser`: a row of `OPTIMISERS`, also one that was added a moment ago.

    Raises:
        ValueError: there is no such optimiser; the message holds near names.
    """
    if not isinstance(name, str) or not TEXT.holds(name):
        raise Refused("the name of an optimiser")
    lookup(OPTIMISERS, name, "optimiser")
    return name
