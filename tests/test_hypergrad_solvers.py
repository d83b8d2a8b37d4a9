"""The solvers on explicit matrices: residuals, Krylov spaces, guards."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from autoaug.hypergrad._solvers import ConjugateGradient, Series


def normal(*shape: int, rng: Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def symmetric(eigenvalues: Tensor, rng: Generator) -> Tensor:
    basis, _ = torch.linalg.qr(normal(len(eigenvalues), len(eigenvalues), rng=rng))
    return basis @ torch.diag(eigenvalues) @ basis.T


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


SPECTRA = {
    "well conditioned": torch.linspace(0.5, 3, 12, dtype=torch.float64),
    "badly conditioned": torch.logspace(-5, 0, 12, dtype=torch.float64),
    "indefinite": torch.linspace(-0.3, 3, 12, dtype=torch.float64),
    "singular": torch.linspace(0, 3, 12, dtype=torch.float64).clamp(min=0.6) - 0.6,
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("seed", range(5))
def test_the_residual_of_conjugate_gradients_never_rises(spectrum: str, seed: int) -> None:
    rng = Generator().manual_seed(seed)
    matrix, vector = symmetric(SPECTRA[spectrum], rng), normal(12, rng=rng)
    found = [ConjugateGradient(steps)(lambda v: [matrix @ v[0]], [vector])[0] for steps in range(16)]
    residuals = [float((vector - matrix @ p).norm()) for p in found]
    assert not found[0].any()
    assert residuals[1] < residuals[0]
    assert all(after <= before + 1e-12 for before, after in pairwise(residuals))
    if spectrum == "well conditioned":
        assert residuals[12] < 1e-10


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("spectrum", ["well conditioned", "badly conditioned"])
def test_conjugate_gradients_find_the_least_residual_of_their_space(spectrum: str, steps: int, rng: Generator) -> None:
    matrix, vector = symmetric(SPECTRA[spectrum], rng), normal(12, rng=rng)
    space = torch.stack([torch.linalg.matrix_power(matrix, j) @ vector for j in range(steps)], dim=1)
    space, _ = torch.linalg.qr(space)
    truth = space @ torch.linalg.lstsq(matrix @ space, vector[:, None]).solution[:, 0]
    [found] = ConjugateGradient(steps)(lambda v: [matrix @ v[0]], [vector])
    assert relative(found, truth) < 1e-8


def test_conjugate_gradients_say_when_there_is_nothing_to_solve(rng: Generator) -> None:
    vector = [normal(3, rng=rng)]
    with pytest.warns(UserWarning, match="does not curve up"):
        assert not ConjugateGradient(5)(lambda v: [-v[0]], vector)[0].any()
    with pytest.warns(UserWarning, match="does not curve up"):
        assert not ConjugateGradient(5)(lambda v: [0 * v[0]], vector)[0].any()
    assert not ConjugateGradient(5)(lambda v: v, [torch.zeros(3)])[0].any()


@pytest.mark.parametrize("solver", [ConjugateGradient(3), Series(3, 0.1)])
def test_nan_is_passed_on(solver: Any) -> None:
    assert solver(lambda v: [2 * v[0]], [torch.tensor([1.0, torch.nan])])[0].isnan().any()
    assert solver(lambda v: [torch.nan * v[0]], [torch.ones(2)])[0].isnan().any()


@pytest.mark.parametrize("largest", [8.0, -8.0])
def test_a_series_that_would_diverge_is_slowed_down(largest: float, rng: Generator) -> None:
    matrix, vector = symmetric(torch.tensor([0.5, 1.0, 2.0, largest], dtype=torch.float64), rng), normal(4, rng=rng)
    with pytest.warns(UserWarning, match=r"lr=0\.5 is more than"):
        [found] = Series(60, 0.5)(lambda v: [matrix @ v[0]], [vector])
    # 1/8 up to the error of the power iteration; of a negative eigenvalue even that series grows, as 2^steps
    [best] = Series(60, 1 / 8.0, guard_steps=0)(lambda v: [matrix @ v[0]], [vector])
    [wild] = Series(60, 0.5, guard_steps=0)(lambda v: [matrix @ v[0]], [vector])
    assert wild.norm() > 1e9 * best.norm()
    assert found.norm() < 2 * best.norm()
    if largest > 0:
        assert relative(found, torch.linalg.solve(matrix, vector)) < 0.1


def test_a_series_within_the_bound_is_not_slowed_down(rng: Generator) -> None:
    matrix, vector = symmetric(torch.tensor([0.5, 1.0, -2.0], dtype=torch.float64), rng), [normal(3, rng=rng)]
    found, wanted = (Series(9, 0.5, guard)(lambda v: [matrix @ v[0]], vector)[0] for guard in (8, 0))
    assert relative(found, wanted) < 1e-10


@pytest.mark.parametrize(
    ("steps", "guard_steps", "products"), [(5, 4, 5), (20, 4, 20), (2, 4, 4), (0, 4, 0), (5, 0, 5)]
)
def test_the_guard_costs_no_products_of_its_own(steps: int, guard_steps: int, products: int) -> None:
    calls = []

    def product(vector: list[Tensor]) -> list[Tensor]:
        calls.append(1)
        return vector

    Series(steps, 0.1, guard_steps)(product, [torch.ones(2)])
    assert len(calls) == products
