"""Every hypergradient against an exact answer: closed forms, dense matrices, retrained networks, torch's own SGD."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd.functional import hessian, jacobian

from autoaug.hypergrad import (
    AdamWRule,
    Hypergrad,
    Loss,
    Remembered,
    SgdRule,
    Unrolled,
    conjugate_gradient,
    exact,
    identity,
    neumann,
    running,
    unrolled,
)


def normal(*shape: int, rng: Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def symmetric(eigenvalues: Tensor, rng: Generator) -> Tensor:
    basis, _ = torch.linalg.qr(normal(len(eigenvalues), len(eigenvalues), rng=rng))
    return basis @ torch.diag(eigenvalues) @ basis.T


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


class Quadratic(NamedTuple):
    """Inner ½wᵀHw - wᵀCλ, outer ½|w - y|² + ¼Σλ⁴, at its minimum w = H⁻¹Cλ. The weights are two tensors."""

    train: Loss
    val: Loss
    weights: list[Tensor]
    hyper: list[Tensor]
    matrix: Tensor
    coupling: Tensor
    pull: Tensor

    def truth(self, inverse: Tensor) -> Tensor:
        """The hypergradient with `inverse` in place of H⁻¹."""
        return self.coupling.T @ inverse @ self.pull + self.hyper[0] ** 3

    def estimate(self, hypergrad: Hypergrad) -> Tensor:
        [found] = hypergrad(self.train, self.val, self.weights, self.hyper)
        return found


def quadratic(seed: int = 0) -> Quadratic:
    rng = Generator().manual_seed(seed)
    matrix = symmetric(torch.linspace(0.5, 3, 6, dtype=torch.float64), rng)
    coupling, target, hyper = normal(6, 4, rng=rng), normal(6, rng=rng), normal(4, rng=rng)

    def row(weights: list[Tensor]) -> Tensor:
        return torch.cat([w.reshape(-1) for w in weights])

    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return 0.5 * row(weights) @ matrix @ row(weights) - row(weights) @ coupling @ hyper[0]

    def val(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return 0.5 * (row(weights) - target).square().sum() + 0.25 * hyper[0].pow(4).sum()

    minimum = torch.linalg.solve(matrix, coupling @ hyper)
    weights = [minimum[:4].reshape(2, 2), minimum[4:]]
    return Quadratic(train, val, weights, [hyper], matrix, coupling, minimum - target)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("hypergrad", "error"),
    [
        (exact(), 1e-12),
        (neumann(200, 0.3), 1e-8),
        (neumann(200, 0.3, guard_steps=0), 1e-8),
        (unrolled(200, 0.3), 1e-8),
        (conjugate_gradient(6), 1e-10),
        (conjugate_gradient(60), 1e-10),
    ],
)
def test_the_closed_form_of_a_quadratic(hypergrad: Hypergrad, error: float, seed: int) -> None:
    problem = quadratic(seed)
    assert relative(problem.estimate(hypergrad), problem.truth(torch.linalg.inv(problem.matrix))) < error


@pytest.mark.parametrize("damping", [0.1, 2.0])
def test_damping_is_added_to_the_hessian(damping: float) -> None:
    problem = quadratic()
    truth = problem.truth(torch.linalg.inv(problem.matrix + damping * torch.eye(6, dtype=torch.float64)))
    assert relative(problem.estimate(exact(damping)), truth) < 1e-12
    assert relative(problem.estimate(conjugate_gradient(6, damping)), truth) < 1e-10
    kept = running(0.19, damping)
    assert relative([problem.estimate(kept) for _ in range(200)][-1], truth) < 1e-8


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 9])
def test_the_series_is_the_sum_of_its_terms(steps: int) -> None:
    problem = quadratic()
    matrix = torch.eye(6, dtype=torch.float64) - 0.2 * problem.matrix
    terms = [torch.linalg.matrix_power(matrix, j) for j in range(steps + 1)]
    truth = problem.truth(0.2 * torch.stack(terms).sum(0))
    assert relative(problem.estimate(neumann(steps, 0.2)), truth) < 1e-12
    assert relative(problem.estimate(neumann(steps, 0.2, guard_steps=0)), truth) < 1e-12


def test_identity_takes_the_inverse_for_one_and_keeps_the_direct_part() -> None:
    problem = quadratic()
    assert relative(problem.estimate(identity()), problem.truth(torch.eye(6, dtype=torch.float64))) < 1e-14
    assert relative(problem.estimate(unrolled(0, 0.1)), problem.hyper[0] ** 3) < 1e-14


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_unrolling_k_steps_at_a_minimum_is_a_series_of_k_minus_1(steps: int, recompute: bool) -> None:
    problem = quadratic()
    series = problem.estimate(neumann(steps - 1, 0.3))
    assert relative(problem.estimate(replace(unrolled(steps, 0.3), recompute=recompute)), series) < 1e-12


class Net(NamedTuple):
    """Regression by a small tanh network whose hyperparameters are feature scales and the log of its weight decay."""

    train: Loss
    val: Loss
    weights: Tensor
    hyper: list[Tensor]


def tanh_net(rng: Generator) -> Net:
    images, targets = normal(40, 3, rng=rng), normal(40, rng=rng)

    def outputs(weights: Tensor, images: Tensor) -> Tensor:
        first, bias, last = weights.split([9, 3, 3])
        return torch.tanh(images @ first.reshape(3, 3) + bias) @ last

    def train(weights: Tensor, hyper: list[Tensor]) -> Tensor:
        error = outputs(weights, images[:20] * hyper[0]) - targets[:20]
        return error.square().mean() + hyper[1].exp() * weights.square().sum()

    def val(weights: Tensor, hyper: list[Tensor]) -> Tensor:
        return (outputs(weights, images[20:]) - targets[20:]).square().mean() + 0.1 * hyper[0].square().sum()

    hyper = [1 + 0.3 * normal(3, rng=rng), torch.tensor(-4.0, dtype=torch.float64)]
    return Net(train, val, normal(15, rng=rng), hyper)


def bottom(net: Net, hyper: list[Tensor], weights: Tensor, steps: int) -> Tensor:
    """The weights at a minimum: `steps` of gradient descent into its valley, then Newton to the floor."""

    def loss(weights: Tensor) -> Tensor:
        return net.train(weights, hyper)

    for _ in range(steps):
        weights = weights - 0.1 * jacobian(loss, weights)
    for _ in range(5):
        weights = weights - torch.linalg.solve(hessian(loss, weights), jacobian(loss, weights))
    assert jacobian(loss, weights).norm() < 1e-12
    return weights


def moved(hyper: list[Tensor], i: int, amount: float) -> list[Tensor]:
    row = torch.cat([h.reshape(-1) for h in hyper])
    row[i] += amount
    return [row[:3], row[3]]


def test_a_network_trained_again_moves_as_the_implicit_function_theorem_says(rng: Generator) -> None:
    net = tanh_net(rng)
    minimum = bottom(net, net.hyper, net.weights, steps=1500)

    def retrained(i: int, amount: float) -> Tensor:
        hyper = moved(net.hyper, i, amount)
        return net.val(bottom(net, hyper, minimum, steps=0), hyper)

    truth = [(retrained(i, 1e-5) - retrained(i, -1e-5)) / 2e-5 for i in range(4)]
    for hypergrad in (exact(), conjugate_gradient(30)):
        scales, decay = hypergrad(net.train, net.val, minimum, net.hyper)
        assert relative(torch.cat([scales, decay[None]]), torch.stack(truth)) < 1e-7


def sgd(net: Net, hyper: list[Tensor], steps: int, buffer: Tensor | None, **options: Any) -> Tensor:
    """The validation loss after real steps of torch's optimiser."""
    weights = net.weights.clone().requires_grad_()
    optimiser = torch.optim.SGD([weights], **options)
    if buffer is not None:
        optimiser.state[weights]["momentum_buffer"] = buffer.clone()
    for _ in range(steps):
        optimiser.zero_grad()
        net.train(weights, hyper).backward()
        optimiser.step()
    return net.val(weights.detach(), hyper)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize(
    ("options", "buffered"),
    [
        ({"lr": 0.2}, False),
        ({"lr": 0.2, "weight_decay": 0.1}, False),
        ({"lr": 0.1, "momentum": 0.9}, False),
        ({"lr": 0.1, "momentum": 0.9}, True),
        ({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, False),
        ({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, True),
    ],
)
def test_unrolling_follows_the_optimiser_of_torch(
    options: dict[str, Any], buffered: bool, steps: int, rng: Generator
) -> None:
    net = tanh_net(rng)
    buffer = normal(15, rng=rng) if buffered else None
    start = None if buffer is None else [Remembered((buffer,), 1)]
    found = replace(unrolled(steps, **options), start=start)(net.train, net.val, net.weights, net.hyper)
    ends = [[sgd(net, moved(net.hyper, i, h), steps, buffer, **options) for h in (1e-5, -1e-5)] for i in range(4)]
    truth = torch.stack([(above - below) / 2e-5 for above, below in ends])
    assert relative(torch.cat([found[0], found[1][None]]), truth) < 1e-7


def test_an_unrolled_weight_without_a_gradient_stays(rng: Generator) -> None:
    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return (weights[0] * hyper[0]).square().sum()

    def val(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return (weights[0] * weights[1]).sum()

    weights, hyper = [normal(3, rng=rng), normal(3, rng=rng)], [normal(3, rng=rng)]
    [found] = unrolled(1, 0.1, weight_decay=0.5)(train, val, weights, hyper)
    assert relative(found, -0.4 * weights[0] * hyper[0] * weights[1]) < 1e-14  # weights[1] has not decayed


def test_recomputing_changes_the_cost_and_not_the_answer(rng: Generator) -> None:
    net, calls = tanh_net(rng), []

    def counted(weights: Tensor, hyper: list[Tensor]) -> Tensor:
        calls.append(1)
        return net.train(weights, hyper)

    plain = unrolled(7, 0.1, momentum=0.9, nesterov=True)
    wanted = plain(counted, net.val, net.weights, net.hyper)
    assert len(calls) == 7
    found = replace(plain, recompute=True)(counted, net.val, net.weights, net.hyper)
    assert len(calls) == 21
    assert all(torch.equal(f, w) for f, w in zip(found, wanted, strict=True))


def test_a_running_inverse_is_the_series_spread_over_calls() -> None:
    problem, kept = quadratic(), running(0.3)
    for call in range(6):
        assert relative(problem.estimate(kept), problem.estimate(neumann(call, 0.3))) < 1e-12
    solved = [kept.solve(problem.train, problem.val, problem.weights, problem.hyper) for _ in range(200)][-1]
    truth = torch.linalg.solve(problem.matrix, problem.pull)
    assert relative(torch.cat([p.reshape(-1) for p in solved]), truth) < 1e-10


def test_a_running_inverse_goes_on_where_it_was(tmp_path: Path) -> None:
    problem, kept, restored = quadratic(), running(0.3), running(0.3)
    restored.load_state_dict(kept.state_dict())  # before the first call there is nothing
    problem.estimate(kept)
    torch.save(kept.state_dict(), tmp_path / "state")
    restored.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert torch.equal(problem.estimate(restored), problem.estimate(kept))
    with pytest.raises(ValueError, match=r"weights of shapes \[\(2, 2\), \(2,\)\], it was called with \[\(6,\)\]"):
        kept(problem.train, problem.val, [torch.zeros(6, dtype=torch.float64)], problem.hyper)


def test_a_running_inverse_does_not_overshoot() -> None:
    problem, kept = quadratic(), running(5.0)  # 2 / the largest eigenvalue is 0.67
    with pytest.warns(UserWarning, match=r"lr=5\.0 is more than"):
        lengths = [problem.estimate(kept).norm() for _ in range(300)]
    assert max(lengths) < 100 * problem.pull.norm()


@pytest.mark.parametrize("hypergrad", [neumann(5, 0.1), unrolled(5, 0.1)])
def test_a_loss_of_other_weights_is_an_error(hypergrad: Hypergrad, rng: Generator) -> None:
    problem, other = quadratic(), [normal(2, 2, rng=rng), normal(2, rng=rng).requires_grad_()]
    with pytest.raises(ValueError, match="train_loss does not depend on the weights"):
        problem._replace(train=lambda w, h: problem.train(other, h)).estimate(hypergrad)
    with pytest.raises(ValueError, match="val_loss does not depend on the weights"):
        problem._replace(val=lambda w, h: problem.val(other, h)).estimate(hypergrad)


def test_leaves_must_be_floating_point_tensors() -> None:
    problem = quadratic()
    with pytest.raises(TypeError, match=r"weights must be floating point .* found torch\.int64"):
        problem._replace(weights=[*problem.weights, torch.ones(2, dtype=torch.int64)]).estimate(identity())
    with pytest.raises(TypeError, match=r"hyper must be .* found float"):
        problem._replace(hyper=[0.5]).estimate(identity())  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: neumann(-1, 0.1), "steps and guard_steps must not be negative.*steps=-1"),
        (lambda: neumann(5, -0.1), r"lr must not be negative.*lr=-0\.1"),
        (lambda: conjugate_gradient(-1), "steps must not be negative"),
        (lambda: unrolled(-1, 0.1), "steps must not be negative"),
        (lambda: unrolled(1, -0.1), "lr must not be negative"),
        (lambda: unrolled(1, 0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: running(-1.0), "lr must not be negative"),
        (lambda: quadratic().estimate(Unrolled(1, SgdRule(0.1), start=[])), "start must .* got 0 for 2 weights"),
        (lambda: quadratic().estimate(Unrolled(1, [SgdRule(0.1)])), "rule must be one.* got 1 for 2 weights"),
        (lambda: Unrolled(1, SgdRule(0.1), clip_norm=0.0), "clip_norm must be above 0"),
        (lambda: AdamWRule(-0.1), "lr must not be negative"),
        (lambda: AdamWRule(0.1, betas=(0.9, 1.0)), r"betas must lie in \[0, 1\)"),
        (lambda: AdamWRule(0.1, eps=0.0), "eps must be above 0"),
        (lambda: exact()(lambda w, h: w.sum(), lambda w, h: w.sum(), torch.ones(2), torch.ones(1)), "singular"),
    ],
)
def test_settings_that_make_no_sense(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
