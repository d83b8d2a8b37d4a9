"""Steps of optimisers as functions that can be differentiated: each of one weight, equal to torch's to the last digits.

m and v are the means of the gradient g and of its square, t counts the steps of a weight from 1, η is the learning rate
and d the weight decay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from autoaug.hypergrad._solvers import require


class UpdateRule(Protocol):
    """Move one weight as an optimiser does, by operations that autograd can go through.

    A rule is a value: what it remembers of a weight is handed in and given back. One that goes by the sign of the
    gradient alone, and has nothing to remember:

    >>> import torch
    >>> from autoaug.hypergrad import Unrolled, UpdateRule
    >>> class BySign:
    ...     def fresh(self, weight):
    ...         return ()
    ...     def moved(self, weight, grad, buffers, count):
    ...         return weight - 0.5 * grad.sign(), buffers
    >>> rule: UpdateRule = BySign()
    >>> ahead, at = Unrolled(1, rule), [torch.tensor(1.0)]
    >>> ahead(lambda w, h: w[0] * h[0], lambda w, h: w[0] * h[0], at, [torch.tensor(3.0)])  # 1 - 0.5, and no more
    [tensor(0.5000)]
    """

    def fresh(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Return the buffers of a weight that was never moved, each of its shape."""

    def moved(
        self, weight: Tensor, grad: Tensor, buffers: tuple[Tensor, ...], count: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the weight and its buffers after a step, as new tensors with a graph to all that is given.

        Args:
            grad: of the training loss, in the shape of the weight.
            count: steps of this weight, with this one.
        """


class Remembered(NamedTuple):
    """Hold what an optimiser remembers of a weight: the buffers of its rule, and how many steps it took.

    >>> import torch
    >>> from autoaug.hypergrad import Remembered, SgdRule, Unrolled
    >>> rule, start = SgdRule(lr=0.5, momentum=0.5), [Remembered((torch.tensor(2.0),), steps=7)]
    >>> ahead, at = Unrolled(1, rule, start), [torch.tensor(1.0)]  # to 1 - 0.5 (0.5 2 + 3) = -1, and it grows by -0.5
    >>> ahead(lambda w, h: w[0] * h[0], lambda w, h: w[0] ** 2, at, [torch.tensor(3.0)])  # 2 (-1) (-0.5)
    [tensor(1.)]
    """

    buffers: tuple[Tensor, ...]
    steps: int


@dataclass(frozen=True)
class SgdRule:
    """Move a weight as `torch.optim.SGD` does, without dampening; its buffer is the momentum.

    Raises:
        ValueError: `lr` is negative, or nesterov has no momentum.

    >>> import torch
    >>> from autoaug.hypergrad import SgdRule
    >>> SgdRule(lr=0.5, momentum=0.5).moved(torch.tensor(1.0), torch.tensor(0.25), (torch.tensor(0.5),), count=2)
    (tensor(0.7500), (tensor(0.5000),))
    """

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        require(self.lr >= 0, f"lr must not be negative: {self}")
        require(self.momentum > 0 or not self.nesterov, f"nesterov needs a momentum above 0: {self}")

    def fresh(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Return a momentum of 0, or nothing without momentum."""
        return (torch.zeros_like(weight),) if self.momentum else ()

    def moved(
        self, weight: Tensor, grad: Tensor, buffers: tuple[Tensor, ...], count: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the weight and its momentum after a step."""
        grad = grad + self.weight_decay * weight
        if not self.momentum:
            return weight - self.lr * grad, buffers
        velocity = self.momentum * buffers[0] + grad
        return weight - self.lr * (grad + self.momentum * velocity if self.nesterov else velocity), (velocity,)


@dataclass(frozen=True)
class AdamWRule:
    """Move a weight as `torch.optim.AdamW` does, without amsgrad; its buffers are m and v.

        m ← β1 m + (1 - β1) g,   v ← β2 v + (1 - β2) g²
        w ← (1 - η d) w - η/(1 - β1^t) m / (√(v/(1 - β2^t)) + ε)

    Where v is 0, no gradient ever reached the weight. The root has no derivative there, but the step has one as long as
    m is 0 too: η/(1 - β1^t) (1 - β1)/ε by g, which is what the root gives as a constant. So a dead weight brings no
    NaN, and a gradient that is 0 by chance counts as the huge effect on such a step that it has.

    Raises:
        ValueError: `lr` is negative, a beta is outside [0, 1), or `eps` is not above 0.

    Source: Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.

    >>> import torch
    >>> from autoaug.hypergrad import AdamWRule
    >>> rule, weight = AdamWRule(lr=0.5, weight_decay=0.0), torch.tensor(1.0)
    >>> rule.moved(weight, torch.tensor(-3.0), rule.fresh(weight), count=1)[0]  # the first step has the length lr
    tensor(1.5000)
    """

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        require(self.lr >= 0, f"lr must not be negative: {self}")
        require(all(0 <= beta < 1 for beta in self.betas), f"betas must lie in [0, 1): {self}")
        require(self.eps > 0, f"eps must be above 0, for a step has no derivative where all gradients were 0: {self}")

    def fresh(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Return means of 0."""
        return torch.zeros_like(weight), torch.zeros_like(weight)

    def moved(
        self, weight: Tensor, grad: Tensor, buffers: tuple[Tensor, ...], count: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the weight and both means after a step."""
        (beta, beta_of_square), (mean, square) = self.betas, buffers
        mean = mean + (1 - beta) * (grad - mean)
        square = beta_of_square * square + (1 - beta_of_square) * grad * grad
        unbiased = root(square) / (1 - beta_of_square**count) ** 0.5
        step = self.lr / (1 - beta**count) * mean / (unbiased + self.eps)
        return (1 - self.lr * self.weight_decay) * weight - step, (mean, square)


def root(square: Tensor) -> Tensor:
    """Return the square root, with the derivative 0 where it is 0."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


def clipped(grads: Sequence[Tensor | None], most: float | None) -> list[Tensor | None]:
    """Return gradients scaled down to the norm `most` over all of them, as `torch.nn.utils.clip_grad_norm_` does.

    Smaller ones, and all where `most` is None, stay as they are. The scale is part of the graph.
    """
    given = [grad for grad in grads if grad is not None]
    if most is None or not given:
        return list(grads)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in given]))
    scale = (most / (norm + 1e-6)).clamp(max=1.0)
    return [None if grad is None else grad * scale for grad in grads]
