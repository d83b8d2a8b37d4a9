"""First and second derivatives of losses that are functions of (weights, hyper): what hypergradients are made of."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from autoaug.hypergrad._layers import TwiceDifferentiable

Tree = Any
"""A tensor, or lists, tuples and dicts of trees. What goes in as a list comes out as a list."""

Loss = Callable[[Tree, Tree], Tensor]
"""(weights, hyper) -> scalar, computed with these two and by operations that have a second derivative.

A custom autograd function that is marked `once_differentiable` is taken for a linear one, and autograd does not say so.
"""

Vector = list[Tensor]
"""One tensor per weight: a point in the space of the weights."""

Product = Callable[[Vector], Vector]
"""v -> A v for a symmetric matrix A over the weights."""


class Hypergrad(Protocol):
    """Return the total derivative of the validation loss with respect to `hyper`, its direct dependence included.

    The result has the structure, shapes, dtypes and devices of `hyper`, and zeros where nothing depends on an entry.
    Inputs need not require gradients and are not changed. NaN and infinity are passed on: whether to skip such a step
    is the caller's decision.
    """

    def __call__(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree: ...


class Solving(Protocol):
    """Return a hypergradient, or the vector p that it solved for, in the structure of the weights.

    The indirect part of the hypergradient is - ∂/∂hyper <p, ∂train/∂weights>. A score-function estimator needs p
    itself: where hyper only decides how often something is drawn, a sample's credit is the derivative of its loss
    along p (`directional`).
    """

    def __call__(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree: ...

    def solve(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree: ...


@runtime_checkable
class Stateful(Protocol):
    """A Hypergrad that keeps something from call to call, which a checkpoint must hold.

    >>> from autoaug.hypergrad import Stateful, neumann
    >>> isinstance(neumann(5, 0.1), Stateful)
    False
    """

    def __call__(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree: ...

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept: tensors and plain data."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


class Leaves(NamedTuple):
    """A tree taken apart into tensors that gradients can be taken with respect to."""

    tensors: Vector
    spec: TreeSpec

    def tree(self) -> Tree:
        """Return the tensors in the structure of this tree."""
        return self.like(self.tensors)

    def like(self, tensors: Sequence[Tensor]) -> Tree:
        """Return `tensors`, one per leaf, in the structure of this tree."""
        return tree_unflatten(tensors, self.spec)


def leaves(tree: Tree, name: str) -> Leaves:
    """Return the tensors of a tree cut off from whatever computed them: the same memory, but leaves of a new graph.

    Raises:
        TypeError: a leaf is no tensor of floating point numbers.
    """
    tensors, spec = tree_flatten(tree)
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"{name} must be floating point tensors in lists, tuples or dicts, found {kind}")
    return Leaves([tensor.detach().requires_grad_() for tensor in tensors], spec)


class Linearisation(NamedTuple):
    """The training loss around a point, by the graph of its gradient g."""

    product: Product
    """v -> curvature v, as often as it is wanted."""
    mixed: Product
    """v -> ∂/∂hyper <v, g>, once: it frees the graph."""


Curvature = Callable[[Loss, Leaves, Leaves], Linearisation]
"""(train_loss, weights, hyper) -> Linearisation."""


def hessian(train_loss: Loss, weights: Leaves, hyper: Leaves) -> Linearisation:
    """Return products with the Hessian of the training loss.

    Away from a minimum, as on any mini-batch, it has negative eigenvalues too.
    """
    with TwiceDifferentiable():
        gradient = grads(train_loss(weights.tree(), hyper.tree()), weights.tensors, "train_loss")
    return Linearisation(
        partial(pull_back, gradient, weights.tensors), partial(pull_back, gradient, hyper.tensors, last=True)
    )


@dataclass(frozen=True)
class ModelLoss:
    """Compose a loss of the network and of what is measured on its outputs, as Gauss-Newton products need it.

    `logits(weights, hyper)` gives the network's outputs, or a tuple of them and whatever else `loss` takes: soft
    targets that depend on hyper, or a weight decay term. `loss(logits, *rest)` is a scalar. The whole is a `Loss`.

    >>> import torch
    >>> from autoaug.hypergrad import ModelLoss
    >>> inputs, targets = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([1.0, 1.0])
    >>> def logits(weights, hyper):
    ...     return inputs @ weights[0], targets * hyper[0]
    >>> def loss(logits, targets):
    ...     return (logits - targets).square().sum()
    >>> ModelLoss(logits, loss)([torch.tensor([3.0, 1.0])], [torch.tensor(2.0)])  # (3 - 2)^2 + (2 - 2)^2
    tensor(1.)
    """

    logits: Callable[[Tree, Tree], Any]
    loss: Callable[..., Tensor]

    def __call__(self, weights: Tree, hyper: Tree) -> Tensor:
        return self.loss(*self.outputs(weights, hyper))

    def outputs(self, weights: Tree, hyper: Tree) -> tuple[Any, ...]:
        """Return the arguments of `loss`."""
        outputs = self.logits(weights, hyper)
        return outputs if isinstance(outputs, tuple) else (outputs,)


def gauss_newton(train_loss: Loss, weights: Leaves, hyper: Leaves) -> Linearisation:
    """Return products with Jᵀ L J, where J = ∂logits/∂weights and L = ∂²loss/∂logits².

    It is the Hessian without the network's own curvature: positive semidefinite where the loss is convex in the logits,
    as cross-entropy and squared error are (Schraudolph 2002).

    Raises:
        TypeError: `train_loss` is no `ModelLoss`.
    """
    if not isinstance(train_loss, ModelLoss):
        kind = type(train_loss).__name__
        raise TypeError(f"Gauss-Newton products need train_loss as ModelLoss(logits, loss), got a {kind}")
    with TwiceDifferentiable():
        logits, *rest = train_loss.outputs(weights.tree(), hyper.tree())
        gradient = grads(train_loss.loss(logits, *rest), weights.tensors, "train_loss")
        pushed = pusher(logits, weights.tensors)
    outputs = logits.detach().requires_grad_()
    fixed = [other.detach() if isinstance(other, Tensor) else other for other in rest]
    grad = grads(train_loss.loss(outputs, *fixed), [outputs], "train_loss")

    def product(vector: Vector) -> Vector:
        return pull_back([logits], weights.tensors, pull_back(grad, [outputs], [pushed(vector)]))

    return Linearisation(product, partial(pull_back, gradient, hyper.tensors, last=True))


@dataclass(frozen=True)
class Parts:
    """Sum share times loss over parts of the images: what is computed of it needs memory for one part.

    The implicit methods take the graph of one part at a time, and make it again for each product; `unrolled` keeps all.
    A network with batch statistics takes those of each part, as it does in training on batches of that size.

    >>> import torch
    >>> from autoaug.hypergrad import Parts
    >>> inputs = torch.tensor([1.0, 2.0, 6.0])
    >>> def mean_over(part):
    ...     return lambda weights, hyper: (weights[0] * part).mean()
    >>> loss = Parts([mean_over(inputs[:2]), mean_over(inputs[2:])], shares=[2 / 3, 1 / 3])
    >>> loss([torch.tensor(5.0)], [])  # the mean over all three is 3
    tensor(15.)
    """

    losses: Sequence[Loss]
    shares: Sequence[float]

    def __call__(self, weights: Tree, hyper: Tree) -> Tensor:
        return torch.stack([share * loss(weights, hyper) for share, loss in self.pairs()]).sum()

    def pairs(self) -> Iterator[tuple[float, Loss]]:
        """Return each share with its loss."""
        return zip(self.shares, self.losses, strict=True)


def in_parts(curvature: Curvature, train_loss: Parts, weights: Leaves, hyper: Leaves) -> Linearisation:
    """Return products with the curvature of the sum, of one part at a time."""

    def product(vector: Vector) -> Vector:
        return weighed(train_loss, lambda part: curvature(part, weights, hyper).product(vector))

    def mixed(vector: Vector) -> Vector:
        return weighed(train_loss, lambda part: curvature(part, weights, hyper).mixed(vector))

    return Linearisation(product, mixed)


def weighed(parts: Parts, call: Callable[[Loss], Vector]) -> Vector:
    """Return Σ share call(loss)."""
    total: Vector = []
    for share, loss in parts.pairs():
        term = call(loss)
        total = [torch.add(x, y, alpha=share) for x, y in zip(total or zeros(term), term, strict=True)]
    return total


def directional(losses: Callable[[Tree, Tree], Tensor], weights: Tree, hyper: Tree, direction: Tree) -> Tensor:
    """Return d/dε of every sample's loss at weights + ε direction, [B].

    Two backward passes serve all samples together. `losses(weights, hyper)` gives losses [B]; `direction` has the
    structure of the weights, as what `solve` gives.

    >>> import torch
    >>> from autoaug.hypergrad import directional
    >>> inputs = torch.tensor([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    >>> def losses(weights, hyper):
    ...     return inputs @ weights[0]
    >>> directional(losses, [torch.zeros(2)], [], [torch.tensor([1.0, -1.0])])
    tensor([ 1., -3.,  0.])
    """
    at, along = leaves(weights, "weights"), leaves(direction, "direction")
    with torch.enable_grad(), TwiceDifferentiable():
        return pusher(losses(at.tree(), leaves(hyper, "hyper").tree()), at.tensors)(along.tensors).detach()


def pusher(outputs: Tensor, inputs: Vector) -> Callable[[Vector], Tensor]:
    """Return v -> J v with J = d outputs/d inputs, by backward passes: Jᵀ u is linear in u, and J v is its derivative.

    Forward mode would take one pass, but has no rule for every operation that images go through.
    """
    seed = torch.zeros_like(outputs, requires_grad=True)
    transposed = pull_back([outputs], inputs, [seed], create_graph=True)
    return lambda vector: pull_back(transposed, [seed], vector)[0]


def pull_back(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    *,
    create_graph: bool = False,
    last: bool = False,
) -> Vector:
    """Return Σ_i <cotangent_i, d output_i/d input> for each input, zeros where there is no path.

    The graph is kept, but by the `last` call, which frees it on the way.
    """
    pairs = [(output, weight) for output, weight in zip(outputs, cotangents, strict=True) if output.requires_grad]
    if not pairs or not inputs:
        return [torch.zeros_like(tensor) for tensor in inputs]
    reached, weighed = zip(*pairs, strict=True)
    with causes_named():
        return list(
            torch.autograd.grad(
                reached, inputs, weighed, retain_graph=not last, create_graph=create_graph, materialize_grads=True
            )
        )


def grads(loss: Tensor, weights: Vector, name: str) -> Vector:
    """Return d loss/d weights with its graph; zeros for a weight that the loss does not use."""
    return filled(used(partials(loss, weights), name), weights)


def outer_grads(val_loss: Loss, weights: Leaves, hyper: Leaves) -> tuple[Vector, Vector]:
    """Return ∂val/∂weights, and ∂val/∂hyper, which is the direct part of the hypergradient."""
    inputs, count = weights.tensors + hyper.tensors, len(weights.tensors)

    def grads_at(loss: Loss) -> Vector:
        grads = partials(loss(weights.tree(), hyper.tree()), inputs, create_graph=False)
        used(grads[:count], "val_loss")
        return filled(grads, inputs)

    full = weighed(val_loss, grads_at) if isinstance(val_loss, Parts) else grads_at(val_loss)
    return full[:count], full[count:]


def partials(loss: Tensor, inputs: Vector, create_graph: bool = True) -> list[Tensor | None]:
    """Return d loss/d inputs; None for an input that the loss does not use.

    >>> import torch
    >>> from autoaug.hypergrad import partials
    >>> x, y, z = (torch.tensor(value, requires_grad=True) for value in (2.0, 3.0, 4.0))
    >>> partials(x * y, [x, y, z], create_graph=False)
    [tensor(3.), tensor(2.), None]
    """
    if not loss.requires_grad:
        return [None for _ in inputs]
    with causes_named():
        return list(torch.autograd.grad(loss, inputs, create_graph=create_graph, allow_unused=True))


def used(grads: list[Tensor | None], name: str) -> list[Tensor | None]:
    """Return the grads as they are.

    Raises:
        ValueError: the loss `name` uses none of the weights, so it was computed with others.
    """
    if all(grad is None for grad in grads):
        raise ValueError(
            f"{name} does not depend on the weights it was called with: compute with these and not with the module's "
            "own (torch.func.functional_call), and with gradients on"
        )
    return grads


def filled(grads: Sequence[Tensor | None], like: Vector) -> Vector:
    """Return the grads with zeros for None."""
    return [zero if grad is None else grad for zero, grad in zip(zeros(like), grads, strict=True)]


def zeros(like: Vector) -> Vector:
    """Return zeros with the shapes, dtypes and devices of `like`."""
    return [torch.zeros_like(x) for x in like]


CAUSES = {
    "modified by an inplace operation": "the loss changes a tensor in place that its derivative needs (x += y, relu_): "
    "use the form that makes a new tensor",
    "is not implemented": "an operation in the loss has no second derivative: compose it of others that have one",
    "torch.utils.checkpoint": "the network forgets activations and recomputes them: use it without checkpoints here",
    "does not currently support double backward": "a compiled network has no second derivative: use it uncompiled here",
}
"""What autograd says, and what that means for a hypergradient."""


@contextmanager
def causes_named() -> Iterator[None]:
    """Turn autograd's errors into ones that say what in the loss stands in the way."""
    try:
        yield
    except RuntimeError as error:
        cause = next((cause for sign, cause in CAUSES.items() if sign in str(error)), None)
        if cause is None:
            raise
        raise RuntimeError(f"no hypergradient: {cause}. Autograd: {str(error).splitlines()[0]}") from error
