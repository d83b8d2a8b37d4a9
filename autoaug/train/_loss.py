"""The loss of a training minibatch, computed part by part when it is asked for.

B batch, C channels, H height, W width, K classes
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoaug.mixing import Hidden

if TYPE_CHECKING:
    from autoaug.train._run import TrainingRun
    from autoaug.train._task import Task


@dataclass(frozen=True, eq=False)
class MinibatchLoss:
    """The mean loss of a training minibatch (`Task.loss`); the network sees it in parts of `Task.micro_batch`.

    Nothing is computed until a method is called, so that a learner can decide under which context the forward pass runs
    and whether its graph is kept. Call one of the two methods, once: each pass moves the running statistics of the
    network and draws its dropout.
    """

    run: "TrainingRun"
    images: Tensor
    """[B, C, H, W] in [0, 1], after the policy and the mix."""
    targets: Tensor
    """Soft targets [B, K], not smoothed; each row sums to 1."""
    hidden: Hidden | None = None
    """How the network mixes activations of its own, in one part alone; None where it does not."""

    def backward(self, *, shared_graph: bool = False) -> Tensor:
        """Leave the gradients in the parameters and return the loss as a detached scalar.

        The parts go forward and backward one after the other, so memory is needed for one of them only.

        Args:
            shared_graph: the images have a graph, the policy's, which all parts share and which is freed by the last.
        """
        total = torch.zeros((), device=self.images.device)
        for loss, last in self._parts():
            loss.backward(retain_graph=shared_graph and not last)
            total += loss.detach()
        return total

    def with_graph(self) -> Tensor:
        """Return the loss, a scalar, with the graph of all parts; its gradients are left to the caller."""
        return torch.stack([part for part, _ in self._parts()]).sum()

    def _parts(self) -> Iterator[tuple[Tensor, bool]]:
        """Compute what each part adds to the mean loss, and whether it is the last one."""
        size = len(self.images)
        count = parts(self.run.task, size)
        pairs = list(zip(self.images.tensor_split(count), self.targets.tensor_split(count), strict=True))
        for k, (images, targets) in enumerate(pairs, start=1):
            with self.hidden(self.run.model) if self.hidden else nullcontext():
                logits = self.run.logits(images)
            loss = self.run.criterion(logits, targets).mean()
            yield loss * (len(images) / size), k == len(pairs)


def parts(task: "Task", images: int) -> int:
    """Return in how many parts of about the same size a minibatch of so many images goes through the network."""
    return math.ceil(images / (task.micro_batch or images))


def smallest_part(task: "Task", images: int) -> int:
    """Return the fewest images that go through the network at once while it trains on a dataset of `images` images."""
    minibatch = min(task.batch_size, images)
    return minibatch // parts(task, minibatch)
