"""Attention under hyper steps: the kernel with a second derivative is taken by itself, and is right in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_problems import Brightened, batch, seeded
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from autoaug.hypergrad import TwiceDifferentiable, identity, neumann, unrolled
from autoaug.learners import Bilevel, Problem, Updates
from autoaug.learners._estimators import pathwise

SIZE = 1e-4
"""Of a step of differences by four points: their error is about its fourth power times a fifth derivative."""


class Plain(nn.Module):
    """A transformer that calls attention as a function, as timm's do: patches of 4 x 4 of images of 8 x 8."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.patches, self.mixed, self.last = nn.Conv2d(1, 8, 4, stride=4), nn.Linear(8, 24), nn.Linear(8, 10)
        self.norm, self.dropout = nn.LayerNorm(8), dropout

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        query, key, value = self.mixed(self.norm(tokens)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.last((tokens + seen.transpose(1, 2).flatten(2)).mean(1))


def torchvisions(dropout: float = 0.0) -> nn.Module:
    """A small one of torchvision, of `nn.MultiheadAttention`.

    What begins at 0 is drawn: the head, and what a normalisation would divide by its deviation.
    """
    from torchvision.models import VisionTransformer

    network = VisionTransformer(8, 4, 2, 2, 8, 16, num_classes=10, dropout=dropout, attention_dropout=dropout)
    network.conv_proj = nn.Conv2d(1, 8, 4, stride=4)
    for tensor in (network.heads.head.weight, network.class_token, network.encoder.pos_embedding):
        nn.init.normal_(tensor)
    return network


NETWORKS: dict[str, Callable[..., nn.Module]] = {"as a function": Plain, "as a module": torchvisions}


def posed(kind: str, **given: Any) -> Problem:
    """A bilevel problem of a small vision transformer in float64, in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = NETWORKS[kind](**given).double()
    double = torch.float64
    return Problem(Brightened(2).double(), model, batch(4, 1, double), batch(20, 2, double), seeded(3))


def train_grads(problem: Problem, weights: list[Tensor], factor: Tensor) -> list[Tensor]:
    """The gradient of the training loss, by the kernels that a training step has."""
    leaves = [weight.detach().requires_grad_() for weight in weights]
    images = functional_call(problem.policy, {"factor": factor}, (problem.train.images, problem.repeat()))
    named = dict(zip(problem.weights, leaves, strict=True))
    loss = F.cross_entropy(problem.predict(named, images), problem.train.targets)
    return list(torch.autograd.grad(loss, leaves))


def val_loss(problem: Problem, weights: list[Tensor]) -> Tensor:
    return problem.val_loss(dict(zip(problem.weights, weights, strict=True)), None)


def central(function: Callable[[float], list[Tensor]]) -> list[Tensor]:
    """The derivative of a function of a number, at 0, by four points."""
    near, far = ([function(way * SIZE) for way in (k, -k)] for k in (1, 2))
    rows = zip(*near, *far, strict=True)
    return [(8 * (up - down) - (higher - lower)) / (12 * SIZE) for up, down, higher, lower in rows]


def along(weights: list[Tensor], direction: list[Tensor], far: float) -> list[Tensor]:
    return [weight.detach() + far * way for weight, way in zip(weights, direction, strict=True)]


def implicit(problem: Problem, terms: int, rate: float) -> Tensor:
    """- ∂/∂λ <p, g> with p = rate Σ_j (I - rate H)^j v, all derivatives of g by differences; p = v for no terms."""
    weights, factor = list(problem.weights.values()), torch.ones(2, dtype=torch.float64)
    leaves = [weight.detach().requires_grad_() for weight in weights]
    term = list(torch.autograd.grad(val_loss(problem, leaves), leaves))
    total = [torch.zeros_like(each) for each in term] if terms else term
    for k in range(terms):
        if k:
            bent = central(lambda far, term=term: train_grads(problem, along(weights, term, far), factor))  # type: ignore[misc]
            term = along(term, bent, -rate)
        total = along(total, term, rate)

    def slope(k: int) -> Tensor:
        way = torch.eye(2, dtype=torch.float64)[k]
        mixed = central(lambda far: train_grads(problem, weights, factor + far * way))
        return -torch.stack([(p * each).sum() for p, each in zip(total, mixed, strict=True)]).sum()

    return torch.stack([slope(0), slope(1)])


def after_steps(problem: Problem, steps: int, rate: float) -> Tensor:
    """The differences of the validation loss after real steps."""

    def ended(factor: Tensor) -> list[Tensor]:
        weights = [weight.detach() for weight in problem.weights.values()]
        for _ in range(steps):
            weights = along(weights, train_grads(problem, weights, factor), -rate)
        return [val_loss(problem, weights).detach()]

    ones = torch.ones(2, dtype=torch.float64)
    return torch.stack([central(lambda far, way=way: ended(ones + far * way))[0] for way in torch.eye(2)])  # type: ignore[misc]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    ("hypergrad", "oracle"),
    [
        (identity(), lambda problem: implicit(problem, 0, 0.0)),
        (neumann(4, 0.01), lambda problem: implicit(problem, 5, 0.01)),
        (unrolled(2, 0.5), lambda problem: after_steps(problem, 2, 0.5)),
    ],
    ids=["identity", "neumann", "unrolled"],
)
@pytest.mark.parametrize("training", [True, False])
def test_the_hypergradient_of_a_vision_transformer_is_that_of_differences(
    hypergrad: Any, oracle: Callable[[Problem], Tensor], kind: str, training: bool
) -> None:
    found, other = posed(kind), posed(kind)
    found.model.train(training)
    other.model.train(training)
    expected = oracle(other)
    error = pathwise(hypergrad, found)["factor"] - expected
    assert error.norm() < 1e-6 * expected.norm()
    assert expected.norm() > 1e-6


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_learner_moves_a_policy_by_a_transformer_with_dropout(kind: str) -> None:
    problem = posed(kind, dropout=0.2)
    learner = Bilevel(problem.policy, neumann(3, 0.001), Updates(estimator="pathwise", every=1))
    world = torch.random.get_rng_state()
    learner.advance(problem)
    assert learner.counts["updates"] == 1
    assert not torch.equal(problem.policy.factor, torch.ones(2, dtype=torch.float64))  # type: ignore[arg-type]
    assert torch.equal(world, torch.random.get_rng_state())


@pytest.mark.parametrize("settings", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_values_and_first_derivatives_are_those_of_the_usual_kernel(settings: dict[str, Any]) -> None:
    given = [torch.randn(2, 2, 5, 4, generator=seeded(k), dtype=torch.float64).requires_grad_() for k in range(3)]
    usual = F.scaled_dot_product_attention(*given, **settings)
    with TwiceDifferentiable():
        ours = F.scaled_dot_product_attention(*given, **settings)
    torch.testing.assert_close(ours, usual, rtol=1e-12, atol=1e-14)
    for one, two in zip(*(torch.autograd.grad(each.square().sum(), given) for each in (ours, usual)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-13)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert torch.autograd.gradgradcheck(lambda *x: within(*x, **settings), given)


def within(*given: Tensor, **settings: Any) -> Tensor:
    with TwiceDifferentiable():
        return F.scaled_dot_product_attention(*given, **settings)


def test_training_steps_keep_the_usual_kernel() -> None:
    """Only what is differentiated twice pays for it: outside, the kernels are as they were."""
    given = [torch.randn(1, 1, 3, 4, generator=seeded(k)).requires_grad_() for k in range(3)]
    within(*given)
    name = type(F.scaled_dot_product_attention(*given).grad_fn).__name__
    assert "Flash" in name or "Efficient" in name, name
