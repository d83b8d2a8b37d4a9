"""What a learner is given in a training loop of the user's own."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from autoaug.models import Part

Labelled = tuple[Tensor, Tensor]
"""Images [B, C, H, W] in [0, 1], and their classes [B], int64."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Hold what a learner may look at after a step of a loop of the user's own: what `Trial.learn` was called with."""

    epoch: int
    """The present one, counted from 1."""
    epochs: int
    """How many have the policy on."""
    step: int
    """The steps of the network's optimiser that were made with the policy on, this one included."""
    steps_per_epoch: int | None
    """None in the first epoch of a loop that did not say it: it is counted there."""
    model: nn.Module
    optimiser: torch.optim.Optimizer
    train: Labelled
    """Of the step that was made, before the policy: all of them, where its gradient was gathered over several calls and
    `Learner.looks_at` asked for them; otherwise those of the last call."""
    val: Callable[[], Labelled]
    """Gives images that the policy never touches. Call it where they are needed only: it may read files."""
    rng: Generator
    logits: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
    """How images in [0, 1] go through a network: normalised, perhaps under autocast."""
    criterion: Callable[[Tensor, Tensor], Tensor] | None = None
    """The training loss of each image, [B], from logits [B, K] and classes [B]; None is the cross-entropy."""
    weights: Part | Collection[str] | None = None
    """What of the network a hypergradient goes through: a part, or names of parameters and modules; None is as the
    learner says."""
    clip_norm: float | None = None
    """The norm that the loop clips the gradient to."""
    micro_batch: int | None = None
    """Images that go through the network at once; None is all of them."""
