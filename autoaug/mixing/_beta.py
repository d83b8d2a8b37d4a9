"""Beta and Dirichlet variates from an explicit generator, with a gradient to the parameter."""

import torch
from torch import Generator, Tensor

SMALLEST = 1e-6
"""Below this α a draw is 0 or 1 to the last bit, and larger divisors keep the gradient finite."""


def draw_beta(alpha: float | Tensor, count: int, rng: Generator) -> Tensor:
    """Return `count` draws of λ ~ Beta(α, α), float64 on the generator's device; α = 0 means λ = 1, no mixing.

    Differentiable in α where α is a tensor. λ = sigmoid(ln g₁ - ln g₂) with two variates of Gamma(α).
    """
    shape = as_shape(alpha, rng)
    first, second = log_gammas(shape, 2, count, rng)
    return torch.where(shape > 0, torch.sigmoid(first - second), torch.ones_like(first))


def draw_dirichlet(alpha: float | Tensor, k: int, count: int, rng: Generator) -> Tensor:
    """Return `count` draws of k weights ~ Dirichlet(α, ..., α), [k, count], float64 on the generator's device.

    They sum to 1; α = 0 means that the first is 1, no mixing. Differentiable in α where α is a tensor. With k = 2 the
    first weight is what `draw_beta` returns for the same state of the generator.
    """
    shape = as_shape(alpha, rng)
    logs = log_gammas(shape, k, count, rng)
    first = torch.zeros_like(logs)
    first[0] = 1
    return torch.where(shape > 0, logs.softmax(0), first)


def as_shape(alpha: float | Tensor, rng: Generator) -> Tensor:
    """Return α as a tensor of no dimension, float64 on the generator's device."""
    return torch.as_tensor(alpha, dtype=torch.float64, device=rng.device).reshape(())


def log_gammas(shape: Tensor, k: int, count: int, rng: Generator) -> Tensor:
    """Return logarithms of variates of Gamma(α), [k, count].

    Each is ln Gamma(α + 1) + ln(U) / α (Marsaglia and Tsang 2000, section 6): drawn directly, variates of a small α
    underflow, and the quotient of two of them comes out as 1/2 instead of 0 or 1.
    """
    # private, but torch's only gamma sampler that takes a generator; tests hold it to the law
    raised = torch._standard_gamma((shape + 1).expand(k, count), generator=rng)
    uniform = 1 - torch.rand(k, count, generator=rng, device=rng.device, dtype=torch.float64)
    return raised.log() + uniform.log() / shape.clamp_min(SMALLEST)
