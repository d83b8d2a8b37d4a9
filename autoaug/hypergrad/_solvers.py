"""Solving A p = v where the symmetric matrix A is only known by its products: linear algebra that knows no losses."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autoaug.hypergrad._calculus import Product, Vector

Solver = Callable[[Product, Vector], Vector]
"""(v -> A v, v) -> p, an approximation of A⁻¹ v."""


@dataclass(frozen=True)
class Identity:
    """Return p = v."""

    def __call__(self, product: Product, vector: Vector) -> Vector:
        return vector


@dataclass(frozen=True)
class Dense:
    """Return (A + damping I)⁻¹ v by forming A column by column, in float64 whatever v is in."""

    damping: float = 0.0

    def __call__(self, product: Product, vector: Vector) -> Vector:
        size = sum(piece.numel() for piece in vector)
        basis = torch.eye(size, dtype=torch.float64, device=vector[0].device)
        columns = [flat(product(shaped(row, vector))) for row in basis]
        try:
            solved = torch.linalg.solve(torch.stack(columns, dim=1) + self.damping * basis, flat(vector))
        except torch.linalg.LinAlgError as error:
            raise ValueError(f"the training Hessian is singular: exact(damping={self.damping}) needs more") from error
        return shaped(solved, vector)


@dataclass(frozen=True)
class Series:
    """Return the Neumann series a Σ_{j=0..steps} (I - aA)^j v, with a = lr or 1/|λ|max where that is less."""

    steps: int
    lr: float
    guard_steps: int = 4

    def __post_init__(self) -> None:
        require(min(self.steps, self.guard_steps) >= 0, f"steps and guard_steps must not be negative: {self}")
        require(self.lr >= 0, f"lr must not be negative: {self}")

    def __call__(self, product: Product, vector: Vector) -> Vector:
        powers = [vector]
        for _ in range(self.guard_steps if self.steps else 0):
            powers.append(product(powers[-1]))
        lr = bounded(self.lr, growth(powers))
        term, total = expanded(powers[: self.steps + 1], lr)
        for _ in range(self.steps + 1 - len(powers)):
            term = add(term, product(term), -lr)
            total = add(total, term)
        return scaled(total, lr)


def expanded(powers: list[Vector], lr: float) -> tuple[Vector, Vector]:
    """Return term m and the sum of terms 0..m of Σ_j (I - lr A)^j v, from powers[i] = A^i v for i = 0..m.

    So the products that estimate the largest eigenvalue serve the series too. By the binomial theorem its term m is
    Σ_i C(m, i) (-lr)^i A^i v, and the sum of the terms up to it is Σ_i C(m + 1, i + 1) (-lr)^i A^i v.
    """
    last = len(powers) - 1
    term, total = powers[0], scaled(powers[0], last + 1.0)
    for i, power in enumerate(powers[1:], start=1):
        term = add(term, power, math.comb(last, i) * (-lr) ** i)
        total = add(total, power, math.comb(last + 1, i + 1) * (-lr) ** i)
    return term, total


def growth(powers: list[Vector]) -> float:
    """Return |eigenvalue|max of A by power iteration, from below; 0 without a product.

    Started from v itself it misses what v has no part in, and that the series never meets either.
    """
    if len(powers) < 2:
        return 0.0
    squares = torch.stack([dot(power, power) for power in powers[-2:]])
    before, after = map(math.sqrt, squares.tolist())  # both at once: a GPU stops for it
    return after / before if before != 0.0 else 0.0


def bounded(lr: float, largest: float) -> float:
    """Return lr, or 1/largest where that is less, with a warning: beyond 2/largest a series in (I - lr A) diverges."""
    if not lr * largest > 1.0 + 1e-6:  # so that NaN passes
        return lr
    # without the eigenvalue, which differs from call to call: Python shows the same warning once
    warnings.warn(f"lr={lr} is more than 1 / |eigenvalue|max of the training loss and is lowered to that", stacklevel=2)
    return 1.0 / largest


@dataclass(frozen=True)
class ConjugateGradient:
    """Return p of (A + damping I) p = v by conjugate gradients from 0 (Hestenes, Stiefel 1952) with smoothed residuals.

    Ends early at a direction of zero or negative curvature, and where the residual is rounding error. A GPU is stopped
    for that once per step: to go on in vain would cost a product, which is thousands of kernels.
    """

    steps: int
    damping: float = 0.0

    def __post_init__(self) -> None:
        require(self.steps >= 0, f"steps must not be negative: {self}")

    def __call__(self, product: Product, vector: Vector) -> Vector:
        iterate = best = scaled(vector, 0.0)
        residual = direction = left = vector
        squared, enough, largest = dot(residual, residual), 0.0, 0.0
        for step in range(self.steps):
            image = add(product(direction), direction, self.damping)
            sums = [squared, dot(direction, image), dot(direction, direction)]
            energy, curvature, length = torch.stack(sums).tolist()
            enough = enough if step else energy * precision(vector) ** 2
            if energy <= enough:
                break
            largest = max(largest, curvature / length)
            if curvature <= precision(vector) * largest * length:
                warn_where_first(step)
                break
            rate = energy / curvature
            iterate, residual = add(iterate, direction, rate), add(residual, image, -rate)
            best, left = smoothed(best, left, iterate, residual)
            squared = dot(residual, residual)
            direction = add(residual, direction, squared / energy)
        return best


def smoothed(best: Vector, left: Vector, iterate: Vector, residual: Vector) -> tuple[Vector, Vector]:
    """Return the point of least residual on the line from `best` (residual `left`) to `iterate`, and that residual.

    The residual of plain conjugate gradients may rise far above its start before it falls, most of all where the
    matrix is the noisy one of a mini-batch. This one never rises, and arrives with it (Zhou, Walker 1994, section 2).
    """
    change = add(residual, left, -1.0)
    length = dot(change, change)
    share = (-dot(left, change) / length).where(length != 0.0, 0.0)
    return add(best, add(iterate, best, -1.0), share), add(left, change, share)


def warn_where_first(step: int) -> None:
    """Warn of a solve that ended at its first step; one that ends later has a p to show."""
    if step == 0:
        message = "the training loss does not curve up along ∂val/∂weights, so the indirect part is 0: use more damping"
        warnings.warn(message, stacklevel=3)


def dot(a: Vector, b: Vector) -> Tensor:
    """Return <a, b>, summed in float64; it stays where it is, since to read it would stop a GPU."""
    return torch.stack([(x * y).sum(dtype=torch.float64) for x, y in zip(a, b, strict=True)]).sum()


def add(a: Vector, b: Vector, scale: float | Tensor = 1.0) -> Vector:
    """Return a + scale b. A scale on a GPU stays there; one on the CPU is read, so that a sum is one pass."""
    if isinstance(scale, Tensor) and scale.device.type != "cpu":
        scales = {dtype: scale.to(dtype) for dtype in {x.dtype for x in a}}
        return [torch.addcmul(x, y, scales[x.dtype]) for x, y in zip(a, b, strict=True)]
    return [torch.add(x, y, alpha=float(scale)) for x, y in zip(a, b, strict=True)]


def scaled(a: Vector, scale: float) -> Vector:
    """Return scale a."""
    return [x * scale for x in a]


def precision(a: Vector) -> float:
    """Return the relative rounding error of the coarsest entry."""
    return max(torch.finfo(x.dtype).eps for x in a)


def flat(a: Vector) -> Tensor:
    """Return all entries in one row, in float64."""
    return torch.cat([x.reshape(-1).double() for x in a])


def shaped(row: Tensor, like: Vector) -> Vector:
    """Return the inverse of `flat`: pieces with the shapes and dtypes of `like`."""
    pieces = row.split([x.numel() for x in like])
    return [piece.reshape(x.shape).to(x.dtype) for piece, x in zip(pieces, like, strict=True)]


def require(condition: bool, message: str) -> None:
    """Raise ValueError with `message` unless `condition`."""
    if not condition:
        raise ValueError(message)
