"""The hypergradient through k steps of SGD from the present weights."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoaug.hypergrad._calculus import Leaves, Loss, Tree, Vector, leaves, outer_grads, partials, pull_back, used
from autoaug.hypergrad._layers import TwiceDifferentiable
from autoaug.hypergrad._solvers import add, require, scaled

Grads = Callable[[Vector], list[Tensor | None]]
"""Weights -> gradient of the training loss there, None for a weight that it does not use."""


class State(NamedTuple):
    """The tensors that a step of the optimiser changes. `velocity` are its momentum buffers."""

    weights: Vector
    velocity: Vector


@dataclass(frozen=True)
class Unrolled:
    """Differentiate the validation loss at the weights after `steps` steps of SGD, equal to `torch.optim.SGD`'s.

    `train_loss` is called once per step and `val_loss` once, at the end.

    Raises:
        ValueError: `steps` or `lr` is negative, or nesterov has no momentum.

    >>> import torch
    >>> from autoaug.hypergrad import Unrolled
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> Unrolled(steps=2, lr=0.25, recompute=True)(train, val, [w], [hyper])
    [tensor([0.7500, 0.2500])]
    """

    steps: int
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    velocity: Tree | None = field(default=None, repr=False)
    """The optimiser's momentum buffers, in the structure of the weights; None for those of a new optimiser.
    With `dataclasses.replace(hypergrad, lr=..., velocity=...)` the steps are the ones that training would take next."""
    recompute: bool = False
    """Keep only the weights of each step and make its graph again on the way back: less memory and more time.
    `train_loss` is then called twice per step, and must give the same both times."""

    def __post_init__(self) -> None:
        require(self.steps >= 0, f"steps must not be negative: {self}")
        require(self.lr >= 0, f"lr must not be negative: {self}")
        require(self.momentum > 0 or not self.nesterov, f"nesterov needs a momentum above 0: {self}")

    @torch.enable_grad()
    def __call__(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        grads, state = grads_of(train_loss, at, over), self._start(at)
        taken: list[tuple[State, State | None]] = []
        for _ in range(self.steps):
            after = self._step(grads, state)
            taken.append((state, None if self.recompute else after))
            state = cut(after)
        val_grad, total = outer_grads(val_loss, at._replace(tensors=state.weights), over)
        adjoint = [*val_grad, *scaled(state.velocity, 0.0)]  # ∂val/∂state, pulled back step by step
        while taken:
            before, kept = taken.pop()
            reached = joined(kept or self._step(grads, before))
            inputs = joined(before) if taken else []  # where the first step began is of no interest
            pulled = pull_back(reached, [*inputs, *over.tensors], adjoint, last=True)
            adjoint, total = pulled[: len(inputs)], add(total, pulled[len(inputs) :])
        return over.like(total)

    @torch.enable_grad()
    def solve(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        """Return p of a single step: lr ∂val/∂weights at the weights after it, with nesterov 1 + momentum times that.

        Raises:
            ValueError: there are more steps, which see different weights each, so that no single p stands for them all.
        """
        require(
            self.steps == 1,
            f"unrolled(steps={self.steps}) has no solved vector, only unrolled(steps=1) has: "
            f"neumann({max(self.steps - 1, 0)}, {self.lr}) has one and agrees with it near a stationary point",
        )
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        after = cut(self._step(grads_of(train_loss, at, over), self._start(at)))
        val_grad, _ = outer_grads(val_loss, at._replace(tensors=after.weights), over)
        return at.like(scaled(val_grad, self._reach))

    @torch.enable_grad()
    def fused_backward(self, grads: list[Tensor | None], val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        """Return the hypergradient through the single step that training takes next; none of it is computed again.

        Args:
            grads: the gradient of the training loss with its graph, which is freed; one tensor per weight, None for
                a weight that the loss does not use.
            hyper: the very tensors that the graph begins with.
        """
        require(self.steps == 1, f"only a single step can be one of training, not unrolled(steps={self.steps})")
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        fixed = [grad if grad is None else grad.detach() for grad in grads]
        after = cut(self._step(lambda _: fixed, self._start(at)))
        val_grad, direct = outer_grads(val_loss, at._replace(tensors=after.weights), over)
        pairs = [(grad, adjoint) for grad, adjoint in zip(grads, val_grad, strict=True) if grad is not None]
        moved = pull_back([grad for grad, _ in pairs], tree_leaves(hyper), [adjoint for _, adjoint in pairs], last=True)
        return over.like(add(direct, moved, -self._reach))

    @property
    def _reach(self) -> float:
        """Return how far a step moves a weight, in units of its grad."""
        return self.lr * (1.0 + self.momentum * self.nesterov)

    def _start(self, weights: Leaves) -> State:
        kept = scaled(weights.tensors, 0.0) if self.velocity is None else tree_leaves(self.velocity)
        got, wanted = len(kept), len(weights.tensors)
        require(got == wanted, f"velocity must have one tensor per weight, got {got} for {wanted} weights")
        return cut(State(weights.tensors, kept))

    def _step(self, grads: Grads, state: State) -> State:
        """Return the state after a step of SGD, with its graph. A weight without a gradient stays, as in torch."""
        rows = zip(state.weights, state.velocity, grads(state.weights), strict=True)
        moved = [(w, v) if grad is None else self._moved(w, v, grad) for w, v, grad in rows]
        return State([w for w, _ in moved], [v for _, v in moved])

    def _moved(self, weight: Tensor, velocity: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        grad = grad + self.weight_decay * weight
        if not self.momentum:
            return weight - self.lr * grad, velocity
        velocity = self.momentum * velocity + grad
        return weight - self.lr * (grad + self.momentum * velocity if self.nesterov else velocity), velocity


def unrolled(
    steps: int, lr: float, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
) -> Unrolled:
    """Make a hypergradient through `steps` steps of SGD from the present weights (Mounsaveng et al. 2021, eq. 8: one).

    It sees what hyper does to these steps, which of few steps is a small part: at a stationary point it equals
    `neumann(steps - 1, lr)`. Memory grows with `steps`; `Unrolled` has an option against that, and one for the momentum
    buffers to start from.

    Raises:
        ValueError: `steps` or `lr` is negative, or nesterov has no momentum.

    >>> import torch
    >>> from autoaug.hypergrad import neumann, unrolled
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> unrolled(steps=2, lr=0.25)(train, val, [w], [hyper])
    [tensor([0.7500, 0.2500])]
    >>> neumann(steps=1, lr=0.25)(train, val, [w], [hyper])  # the same at a minimum
    [tensor([0.7500, 0.2500])]
    """
    return Unrolled(steps, lr, momentum, weight_decay, nesterov)


def grads_of(train_loss: Loss, weights: Leaves, hyper: Leaves) -> Grads:
    """Return the gradient of `train_loss`, with its graph, as a function of the weights as a list."""

    def grads(at: Vector) -> list[Tensor | None]:
        with TwiceDifferentiable():
            return used(partials(train_loss(weights.like(at), hyper.tree()), at), "train_loss")

    return grads


def cut(state: State) -> State:
    """Return the same numbers as new leaves, so that each step has a graph of its own."""
    return State(*([tensor.detach().requires_grad_() for tensor in part] for part in state))


def joined(state: State) -> Vector:
    """Return weights and momentum buffers in one list."""
    return [*state.weights, *state.velocity]
