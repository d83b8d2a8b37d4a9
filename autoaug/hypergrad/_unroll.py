"""The hypergradient through k steps of an optimiser from the present weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoaug.hypergrad._calculus import (
    Leaves,
    Loss,
    Tree,
    Vector,
    leaves,
    outer_grads,
    partials,
    pull_back,
    used,
    zeros,
)
from autoaug.hypergrad._layers import TwiceDifferentiable
from autoaug.hypergrad._rules import Remembered, SgdRule, UpdateRule, clipped
from autoaug.hypergrad._solvers import add, require

Grads = Callable[[Vector], list[Tensor | None]]
"""Weights -> gradient of the training loss there, None for a weight that it does not use."""


class State(NamedTuple):
    """What a step of the optimiser changes: the weights, and what is remembered of each."""

    weights: Vector
    remembered: list[Remembered]

    def tensors(self) -> Vector:
        """Return weights and buffers in one list."""
        return [*self.weights, *(buffer for each in self.remembered for buffer in each.buffers)]


@dataclass(frozen=True)
class Unrolled:
    """Differentiate the validation loss at the weights after `steps` steps of an optimiser, equal to torch's.

    `train_loss` is called once per step and `val_loss` once, at the end. `unrolled` makes one for SGD.

    Raises:
        ValueError: `steps` is negative, or `clip_norm` not above 0.

    >>> import torch
    >>> from autoaug.hypergrad import SgdRule, Unrolled
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> Unrolled(2, SgdRule(lr=0.25), recompute=True)(train, val, [w], [hyper])
    [tensor([0.7500, 0.2500])]
    """

    steps: int
    rule: UpdateRule | Sequence[UpdateRule]
    """How each weight moves: one rule for all, or one per weight, in the order of the weights."""
    start: Sequence[Remembered] | None = field(default=None, repr=False)
    """What the optimiser remembers of each weight; None is a new optimiser.
    With `dataclasses.replace(hypergrad, rule=..., start=...)` the steps are the ones that training would take next."""
    clip_norm: float | None = None
    """The norm that the gradient of all weights together is clipped to in each step; None leaves it as it is."""
    recompute: bool = False
    """Keep only the weights of each step and make its graph again on the way back: less memory and more time.
    `train_loss` is then called twice per step, and must give the same both times."""

    def __post_init__(self) -> None:
        require(self.steps >= 0, f"steps must not be negative: {self}")
        require(self.clip_norm is None or self.clip_norm > 0, f"clip_norm must be above 0: {self}")

    @torch.enable_grad()
    def __call__(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        grads, state = grads_of(train_loss, at, over), self._start(at)
        taken: list[tuple[State, State | None]] = []
        for _ in range(self.steps):
            after = self._step(grads(state.weights), state)
            taken.append((state, None if self.recompute else after))
            state = cut(after)
        val_grad, total = outer_grads(val_loss, at._replace(tensors=state.weights), over)
        adjoint = [*val_grad, *zeros(state.tensors()[len(val_grad) :])]  # ∂val/∂state, pulled back step by step
        while taken:
            before, kept = taken.pop()
            reached = (kept or self._step(grads(before.weights), before)).tensors()
            inputs = before.tensors() if taken else []  # where the first step began is of no interest
            pulled = pull_back(reached, [*inputs, *over.tensors], adjoint, last=True)
            adjoint, total = pulled[: len(inputs)], add(total, pulled[len(inputs) :])
        return over.like(total)

    @torch.enable_grad()
    def solve(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        """Return p of a single step: how far it falls along ∂val/∂weights at its end, by each entry of its gradient.

        With SGD that is lr ∂val/∂weights, with nesterov 1 + momentum times as much.

        Raises:
            ValueError: there are more steps, which see different weights each, so that no single p stands for them all.
        """
        require(
            self.steps == 1,
            f"unrolled(steps={self.steps}) has no solved vector, only unrolled(steps=1) has: "
            f"neumann({max(self.steps - 1, 0)}, lr) has one and agrees with it near a stationary point",
        )
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        pulled, _ = self._pulled(grads_of(train_loss, at, over)(at.tensors), val_loss, at, over)
        return at.like([zero if p is None else -p for zero, p in zip(zeros(at.tensors), pulled, strict=True)])

    @torch.enable_grad()
    def fused_backward(self, grads: list[Tensor | None], val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        """Return the hypergradient through the single step that training takes next; none of it is computed again.

        Args:
            grads: the gradient of the training loss with its graph, which is freed; one tensor per weight, None for
                a weight that the loss does not use. It is the gradient before it is clipped.
            hyper: the very tensors that the graph begins with.
        """
        require(self.steps == 1, f"only a single step can be one of training, not unrolled(steps={self.steps})")
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        pulled, direct = self._pulled(grads, val_loss, at, over)
        pairs = [(grad, p) for grad, p in zip(grads, pulled, strict=True) if grad is not None and p is not None]
        moved = pull_back([grad for grad, _ in pairs], tree_leaves(hyper), [p for _, p in pairs], last=True)
        return over.like(add(direct, moved))

    def _pulled(
        self, grads: list[Tensor | None], val_loss: Loss, weights: Leaves, hyper: Leaves
    ) -> tuple[list[Tensor | None], Vector]:
        """Return ∂val/∂grad through a single step, None where grads are, and the direct part ∂val/∂hyper."""
        fixed = [None if grad is None else grad.detach().requires_grad_() for grad in grads]
        state = self._start(weights)
        after = self._step(fixed, state).weights
        ends = [weight.detach().requires_grad_() for weight in after]
        val_grad, direct = outer_grads(val_loss, weights._replace(tensors=ends), hyper)
        inputs = [grad for grad in fixed if grad is not None]
        found = iter(pull_back(after, inputs, val_grad, last=True))
        return [None if grad is None else next(found) for grad in fixed], direct

    def _rules(self, weights: Vector) -> Sequence[UpdateRule]:
        if not isinstance(self.rule, Sequence):
            return [self.rule] * len(weights)
        got, wanted = len(self.rule), len(weights)
        require(got == wanted, f"rule must be one, or one per weight, got {got} for {wanted} weights")
        return self.rule

    def _start(self, weights: Leaves) -> State:
        rules = zip(self._rules(weights.tensors), weights.tensors, strict=True)
        kept = [Remembered(rule.fresh(w), 0) for rule, w in rules] if self.start is None else list(self.start)
        got, wanted = len(kept), len(weights.tensors)
        require(got == wanted, f"start must have one entry per weight, got {got} for {wanted} weights")
        return cut(State(weights.tensors, kept))

    def _step(self, grads: list[Tensor | None], state: State) -> State:
        """Return the state after a step, with its graph. A weight without a gradient stays, as in torch."""
        each = (self._rules(state.weights), state.weights, clipped(grads, self.clip_norm), state.remembered)
        moved = [stepped(*row) for row in zip(*each, strict=True)]
        return State([weight for weight, _ in moved], [kept for _, kept in moved])


def stepped(rule: UpdateRule, weight: Tensor, grad: Tensor | None, kept: Remembered) -> tuple[Tensor, Remembered]:
    """Return a weight after a step by a rule, and what is remembered of it then; without a gradient both stay."""
    if grad is None:
        return weight, kept
    moved, buffers = rule.moved(weight, grad, kept.buffers, kept.steps + 1)
    return moved, Remembered(buffers, kept.steps + 1)


def unrolled(
    steps: int, lr: float, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
) -> Unrolled:
    """Make a hypergradient through `steps` steps of SGD from the present weights (Mounsaveng et al. 2021, eq. 8: one).

    It sees what hyper does to these steps, which of few steps is a small part: at a stationary point it equals
    `neumann(steps - 1, lr)`. Memory grows with `steps`; `Unrolled` has an option against that, one for what the
    optimiser remembers, and other rules than that of SGD.

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
    return Unrolled(steps, SgdRule(lr, momentum, weight_decay, nesterov))


def grads_of(train_loss: Loss, weights: Leaves, hyper: Leaves) -> Grads:
    """Return the gradient of `train_loss`, with its graph, as a function of the weights as a list."""

    def grads(at: Vector) -> list[Tensor | None]:
        with TwiceDifferentiable():
            return used(partials(train_loss(weights.like(at), hyper.tree()), at), "train_loss")

    return grads


def cut(state: State) -> State:
    """Return the same numbers as new leaves, so that each step has a graph of its own."""
    kept = [Remembered(tuple(map(new_leaf, buffers)), steps) for buffers, steps in state.remembered]
    return State(list(map(new_leaf, state.weights)), kept)


def new_leaf(tensor: Tensor) -> Tensor:
    """Return the same numbers, in the same memory, as the leaf of a new graph."""
    return tensor.detach().requires_grad_()
