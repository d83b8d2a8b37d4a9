"""When and how a policy is moved: the settings of a `Bilevel`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from autoaug.learners.estimators import ESTIMATORS
from autoaug.lookup import lookup

Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

ADAM: Optimiser = partial(torch.optim.Adam, lr=0.2, betas=(0.5, 0.999))


@dataclass(frozen=True, kw_only=True)
class Updates:
    """When and how the policy is moved. The defaults learn within a few dozen updates."""

    estimator: str = "score"
    """A row of `ESTIMATORS`: "score" or "pathwise". A policy without discrete choices needs "pathwise"."""
    every: int = 5
    """Training steps from one update to the next."""
    warmup: int = 0
    """Epochs without updates at the start."""
    optimiser: Optimiser = ADAM
    """Of the policy's parameters."""
    hyper_batch: int = 400
    """Training images per update, all where there are fewer. They bring the draws of the policy, so many are needed."""
    val_batch: int | None = 600
    """Validation images per update, all where there are fewer; None is all of them."""
    reuse_graph: bool = False
    """Differentiate the training step itself that is due, by the graph that it has anyway, rather than a further one
    on images of its own: `hyper_batch` then has no part, and the loss is that of the mixed images. Costs least. For
    `unrolled(1, ...)` and estimator="pathwise"."""
    micro_batch: int | None = None
    """Images that go through the network at once in an update: it needs memory for so many only, at the price of a
    forward and a backward pass per product with the Hessian (`hypergrad.Parts`). The sum over them is exact but for
    batch normalisation, which takes the statistics of each part, as in training on batches of that size. None is all,
    or `Task.micro_batch`. An `unrolled` hypergradient saves on the validation images only."""
    diagnose: int = 0
    """Every so many updates, record the cosine with finite differences (`diagnose.alignment`); 0 is never. Each costs
    320 steps of training."""

    def __post_init__(self) -> None:
        least_of = {"every": 1, "warmup": 0, "hyper_batch": 2, "val_batch": 1, "micro_batch": 2, "diagnose": 0}
        for name, least in least_of.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise ValueError(f"Updates.{name} is {value!r}: give a whole number of at least {least}")
        lookup(ESTIMATORS, self.estimator, "estimator of Updates")
