"""When and how a policy is moved: the settings of a `Bilevel`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import torch
from torch import nn

from autoaug.fields import TEXT, at_least, check_fields
from autoaug.learners._estimators import ESTIMATORS
from autoaug.lookup import lookup
from autoaug.models import Part

if TYPE_CHECKING:
    from autoaug.train import Task

Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

ADAM: Optimiser = partial(torch.optim.Adam, lr=0.2, betas=(0.5, 0.999))


@dataclass(frozen=True, kw_only=True)
class Updates:
    """Say when and how the policy is moved. The defaults learn within a few dozen updates.

    Raises:
        ValueError: a field is out of its range, or there is no such estimator; the message names the field.
    """

    estimator: Annotated[str, TEXT] = "score"
    """A row of `ESTIMATORS`: "score" or "pathwise". A policy without discrete choices needs "pathwise"."""
    every: Annotated[int, at_least(1)] = 5
    """Training steps from one update to the next."""
    warmup: Annotated[int, at_least(0)] = 0
    """Epochs without updates at the start."""
    optimiser: Optimiser = ADAM
    """Of the policy's parameters."""
    hyper_batch: Annotated[int, at_least(2)] = 400
    """Training images per update, all where there are fewer. They bring the draws of the policy, so many are needed."""
    val_batch: Annotated[int | None, at_least(1)] = 600
    """Validation images per update, all where there are fewer; None is all of them."""
    part: Part = "all"
    """What of the network a hypergradient goes through: "all", its "head" or its "last-block" (`models.names_of`). The
    weights of the rest are then taken for constant, though they train: an update costs less, and is less true."""
    reuse_graph: bool = False
    """Differentiate the training step itself that is due, by the graph that it has anyway, rather than a further one
    on images of its own: `hyper_batch` then has no part, and the loss is that of the mixed images. Costs least. For
    `unrolled(1, ...)` and estimator="pathwise"."""
    micro_batch: Annotated[int | None, at_least(2)] = None
    """Images that go through the network at once in an update: it needs memory for so many only, at the price of a
    forward and a backward pass per product with the Hessian (`hypergrad.Parts`). The sum over them is exact but for
    batch normalisation, which takes the statistics of each part, as in training on batches of that size. None is all,
    or `Task.micro_batch`. An `unrolled` hypergradient saves on the validation images only."""
    diagnose: Annotated[int, at_least(0)] = 0
    """Every so many updates, record the cosine with finite differences (`diagnose.alignment`); 0 is never. Each costs
    320 steps of training."""

    def __post_init__(self) -> None:
        check_fields(self)
        lookup(ESTIMATORS, self.estimator, "estimator of Updates")

    def expected(self, task: "Task", train_images: int) -> int:
        """Return how many updates a training of the task on so many images brings."""
        steps = max(1, train_images // task.batch_size)
        return max(0, task.epochs * steps // self.every - self.warmup * steps // self.every)


Scale = Callable[["Task", int], Updates]
"""The settings for a training, from its task and its number of training images."""
