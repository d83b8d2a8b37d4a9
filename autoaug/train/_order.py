"""The order in which an epoch goes through the training images.

N training images
"""

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

if TYPE_CHECKING:
    from autoaug.train._task import Task


def epoch_order(task: "Task", targets: Tensor, rng: Generator) -> Tensor:
    """Return the indices [N] of the images of an epoch in random order, int64, on the CPU.

    Each image comes once, or with `Task.balanced="sample"` each class equally often.

    Args:
        targets: the classes [N] of the training images.
    """
    if task.balanced == "sample":
        return balanced_order(targets.cpu(), rng)
    return torch.randperm(len(targets), generator=rng)


def balanced_order(targets: Tensor, rng: Generator) -> Tensor:
    """Return N indices in random order, as many of each class as of every other, or one more.

    Which classes have one more is drawn. Within a class every image comes as often as any other, or once more: those
    of rare classes are repeated, of common ones some are left out.

    Args:
        targets: classes [N], on the CPU.
    """
    total, shuffled = len(targets), torch.randperm(len(targets), generator=rng)
    sizes = [size for size in torch.bincount(targets).tolist() if size]
    groups = shuffled[targets[shuffled].argsort(stable=True)].split(sizes)
    ranks = torch.randperm(len(groups), generator=rng).tolist()
    wanted = [total // len(groups) + (rank < total % len(groups)) for rank in ranks]
    drawn = [group.repeat(-(-count // len(group)))[:count] for group, count in zip(groups, wanted, strict=True)]
    return torch.cat(drawn)[torch.randperm(total, generator=rng)]
