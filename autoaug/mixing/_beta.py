"""Beta variates from an explicit generator, with a gradient to the parameter."""

import torch
from torch import Generator, Tensor

SMALLEST = 1e-6
"""Below this α a draw is 0 or 1 to the last bit, and larger divisors keep the gradient finite."""


def draw_beta(alpha: float | Tensor, count: int, rng: Generator) -> Tensor:
    """Return `count` draws of λ ~ Beta(α, α), float64 on the generator's device; α = 0 means λ = 1, no mixing.

    Differentiable in α where α is a tensor. λ = sigmoid(ln g₁ - ln g₂) with two variates of Gamma(α), each drawn
    as ln Gamma(α + 1) + ln(U) / α (Marsaglia and Tsang 2000, section 6): drawn directly, variates of
    a small α underflow, and the quotient of two of them comes out as 1/2 instead of 0 or 1.
    """
    shape = torch.as_tensor(alpha, dtype=torch.float64, device=rng.device).reshape(())
    # private, but torch's only gamma sampler that takes a generator; tests hold it to the law
    raised = torch._standard_gamma((shape + 1).expand(2, count), generator=rng)
    uniform = 1 - torch.rand(2, count, generator=rng, device=rng.device, dtype=torch.float64)
    first, second = raised.log() + uniform.log() / shape.clamp_min(SMALLEST)
    return torch.where(shape > 0, torch.sigmoid(first - second), torch.ones_like(first))
