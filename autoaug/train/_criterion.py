"""What is minimised: the table `LOSSES`, smoothed targets, and weights of the classes.

B batch, N training images, K classes
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from autoaug.fields import TEXT, Refused
from autoaug.lookup import lookup
from autoaug.mixing import smooth

if TYPE_CHECKING:
    from autoaug.data import Split
    from autoaug.train._task import Task

ImageLosses = Callable[[Tensor, Tensor], Tensor]
"""Logits [B, K] and soft targets [B, K] to the loss of each image, [B], differentiable in the logits."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each image, [B], in nats."""
    return F.cross_entropy(logits, targets, reduction="none")


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each image, [B], in nats: the mean over a yes or no for each class."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)


LOSSES: dict[str, ImageLosses] = {"cross-entropy": cross_entropy, "binary-cross-entropy": binary_cross_entropy}
"""What a training can minimise."""


def loss_of(given: Any) -> str | ImageLosses:
    """Return the value of `Task.loss`: a row of `LOSSES` or a function.

    Raises:
        ValueError: there is no such loss; the message holds near names.
    """
    if callable(given):
        return given
    if not isinstance(given, str) or not TEXT.holds(given):
        raise Refused("the name of a loss, or a function of logits and soft targets")
    lookup(LOSSES, given, "loss")
    return given


@dataclass(frozen=True, eq=False)
class Criterion:
    """Compute the loss of each training image, as a training and the learner within it take it."""

    losses: ImageLosses = cross_entropy
    smoothing: float = 0.0
    """ε of the targets (1 - ε) t + ε / K (Szegedy et al. 2016); in [0, 1)."""
    weights: Tensor | None = None
    """Of the classes, [K]; that of an image is their mean by its targets before they are smoothed."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the losses [B] for logits [B, K] and targets, classes [B] or soft targets [B, K].

        Raises:
            ValueError: the function gives something else than a loss for each image.
        """
        soft = F.one_hot(targets, logits.shape[1]) if targets.dim() == 1 else targets
        soft = soft.to(logits.dtype)
        losses = self.losses(logits, smooth(soft, self.smoothing) if self.smoothing else soft)
        if not isinstance(losses, Tensor) or losses.shape != logits.shape[:1]:
            shape = list(losses.shape) if isinstance(losses, Tensor) else f"a {type(losses).__name__}"
            raise ValueError(
                f"Task.loss gives {shape} for logits {list(logits.shape)}: give the loss of each image, "
                f"[{len(logits)}], as losses of torch do with reduction='none'"
            )
        return losses if self.weights is None else losses * (soft @ self.weights.to(soft))


def criterion_of(task: "Task", train: "Split", classes: int) -> Criterion:
    """Return what a training of a task minimises, on training images of so many classes."""
    losses = task.loss if callable(task.loss) else lookup(LOSSES, task.loss, "loss")
    weights = class_weights(train.targets, classes) if task.balanced == "loss" else None
    return Criterion(losses, task.label_smoothing, weights)


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """Return N / (K n) for each class of n images, [K] in float32, where K counts the classes that have images.

    The mean over the N images of targets [N] is 1. A class without images has 0.
    """
    counts = torch.bincount(targets, minlength=classes).float()
    present = counts > 0
    return torch.where(present, len(targets) / (present.sum() * counts.clamp(min=1)), 0.0)
