"""Steps of optimisers that are differentiated: each equals torch's, and its derivative finite differences."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from autoaug.hypergrad import AdamWRule, Remembered, SgdRule, Unrolled, UpdateRule

NO_MEANS: dict[str, Any] = {"lr": 0.1, "betas": (0.0, 0.0), "eps": 0.1, "weight_decay": 0.0}
ADAMW: dict[str, Any] = {"lr": 0.1, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.2}
SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}

RULES: dict[str, tuple[Callable[..., UpdateRule], Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (SgdRule, torch.optim.SGD, {"lr": 0.3}),
    "sgd, momentum": (SgdRule, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "sgd, nesterov, decay": (SgdRule, torch.optim.SGD, SGD),
    "adamw, as it comes": (AdamWRule, torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.01}),
    "adamw": (AdamWRule, torch.optim.AdamW, ADAMW),
    "adamw, no means": (
        AdamWRule,
        torch.optim.AdamW,
        {"lr": 0.1, "betas": (0.0, 0.0), "eps": 0.1, "weight_decay": 0.0},
    ),
}


def normal(*shape: int, rng: Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


class Problem:
    """Two weights in a smooth valley that two hyperparameters shift and bend."""

    def __init__(self, rng: Generator) -> None:
        self.weights, self.hyper = [normal(3, rng=rng), normal(2, 2, rng=rng)], [normal(3, rng=rng), normal(2, rng=rng)]
        self.target = normal(2, rng=rng)

    def train(self, weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        hidden = torch.tanh(weights[1] @ (weights[0][:2] * hyper[0][:2].exp()) + weights[0][2])
        return (hidden - hyper[1]).square().sum() + (weights[0] * hyper[0]).sin().sum()

    def val(self, weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return (weights[1] @ weights[0][:2] - self.target).square().sum() + weights[0].cos().sum()


Make = Callable[[list[Tensor]], torch.optim.Optimizer]


def warm(problem: Problem, make: Make, steps: int) -> torch.optim.Optimizer:
    """An optimiser of a copy of the weights after some steps on another loss."""
    weights = [weight.clone().requires_grad_() for weight in problem.weights]
    optimiser = make(weights)
    for k in range(steps):
        optimiser.zero_grad()
        problem.train(weights, [hyper + 0.1 * k for hyper in problem.hyper]).backward()
        optimiser.step()
    return optimiser


def remembered(optimiser: torch.optim.Optimizer, rule: UpdateRule, weight: Tensor) -> Remembered:
    kept = optimiser.state.get(weight, {})
    names = ("momentum_buffer",) if isinstance(rule, SgdRule) else ("exp_avg", "exp_avg_sq")
    buffers = tuple(kept[name] for name in names if kept.get(name) is not None)
    return Remembered(buffers or rule.fresh(weight), int(kept.get("step", 0)))


def after(
    problem: Problem, optimiser: torch.optim.Optimizer, hyper: list[Tensor], steps: int, clip: float | None
) -> tuple[list[Tensor], Tensor]:
    """The weights after more real steps by a copy of an optimiser, and their validation loss."""
    [group] = optimiser.param_groups
    weights = [weight.detach().clone().requires_grad_() for weight in group["params"]]
    kind: Any = type(optimiser)
    real = kind(weights, **{key: group[key] for key in group if key in ("lr", "momentum", "nesterov", "betas", "eps")})
    real.param_groups[0]["weight_decay"] = group["weight_decay"]
    for new, old in zip(weights, group["params"], strict=True):
        if old in optimiser.state:
            kept = optimiser.state[old].items()
            real.state[new] = {key: value.clone() if isinstance(value, Tensor) else value for key, value in kept}
    for _ in range(steps):
        real.zero_grad()
        problem.train(weights, hyper).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(weights, clip)
        real.step()
    return weights, problem.val(weights, hyper).detach()


def differences(value: Callable[[list[Tensor]], Tensor], hyper: list[Tensor], h: float = 2e-3) -> Tensor:
    """The derivative by central differences of the eighth order: a large step, for little rounding."""
    flat, sizes = torch.cat([each.reshape(-1) for each in hyper]), [each.numel() for each in hyper]

    def slope(i: int) -> Tensor:
        axis = torch.eye(len(flat), dtype=flat.dtype)[i]
        ends = [[value(list((flat + way * k * h * axis).split(sizes))) for way in (1, -1)] for k in (1, 2, 3, 4)]
        shares = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
        return sum(share * (above - below) for share, (above, below) in zip(shares, ends, strict=True)) / h

    return torch.stack([slope(i) for i in range(len(flat))])


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("begun", [0, 4])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", RULES)
def test_the_steps_are_those_of_torch_and_so_is_their_derivative(
    name: str, steps: int, begun: int, clip: float | None, rng: Generator
) -> None:
    problem, (rule, make, settings) = Problem(rng), RULES[name]
    optimiser, kind = warm(problem, lambda weights: make(weights, **settings), begun), rule(**settings)
    weights, ends = optimiser.param_groups[0]["params"], []
    start = [remembered(optimiser, kind, weight) for weight in weights]

    def val(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        ends.append([weight.detach() for weight in weights])
        return problem.val(weights, hyper)

    hypergrad = Unrolled(steps, kind, start, clip_norm=clip)
    found = torch.cat(hypergrad(problem.train, val, weights, problem.hyper))
    reached, _ = after(problem, optimiser, problem.hyper, steps, clip)
    for end, real in zip(ends[-1], reached, strict=True):
        torch.testing.assert_close(end, real.detach(), rtol=1e-13, atol=1e-13)
    truth = differences(lambda hyper: after(problem, optimiser, hyper, steps, clip)[1], problem.hyper)
    assert relative(found, truth) < 1e-8
    if steps == 1:
        solved = hypergrad.solve(problem.train, problem.val, weights, problem.hyper)
        assert relative(by_solving(problem, weights, solved), found) < 1e-12
        assert relative(fused(problem, weights, hypergrad), found) < 1e-12
    again = torch.cat(replace(hypergrad, recompute=True)(problem.train, problem.val, weights, problem.hyper))
    assert torch.equal(again, found)


def by_solving(problem: Problem, weights: list[Tensor], solved: list[Tensor]) -> Tensor:
    """- ∂/∂hyper <p, ∂train/∂weights>, which is all where the validation loss does not know hyper."""
    hyper = [each.clone().requires_grad_() for each in problem.hyper]
    grads = torch.autograd.grad(problem.train(weights, hyper), weights, create_graph=True)
    total = sum((grad * p).sum() for grad, p in zip(grads, solved, strict=True))
    return torch.cat([-each for each in torch.autograd.grad(total, hyper)])


def fused(problem: Problem, weights: list[Tensor], hypergrad: Unrolled) -> Tensor:
    hyper = [each.clone().requires_grad_() for each in problem.hyper]
    grads = list(torch.autograd.grad(problem.train(weights, hyper), weights, create_graph=True))
    return torch.cat(hypergrad.fused_backward(grads, problem.val, weights, hyper))


def test_each_weight_may_have_a_rule_of_its_own(rng: Generator) -> None:
    problem = Problem(rng)
    rules = [AdamWRule(**ADAMW), AdamWRule(**{**ADAMW, "weight_decay": 0.0, "lr": 0.03})]

    def trained(hyper: list[Tensor]) -> Tensor:
        weights = [weight.clone().requires_grad_() for weight in problem.weights]
        groups = [
            {"params": [weight], "lr": rule.lr, "weight_decay": rule.weight_decay}
            for weight, rule in zip(weights, rules, strict=True)
        ]
        optimiser = torch.optim.AdamW(groups, betas=(0.7, 0.95), eps=1e-3)
        for _ in range(3):
            optimiser.zero_grad()
            problem.train(weights, hyper).backward()
            optimiser.step()
        return problem.val(weights, hyper).detach()

    found = torch.cat(Unrolled(3, rules)(problem.train, problem.val, problem.weights, problem.hyper))
    assert relative(found, differences(trained, problem.hyper)) < 1e-8


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_dead_weight_brings_no_nan(steps: int) -> None:
    """Units that never fire have gradients of exactly 0: their part of the hypergradient is 0, that of others stays."""
    inputs = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)

    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return (torch.relu(inputs * hyper[0] @ weights[0]) - 1).square().sum()

    def val(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return (weights[0] - 2).square().sum()

    alive = torch.tensor([[0.7], [0.2]], dtype=torch.float64)
    dead, hyper = torch.tensor([[-5.0], [-1.0]], dtype=torch.float64), [torch.ones(2, dtype=torch.float64)]
    rule = AdamWRule(lr=0.01, weight_decay=0.1)
    [alone] = Unrolled(steps, rule)(train, val, [alive], hyper)
    [both] = Unrolled(steps, rule)(train, val, [torch.cat([alive, dead], dim=1)], hyper)
    assert alone.isfinite().all()
    assert alone.norm() > 0
    assert torch.equal(both, alone)


def test_a_gradient_that_is_zero_by_chance_has_the_derivative_of_the_limit() -> None:
    """The first step is -lr g/(|g| + eps), so its derivative at g = 0 is -lr/eps."""
    rule, weights = AdamWRule(lr=0.25, eps=0.5, weight_decay=0.0), [torch.tensor(3.0, dtype=torch.float64)]

    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return weights[0] * hyper[0]

    found = Unrolled(1, rule)(train, lambda w, h: 2 * w[0], weights, [torch.tensor(0.0, dtype=torch.float64)])
    assert found[0].item() == pytest.approx(-2 * 0.25 / 0.5, rel=1e-12)


def test_weights_that_are_not_reached_count_no_steps(rng: Generator) -> None:
    """The bias correction of AdamW is by the steps of each weight: one that had no gradient is where it was."""
    weights, hyper = [normal(2, rng=rng), normal(2, rng=rng)], [normal(2, rng=rng)]
    start = [Remembered((normal(2, rng=rng), normal(2, rng=rng).square()), count) for count in (3, 7)]

    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return (weights[0] * hyper[0]).square().sum()

    ends: list[list[Tensor]] = []

    def val(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        ends.append([weight.detach() for weight in weights])
        return weights[0].sum() + weights[1].sum()

    Unrolled(2, AdamWRule(**ADAMW), start)(train, val, weights, hyper)
    real = [weight.clone().requires_grad_() for weight in weights]
    optimiser = torch.optim.AdamW(real, **ADAMW)
    for weight, ((mean, square), count) in zip(real, start, strict=True):
        optimiser.state[weight] = {
            "step": torch.tensor(float(count)),
            "exp_avg": mean.clone(),
            "exp_avg_sq": square.clone(),
        }
    for _ in range(2):
        optimiser.zero_grad()
        train(real, hyper).backward()
        optimiser.step()
    for end, weight in zip(ends[-1], real, strict=True):
        torch.testing.assert_close(end, weight.detach(), rtol=1e-13, atol=1e-13)
    assert torch.equal(ends[-1][1], weights[1])


def test_a_gradient_of_zero_is_not_clipped_to_nan() -> None:
    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return (weights[0] * hyper[0]).sum()

    zero, weights = torch.zeros(2, dtype=torch.float64), [torch.ones(2, dtype=torch.float64)]
    hypergrad = Unrolled(1, SgdRule(0.5), clip_norm=1e-3)
    [found] = hypergrad(train, lambda w, h: w[0].sum(), weights, [zero])
    assert found.isfinite().all()
