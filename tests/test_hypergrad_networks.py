"""Hypergradients of networks: Gauss-Newton products, credit per sample, trees, devices, and what stands in the way."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call
from torch.nn import functional

from autoaug.hypergrad import (
    AdamWRule,
    Hypergrad,
    Implicit,
    Loss,
    ModelLoss,
    RunningInverse,
    Solving,
    Unrolled,
    conjugate_gradient,
    directional,
    exact,
    gauss_newton_cg,
    identity,
    neumann,
    running,
    unrolled,
)
from autoaug.hypergrad._calculus import CAUSES, causes_named, gauss_newton, leaves

ALL: dict[str, Callable[[], Hypergrad]] = {
    "exact": lambda: exact(0.1),
    "identity": identity,
    "neumann": lambda: neumann(5, 0.1),
    "conjugate_gradient": lambda: conjugate_gradient(5, 0.1),
    "gauss_newton_cg": lambda: gauss_newton_cg(5, 0.1),
    "running": lambda: running(0.1),
    "unrolled": lambda: unrolled(5, 0.1, momentum=0.9),
    "recomputed": lambda: replace(unrolled(5, 0.1, momentum=0.9), recompute=True),
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


def normal(*shape: int, rng: Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def classifier(rng: Generator) -> tuple[ModelLoss, list[Tensor], list[Tensor]]:
    """Softmax on a tanh layer; one hyperparameter scales the input, the other smooths the targets."""
    images, labels = normal(7, 3, rng=rng), torch.arange(7) % 3
    hard = functional.one_hot(labels, 3).double()

    def logits(weights: list[Tensor], hyper: list[Tensor]) -> tuple[Tensor, Tensor]:
        soft = (1 - hyper[1]) * hard + hyper[1] / 3
        return torch.tanh(images * hyper[0] @ weights[0]) @ weights[1], soft

    weights = [normal(3, 4, rng=rng), normal(4, 3, rng=rng)]
    hyper = [torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)]
    return ModelLoss(logits, functional.cross_entropy), weights, hyper


def gauss_newton_matrix(loss: ModelLoss, weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
    parts = jacobian(lambda *w: loss.logits(w, hyper)[0], tuple(weights))
    outer = torch.cat([part.reshape(21, -1) for part in parts], dim=1)
    outputs, soft = loss.logits(weights, hyper)
    middle = hessian(lambda z: loss.loss(z, soft), outputs).reshape(21, 21)
    return outer.T @ middle @ outer


def test_gauss_newton_products_are_those_of_the_explicit_matrix(rng: Generator) -> None:
    loss, weights, hyper = classifier(rng)
    matrix, vector = gauss_newton_matrix(loss, weights, hyper), [normal(3, 4, rng=rng), normal(4, 3, rng=rng)]
    training = gauss_newton(loss, leaves(weights, "weights"), leaves(hyper, "hyper"))
    row = torch.cat([v.reshape(-1) for v in vector])
    assert relative(torch.cat([p.reshape(-1) for p in training.product(vector)]), matrix @ row) < 1e-12
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


def test_gauss_newton_cg_solves_with_that_matrix_and_differentiates_the_whole_loss(rng: Generator) -> None:
    loss, weights, hyper = classifier(rng)

    def val(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return weights[0].square().sum() + weights[1].sum()

    matrix = gauss_newton_matrix(loss, weights, hyper) + 0.1 * torch.eye(24, dtype=torch.float64)
    pull = torch.cat([2 * weights[0].reshape(-1), torch.ones(12, dtype=torch.float64)])
    blocks = hessian(lambda *both: loss(both[:2], both[2:]), (*weights, *hyper))
    mixed = [torch.cat([blocks[j][2 + i].reshape(-1) for j in range(2)]) for i in range(2)]
    found = gauss_newton_cg(40, 0.1)(loss, val, weights, hyper)
    truth = torch.stack([-torch.linalg.solve(matrix, pull) @ column for column in mixed])
    assert relative(torch.stack(found), truth) < 1e-9


def test_gauss_newton_asks_for_the_parts_of_the_loss() -> None:
    with pytest.raises(TypeError, match="train_loss as ModelLoss"):
        gauss_newton_cg(5, 0.1)(lambda w, h: w.sum(), lambda w, h: w.sum(), torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match=r"damping must be positive.*got 0\.0"):
        gauss_newton_cg(5, 0.0)


@pytest.mark.parametrize(
    "hypergrad",
    [
        neumann(6, 0.2),
        unrolled(1, 0.2),
        unrolled(1, 0.2, 0.9, 0.1, True),
        replace(unrolled(1, 0.2), clip_norm=0.01),
        Unrolled(1, AdamWRule(0.2, eps=0.1), clip_norm=0.1),
    ],
)
def test_the_solved_vector_gives_the_credit_of_each_sample(hypergrad: Solving, rng: Generator) -> None:
    """With sample weights as hyperparameters, ∂/∂hyper_b <p, ∂train/∂weights> is the derivative of loss b along p."""
    _, weights, _ = classifier(rng)
    images, targets = normal(5, 3, rng=rng), torch.arange(5) % 3

    def losses(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return functional.cross_entropy(torch.tanh(images @ weights[0]) @ weights[1], targets, reduction="none")

    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return hyper[0] @ losses(weights, hyper)

    def val(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return weights[0].square().sum() + weights[1].sin().sum()

    hyper = [torch.full((5,), 0.2, dtype=torch.float64)]
    solved = hypergrad.solve(train, val, weights, hyper)
    credit = directional(losses, weights, hyper, solved)
    assert relative(-credit, hypergrad(train, val, weights, hyper)[0]) < 1e-12
    parts = jacobian(lambda *w: losses(w, hyper), tuple(weights))
    forward = sum(part.reshape(5, -1) @ p.reshape(-1) for part, p in zip(parts, solved, strict=True))
    assert relative(credit, forward) < 1e-12


def test_more_steps_than_one_have_no_solved_vector() -> None:
    with pytest.raises(ValueError, match=r"unrolled\(steps=5\) has no solved vector.*neumann\(4, lr\)"):
        unrolled(5, 0.1).solve(lambda w, h: w.sum(), lambda w, h: w.sum(), torch.ones(2), torch.ones(2))


class Batch(NamedTuple):
    """ReLU and batch norm by functional_call; the hyperparameters are a dict with a tuple in it."""

    net: nn.Module
    train: ModelLoss
    val: Loss
    weights: dict[str, Tensor]
    hyper: dict[str, Any]


def batch(device: str, dtype: torch.dtype) -> Batch:
    rng = Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).to(device, dtype)
    images, labels = normal(16, 4, rng=rng).to(device, dtype), (torch.arange(16) % 3).to(device)

    def logits(weights: dict[str, Tensor], hyper: dict[str, Any]) -> Tensor:
        buffers = {key: value.clone() for key, value in net.named_buffers()}
        scale, bend = hyper["scales"]
        return functional_call(net, weights | buffers, (images * scale + images.square() * bend,))

    def val(weights: dict[str, Tensor], hyper: dict[str, Any]) -> Tensor:
        return functional.cross_entropy(logits(weights, hyper), labels.flip(0))

    scales = torch.ones(4, device=device, dtype=dtype), torch.zeros((), device=device, dtype=dtype)
    hyper = {"scales": scales, "nothing": torch.ones(2, device=device)}
    train = ModelLoss(logits, lambda outputs: functional.cross_entropy(outputs, labels))
    return Batch(net, train, val, dict(net.named_parameters()), hyper)


TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 2.0}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ALL)
def test_trees_dtypes_and_devices(name: str, device: str, dtype: torch.dtype) -> None:
    oracle, problem = batch("cpu", torch.float64), batch(device, dtype)
    wanted = ALL[name]()(oracle.train, oracle.val, oracle.weights, oracle.hyper)
    found = ALL[name]()(problem.train, problem.val, problem.weights, problem.hyper)
    assert found.keys() == wanted.keys()
    assert isinstance(found["scales"], tuple)
    assert not found["nothing"].any()
    for grad, value, truth in zip(found["scales"], problem.hyper["scales"], wanted["scales"], strict=True):
        assert (grad.shape, grad.dtype, grad.device) == (value.shape, dtype, value.device)
        assert relative(grad.cpu().double(), truth) < TOLERANCES[dtype]


@pytest.mark.parametrize("name", ALL)
def test_inputs_stay_as_they_are_and_gradients_may_be_off(name: str) -> None:
    problem = batch("cpu", torch.float64)
    inputs = [*problem.weights.values(), *problem.hyper["scales"], *problem.net.buffers()]
    before = [(x._version, x.requires_grad) for x in inputs]
    wanted = ALL[name]()(problem.train, problem.val, problem.weights, problem.hyper)["scales"]
    with torch.no_grad():
        found = ALL[name]()(problem.train, problem.val, problem.weights, problem.hyper)["scales"]
    assert [(x._version, x.requires_grad) for x in inputs] == before
    assert all(x.grad is None for x in inputs)
    assert all(torch.equal(f, w) and not f.requires_grad for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", ALL)
def test_hypergradients_are_data(name: str) -> None:
    assert pickle.loads(pickle.dumps(ALL[name]())) == ALL[name]()
    assert isinstance(ALL[name](), Implicit | Unrolled | RunningInverse)


@pytest.mark.parametrize("name", ALL)
def test_hyper_may_be_empty(name: str) -> None:
    loss = ModelLoss(lambda weights, hyper: weights, lambda row: row.square().sum())
    assert ALL[name]()(loss, loss, torch.ones(3), []) == []


@pytest.mark.parametrize("name", ["exact", "identity", "neumann", "conjugate_gradient", "running"])
def test_a_training_loss_that_is_linear_and_ignores_hyper_leaves_the_direct_part(name: str, rng: Generator) -> None:
    weights, hyper = [normal(3, rng=rng)], [normal(3, rng=rng), normal(2, rng=rng)]
    found = ALL[name]()(lambda w, h: w[0].sum(), lambda w, h: (w[0] * h[0]).sum(), weights, hyper)
    assert torch.equal(found[0], weights[0])
    assert not found[1].any()


def in_place(x: Tensor) -> Tensor:
    grown = x.exp()
    return grown.sum() + grown.mul_(2).sum()


def fused_attention(x: Tensor) -> Tensor:
    """The kernel itself, which nothing stands in for."""
    rows = x.reshape(1, 1, -1, 2)
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(rows, rows, rows)[0]


@pytest.mark.parametrize(("part", "cause"), [(in_place, "in place"), (fused_attention, "no second derivative")])
def test_an_operation_without_second_derivative_is_named(part: Callable[[Tensor], Tensor], cause: str) -> None:
    def train(weights: list[Tensor], hyper: list[Tensor]) -> Tensor:
        return part(weights[0] * hyper[0]).square().sum()

    weights = [torch.tensor([0.5, 2.0, 1.0, 0.1])]
    with pytest.raises(RuntimeError, match=f"no hypergradient: .*{cause}.* Autograd: "):
        neumann(2, 0.1)(train, lambda w, h: w[0].sum(), weights, [torch.ones(4)])


@pytest.mark.parametrize("sign", CAUSES)
def test_other_errors_stay_as_they_are(sign: str) -> None:
    with pytest.raises(RuntimeError, match="no hypergradient"), causes_named():
        raise RuntimeError(f"... {sign} ...")
    with pytest.raises(RuntimeError, match=r"^out of memory$"), causes_named():
        raise RuntimeError("out of memory")
