"""Hypergradients by the implicit function theorem: one decomposition, and the solvers that go into it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from autoaug.hypergrad._calculus import (
    Curvature,
    Leaves,
    Linearisation,
    Loss,
    Parts,
    Product,
    Tree,
    Vector,
    gauss_newton,
    hessian,
    in_parts,
    leaves,
    outer_grads,
)
from autoaug.hypergrad._solvers import (
    ConjugateGradient,
    Dense,
    Identity,
    Series,
    Solver,
    add,
    bounded,
    growth,
    require,
    scaled,
)


@dataclass(frozen=True)
class Implicit:
    """Return ∂val/∂hyper - ∂/∂hyper <p, ∂train/∂weights>, where `solver` finds p from products with the `curvature`.

    Each loss is called once. The graph of the training gradient is made once and serves all products. Where that takes
    too much memory, give the losses as `Parts`.

    >>> import torch
    >>> from autoaug.hypergrad import Implicit
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> def as_if_three(product, vector):  # a solver of one's own: H = 3 I
    ...     return [piece / 3 for piece in vector]
    >>> Implicit(as_if_three)(train, val, [w], [hyper])
    [tensor([0.6667, 0.3333])]
    """

    solver: Solver
    curvature: Curvature = hessian

    def __call__(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        training, direct, solved = self._solved(train_loss, val_loss, at, over)
        return over.like(add(direct, training.mixed(solved), -1.0))

    def solve(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        """Return p, in the structure of the weights: the solver's answer to A p = ∂val/∂weights for the curvature A."""
        at, over = leaves(weights, "weights"), leaves(hyper, "hyper")
        return at.like(self._solved(train_loss, val_loss, at, over)[2])

    @torch.enable_grad()
    def _solved(
        self, train_loss: Loss, val_loss: Loss, weights: Leaves, hyper: Leaves
    ) -> tuple[Linearisation, Vector, Vector]:
        val_grad, direct = outer_grads(val_loss, weights, hyper)
        if isinstance(train_loss, Parts):
            training = in_parts(self.curvature, train_loss, weights, hyper)
        else:
            training = self.curvature(train_loss, weights, hyper)
        return training, direct, self.solver(training.product, val_grad)


def exact(damping: float = 0.0) -> Implicit:
    """Make a hypergradient by the dense solve of (H + damping I) p = v, the oracle of the other methods.

    At a minimum of the training loss and without damping it is the true derivative. With n weights it takes n products
    and n² numbers, so n may be some thousand. When called, ValueError where the matrix is singular.

    >>> import torch
    >>> from autoaug.hypergrad import exact
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> exact()(train, val, [w], [hyper])  # val = (hyper / h)^2 / 2, so d val/d hyper = hyper / h^2
    [tensor([1.0000, 0.2500])]
    """
    return Implicit(Dense(damping))


def identity() -> Implicit:
    """Make a hypergradient with p = v, as if the Hessian were the identity (Luketina et al. 2016, "T1 - T2").

    It is the first-order variant of MADAO, and the cheapest: it takes no product. Its indirect part is too long by a
    factor of h in directions where the Hessian has eigenvalue h. `neumann(0, lr)` scales that part by lr, and so does
    one unrolled step at a stationary point.

    >>> import torch
    >>> from autoaug.hypergrad import identity
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> identity()(train, val, [w], [hyper])  # h times the true [1, 0.25]
    [tensor([2., 1.])]
    """
    return Implicit(Identity())


def neumann(steps: int, lr: float, guard_steps: int = 4) -> Implicit:
    """Make a hypergradient with p = a Σ_{j=0..steps} (I - aH)^j v, where a = `lr`: it tends to H⁻¹ v.

    Lorraine et al. 2020, algorithm 3. In a direction with eigenvalue h this is 1 - (1 - ah)^(steps + 1) times H⁻¹ v:
    all of it where ah is about 1, and a (steps + 1) h of it in flat directions. MADAO has 5 steps and lr 0.001; the
    learning rate of the training is the natural choice, as `neumann(steps, lr)` at a stationary point equals
    `unrolled(steps + 1, lr)`.

    The series diverges where lr is above 2/|h|max. `guard_steps` power iterations estimate |h|max, and lr is lowered to
    1/|h|max with a warning. The series uses their products, so they cost nothing as long as there are no more of them
    than steps. 0 leaves lr as it is.

    Raises:
        ValueError: `steps`, `guard_steps` or `lr` is negative.

    >>> import torch
    >>> from autoaug.hypergrad import neumann
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> neumann(steps=1, lr=0.25)(train, val, [w], [hyper])  # (1 - (1 - lr h)^2) [1, 0.25]
    [tensor([0.7500, 0.2500])]
    """
    return Implicit(Series(steps, lr, guard_steps))


def conjugate_gradient(steps: int, damping: float = 0.0) -> Implicit:
    """Make a hypergradient by at most `steps` conjugate gradient steps on (H + damping I) p = v from p = 0.

    A step is one product (Pedregosa 2016). The residual is smoothed, so it never rises: |v - (H + damping I) p| is at
    most |v| and falls with the steps. The solve ends at a direction in which the loss does not curve up; where that is
    the first, p is 0 and a warning says so. On mini-batches the Hessian is noisy and its inverse more so: use batches
    of 256 and more, or damping.

    Raises:
        ValueError: `steps` is negative.

    >>> import torch
    >>> from autoaug.hypergrad import conjugate_gradient
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> [grad] = conjugate_gradient(steps=2)(train, val, [w], [hyper])  # as many steps as eigenvalues: exact
    >>> torch.allclose(grad, torch.tensor([1.0, 0.25]))
    True
    """
    return Implicit(ConjugateGradient(steps, damping))


def gauss_newton_cg(steps: int, damping: float) -> Implicit:
    """Make a `conjugate_gradient` with the Gauss-Newton matrix, which never curves down.

    `train_loss` must be a `ModelLoss`. The matrix is singular with more weights than outputs in the batch, so `damping`
    must be above 0. What the loss adds to that of the logits is not part of it: for a weight decay of c add c to the
    damping.

    Raises:
        ValueError: `damping` is not above 0, or `steps` is negative.

    >>> import torch
    >>> from autoaug.hypergrad import ModelLoss, gauss_newton_cg
    >>> w, hyper = torch.tensor([[2.0, 1.0], [2.0, 1.0]])
    >>> train = ModelLoss(lambda weights, hyper: (weights[0], hyper[0]), lambda y, t: (y - t).square().sum())
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> gauss_newton_cg(steps=1, damping=2.0)(train, val, [w], [hyper])  # 2 / (2 + damping) of the true [2, 1]
    [tensor([1.0000, 0.5000])]
    """
    require(damping > 0, f"damping must be positive, as the Gauss-Newton matrix is singular, got {damping}")
    return Implicit(ConjugateGradient(steps, damping), gauss_newton)


@dataclass
class RunningInverse:
    """Keep p from call to call, with one step p ← p - lr ((H + damping I) p - v) in each (Dagréou et al. 2022, SOBA).

    One product per call, and the noise of mini-batches averages out: over 1 / (lr h) calls where the Hessian has
    eigenvalue h. p starts at 0, so with constant inputs call n equals `neumann(n - 1, lr)`. lr is lowered, with a
    warning, where the step would overshoot.

    >>> import torch
    >>> from autoaug.hypergrad import RunningInverse
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> hypergrad = RunningInverse(lr=0.25)
    >>> hypergrad(train, val, [w], [hyper])
    [tensor([0.5000, 0.2500])]
    >>> hypergrad.state_dict()  # for the checkpoint of a training
    {'inverse': [tensor([0.5000, 0.2500])]}
    """

    lr: float
    damping: float = 0.0
    curvature: Curvature = hessian
    inverse: Vector | None = None

    def __post_init__(self) -> None:
        require(self.lr >= 0, f"lr must not be negative, got {self.lr}")

    def __call__(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        return Implicit(self._moved, self.curvature)(train_loss, val_loss, weights, hyper)

    def solve(self, train_loss: Loss, val_loss: Loss, weights: Tree, hyper: Tree) -> Tree:
        """Return p after a step. This and the hypergradient both take one, so use one of them per call."""
        return Implicit(self._moved, self.curvature).solve(train_loss, val_loss, weights, hyper)

    def state_dict(self) -> dict[str, Vector]:
        """Return {"inverse": p}, with an empty list before the first call."""
        return {"inverse": list(self.inverse or [])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the p of a `state_dict`."""
        self.inverse = [piece.detach().clone() for piece in state["inverse"]] or None

    def _moved(self, product: Product, vector: Vector) -> Vector:
        kept = self._kept(vector)
        image = add(product(kept), kept, self.damping)
        lr = bounded(self.lr, growth([kept, image]))
        self.inverse = add(kept, add(image, vector, -1.0), -lr)
        return list(self.inverse)

    def _kept(self, vector: Vector) -> Vector:
        if self.inverse is None:
            return scaled(vector, 0.0)
        kept, wanted = [tuple(p.shape) for p in self.inverse], [tuple(v.shape) for v in vector]
        require(kept == wanted, f"this running inverse is for weights of shapes {kept}, it was called with {wanted}")
        return [p.to(v) for p, v in zip(self.inverse, vector, strict=True)]


def running(lr: float, damping: float = 0.0) -> RunningInverse:
    """Make a `RunningInverse` with the Hessian; give the class a `curvature` for Gauss-Newton products.

    Raises:
        ValueError: `lr` is negative.

    >>> import torch
    >>> from autoaug.hypergrad import running
    >>> h, w, hyper = torch.tensor([[2.0, 4.0], [2.0, 1.0], [4.0, 4.0]])  # w = hyper / h is the minimum of training
    >>> def train(weights, hyper):
    ...     return (h * weights[0] ** 2 / 2 - hyper[0] * weights[0]).sum()
    >>> def val(weights, hyper):
    ...     return (weights[0] ** 2 / 2).sum()
    >>> hypergrad = running(lr=0.25)
    >>> for _ in range(3):  # each call comes nearer to the true [1, 0.25]
    ...     print(hypergrad(train, val, [w], [hyper]))
    [tensor([0.5000, 0.2500])]
    [tensor([0.7500, 0.2500])]
    [tensor([0.8750, 0.2500])]
    """
    return RunningInverse(lr, damping)
