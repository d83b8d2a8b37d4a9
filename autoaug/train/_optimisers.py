"""The table of optimisers, `OPTIMISERS`, and how one is made from a network and a task.

Every group of parameters of an optimiser carries "lr_scale": what the learning rate of the schedule is multiplied by
in this group. It is 1 unless something says otherwise.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autoaug.fields import TEXT, Refused, short
from autoaug.lookup import lookup
from autoaug.train._backbone import with_backbone_rate

if TYPE_CHECKING:
    from autoaug.train._task import Task

Groups = list[dict[str, Any]]
"""Groups of parameters, as every optimiser of torch takes them for its first argument."""

BuildOptimiser = Callable[..., torch.optim.Optimizer]
"""(groups, and by name those of `OPTIMISER_FIELDS` that it has) -> Optimizer."""

NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
)
"""Layers that normalise, whose parameters `Task.decay_norms` is about."""

HIGH_RATE = 0.05
"""From which learning rate on it is said that a class of torch's, whose steps are divided by the size of gradients, is
not SGD."""

OPTIMISER_FIELDS = ("lr", "momentum", "nesterov", "weight_decay")
"""Fields of a task that a row of `OPTIMISERS` may take."""


def sgd(parameters: Groups, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> torch.optim.Optimizer:
    """Return SGD with momentum, by Nesterov's rule if there is any to look ahead along."""
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0, weight_decay=weight_decay
    )


OPTIMISERS: dict[str, BuildOptimiser] = {
    "sgd": sgd,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}
"""Each row is called with groups of parameters and with those fields of the task that it names; what else it takes has
the default of torch. The learning rate is the peak, which the schedule scales. A weight decay is decoupled in "adamw",
and added to the gradient in the others. A learner that differentiates through the steps of an optimiser refuses those
that it does not know, before a study runs."""


def optimiser_of(given: Any) -> str | BuildOptimiser:
    """Return the value of `Task.optimiser`: a row of `OPTIMISERS`, also one that was added a moment ago, or a function.

    Raises:
        ValueError: there is no such optimiser; the message holds near names.
    """
    if callable(given):
        return given
    if not TEXT.holds(given):
        raise Refused("the name of an optimiser, or a function of groups of parameters that makes one")
    lookup(OPTIMISERS, given, "optimiser")
    return str(given)


def fields_read(optimiser: str | BuildOptimiser) -> tuple[str, ...]:
    """Return those of `OPTIMISER_FIELDS` that an optimiser reads: a row those that it names, a function none."""
    named = () if callable(optimiser) else inspect.signature(OPTIMISERS[optimiser]).parameters
    return tuple(name for name in OPTIMISER_FIELDS if name in named)


def rate_caution(task: "Task") -> list[str]:
    """Return a caution where the peak of the learning rate is one of SGD and the optimiser is not; or none.

    Steps that are divided by the size of gradients are about as long as the rate, whatever the gradients.
    """
    row = None if callable(task.optimiser) else OPTIMISERS[task.optimiser]
    if not isinstance(row, type) or task.lr < HIGH_RATE:
        return []
    return [
        f"Task.lr={task.lr:g} is a learning rate of SGD: a step of {task.optimiser!r} moves each weight by about as "
        f"much, and torch's default for it is {inspect.signature(row).parameters['lr'].default:g}"
    ]


def build_optimiser(model: nn.Module, task: "Task") -> torch.optim.Optimizer:
    """Return the optimiser of a task for all parameters of a network, at the peak learning rates of its groups.

    Raises:
        TypeError: a function of the user's made something else.
    """
    groups, chosen = groups_of(model, task), task.optimiser
    settings = {name: getattr(task, name) for name in fields_read(chosen)}
    optimiser = (chosen if callable(chosen) else OPTIMISERS[chosen])(groups, **settings)
    if not isinstance(optimiser, torch.optim.Optimizer):
        raise TypeError(f"it gives {short(optimiser)}, which is no torch.optim.Optimizer")
    for group in optimiser.param_groups:
        group["lr_scale"] = group.get("lr_scale", 1.0) * (float(group["lr"]) / task.lr)
    return optimiser


def groups_of(model: nn.Module, task: "Task") -> Groups:
    """Return the parameters of a network in groups, each with its "lr_scale" and what else differs between them.

    All are in one group, in the order of the network; with `Task.decay_norms` off, biases and the parameters of layers
    that normalise are in a second one without weight decay. A group that would be empty is left out. With
    `Task.backbone_lr` each is divided again, into the backbone and the head.
    """
    every = list(model.parameters())
    free = set() if task.decay_norms else {id(parameter) for parameter in undecayed(model)}
    decayed = [parameter for parameter in every if id(parameter) not in free]
    rest = [parameter for parameter in every if id(parameter) in free]
    groups: Groups = [{"params": decayed, "lr_scale": 1.0}, {"params": rest, "lr_scale": 1.0, "weight_decay": 0.0}]
    return with_backbone_rate([group for group in groups if group["params"]], model, task.backbone_lr)


def undecayed(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the biases of a network, and every parameter of the layers that normalise (`NORMS`)."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, NORMS) or name == "bias" or name.endswith("_bias"):
                yield parameter


def own_rate(task: "Task") -> float:
    """Return the peak learning rate of an optimiser that does not read `Task.lr`: the largest of its groups.

    It is asked of one made for a layer of a weight and a bias.

    Raises:
        ValueError: it cannot be made, or its learning rate is not above 0.
    """
    try:
        rate = max(float(group["lr"]) for group in build_optimiser(stand_in(), task).param_groups)
    except Exception as error:  # whatever a function of the user's may raise
        raise ValueError(f"Task.optimiser makes no optimiser: {type(error).__name__}: {error}") from error
    if not rate > 0:
        raise ValueError(f"Task.optimiser makes an optimiser with the learning rate {rate:g}: give one above 0")
    return rate


def stand_in() -> nn.Module:
    """Return a layer of one weight and one bias, both 0: as good as a network to see how an optimiser is made.

    No random numbers are drawn for it.
    """
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(1, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
