"""d(validation loss)/d(hyperparameters) through training: every method under one signature.

Training ends at weights w(λ) that depend on the hyperparameters λ. The derivative of the validation loss is

    d val/dλ  =  ∂val/∂λ  +  (dw/dλ)ᵀ v     with v = ∂val/∂w

and the methods differ in dw/dλ. The implicit ones take w for a minimum of the training loss. With its Hessian H,

    (dw/dλ)ᵀ v  =  - ∂/∂λ <p, ∂train/∂w>     where H p = v     (implicit function theorem)

    exact                 the dense solve; the oracle of all others
    identity              p = v (Luketina et al. 2016, "T1 - T2")
    neumann               p = a Σ_j (I - aH)^j v, cut off (Lorraine, Vicol, Duvenaud 2020; Hataya et al. 2022, MADAO)
    conjugate_gradient    (H + damping I) p = v in a Krylov space (Pedregosa 2016; Rajeswaran et al. 2019)
    gauss_newton_cg       the same with the Gauss-Newton matrix, which has no negative curvature
    running               p is kept from call to call and costs one product in each (Dagréou et al. 2022, SOBA)

`unrolled` takes w for the start of k more steps of SGD and differentiates through them (Mounsaveng et al. 2021, k = 1);
`Unrolled` does so by other rules too (`AdamWRule`).

Each call, as `neumann(steps=5, lr=0.1)`, gives a `Hypergrad`: a function of a training loss, a validation loss, weights
and hyperparameters. Both losses are functions of (weights, hyper), for a module by `torch.func.functional_call`:

    weights = dict(net.named_parameters())
    [grad] = neumann(5, 0.1)(train_loss, val_loss, weights, [magnitudes])     # one tensor per entry of hyper

Second derivatives are taken by double backward. Differences of gradients would be cheaper, and are wrong on networks
with ReLU: its masks flip between the two points. `benchmarks/fidelity.py` measures what each method is worth, and
`benchmarks/hypergrad.py` what it costs.
"""

from autoaug.hypergrad._calculus import (
    Hypergrad,
    Loss,
    ModelLoss,
    Parts,
    Solving,
    Stateful,
    Tree,
    directional,
    partials,
)
from autoaug.hypergrad._implicit import (
    Implicit,
    RunningInverse,
    conjugate_gradient,
    exact,
    gauss_newton_cg,
    identity,
    neumann,
    running,
)
from autoaug.hypergrad._layers import TwiceDifferentiable
from autoaug.hypergrad._rules import AdamWRule, Remembered, SgdRule, UpdateRule
from autoaug.hypergrad._unroll import Unrolled, unrolled

__all__ = [
    "AdamWRule",
    "Hypergrad",
    "Implicit",
    "Loss",
    "ModelLoss",
    "Parts",
    "Remembered",
    "RunningInverse",
    "SgdRule",
    "Solving",
    "Stateful",
    "Tree",
    "TwiceDifferentiable",
    "Unrolled",
    "UpdateRule",
    "conjugate_gradient",
    "directional",
    "exact",
    "gauss_newton_cg",
    "identity",
    "neumann",
    "partials",
    "running",
    "unrolled",
]
