"""Both estimators of a policy's hypergradient, against exact answers."""

import copy
import itertools
from typing import Any

import pytest
import torch
from small_problems import OPS, Noisy, batch, network, seeded, small_problem, spread
from torch import Tensor
from torch.nn import functional as F

from autoaug.hypergrad import directional, exact, gauss_newton_cg, identity, neumann, running, unrolled
from autoaug.learners import Problem
from autoaug.learners._bilevel import with_optimiser_state
from autoaug.learners._estimators import ESTIMATORS, advantage, pathwise, score
from autoaug.policy import Choices, Relaxed


def every_draw(policy: Relaxed, size: int) -> list[Choices]:
    """All that `sample` can give for a batch, without its signs where an operation has none."""
    stages, width = policy.selection.shape
    ranges = [range(width)] * (stages * size) + [(False, True)] * (stages * size) + [(1.0, -1.0)] * (stages * size)
    found = []
    for row in itertools.product(*ranges):
        parts = [torch.tensor(row[k * stages * size : (k + 1) * stages * size]).view(stages, size) for k in range(3)]
        choices = Choices(parts[0], parts[1], parts[2].double())
        if bool(((choices.sign > 0) | policy.signed[choices.option]).all()):
            found.append(choices)
    return found


def chance(policy: Relaxed, choices: Choices) -> Tensor:
    """Of a draw of each image, [B], signs included."""
    return policy.log_probability(choices).exp() * 0.5 ** policy.signed[choices.option].double().sum(0)


def enumerated(policy: Relaxed, problem: Problem) -> dict[str, Tensor]:
    """- d/dφ E <p, ∂train/∂w> with p = ∂val/∂w, by all draws of each image: exact, and another way of computing it."""
    names = list(problem.weights)
    weights = {name: weight.detach().requires_grad_() for name, weight in problem.weights.items()}
    pull = torch.autograd.grad(problem.val_loss(weights, None), [weights[name] for name in names])
    total = torch.zeros((), dtype=torch.float64)
    for choices in every_draw(policy, 1):
        for k in range(len(problem.train.targets)):
            images = policy(problem.train.images[k : k + 1], seeded(), choices)
            loss = F.cross_entropy(problem.predict(weights, images), problem.train.targets[k : k + 1])
            slopes = torch.autograd.grad(loss, [weights[name] for name in names], create_graph=True)
            along = sum((slope * p).sum() for slope, p in zip(slopes, pull, strict=True))
            total = total - chance(policy, choices)[0] * along / len(problem.train.targets)
    found = torch.autograd.grad(total, list(policy.parameters()))
    return dict(zip(problem.hyper, found, strict=True))


@pytest.mark.parametrize("stages", [1, 2])
def test_score_equals_the_enumeration_of_all_operations(stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of the estimate over every draw of the batch, each weighed by its probability, is the gradient."""
    size = 2 if stages == 1 else 1
    policy = spread(Relaxed(OPS if stages == 1 else OPS[1:], stages=stages))
    problem = small_problem(policy, size)
    mean = {name: torch.zeros_like(value) for name, value in problem.hyper.items()}
    monkeypatch.setattr("autoaug.learners._estimators.advantage", advantage if size > 1 else lambda credit: credit)
    total = 0.0
    for choices in every_draw(policy, size):
        monkeypatch.setattr(policy, "sample", lambda size, rng, choices=choices: choices)
        weight = chance(policy, choices).prod().item()
        total += weight
        for name, slope in score(identity(), problem).items():
            mean[name] += weight * slope
    assert total == pytest.approx(1)
    for name, wanted in enumerated(policy, problem).items():
        assert wanted.abs().max() > 1e-6
        assert torch.allclose(mean[name], wanted, rtol=1e-9, atol=1e-12), name


def test_the_credit_of_an_image_is_the_derivative_of_its_loss_along_the_solved_vector() -> None:
    policy = spread(Relaxed(OPS))
    problem = small_problem(policy, 6)
    solver, seen = neumann(3, 0.1), []

    def watched(*given: Any) -> Any:
        seen.append(solver(*given))
        return seen[0]

    found = score(watched, problem)
    choices = policy.sample(6, problem.repeat())
    images = policy(problem.train.images, seeded(), choices).detach()

    def losses(weights: dict[str, Tensor], hyper: Any) -> Tensor:
        return F.cross_entropy(problem.predict(weights, images), problem.train.targets, reduction="none")

    along = solver.solve(lambda w, h: losses(w, h).mean(), problem.val_loss, problem.weights, [])
    wanted = -directional(losses, problem.weights, [], along) / 6
    assert torch.allclose(seen[0]["weight"], wanted, rtol=1e-9)
    slopes = torch.autograd.grad(advantage(wanted) @ policy.log_probability(choices), [policy.selection])
    assert torch.allclose(found["selection"], slopes[0], rtol=1e-9)


def test_the_pathwise_look_ahead_is_the_derivative_through_a_real_step_of_the_optimiser() -> None:
    """Against differences of the validation loss after torch's own SGD took its next step."""
    policy = spread(Relaxed(("rotate", "brightness"))).double()
    problem = Problem(policy, network().double(), batch(30, 1, torch.float64), batch(30, 2, torch.float64), seeded(3))
    settings: dict[str, Any] = {"lr": 0.3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    optimiser = torch.optim.SGD(problem.model.parameters(), **settings)
    for _ in range(2):  # momentum buffers that are not empty
        optimiser.zero_grad()
        F.cross_entropy(problem.model(problem.train.images), problem.train.targets).backward()
        optimiser.step()
    optimiser.zero_grad()
    found = pathwise(with_optimiser_state(unrolled(1, lr=7.0), problem.weights, optimiser), problem)

    def after(name: str, entry: tuple[int, ...], way: float) -> float:
        model = copy.deepcopy(problem.model)
        stepper = torch.optim.SGD(model.parameters(), **settings)
        stepper.load_state_dict(copy.deepcopy(optimiser.state_dict()))
        moved = {key: value.detach().clone() for key, value in policy.named_parameters()}
        moved[name][entry] += way
        images = torch.func.functional_call(policy, moved, (problem.train.images, problem.repeat()))
        F.cross_entropy(model(images), problem.train.targets).backward()
        stepper.step()
        return F.cross_entropy(model(problem.val.images), problem.val.targets).item()

    for name in ("probability", "strength"):
        for entry in itertools.product(range(2), range(2)):
            slope = (after(name, entry, 1e-6) - after(name, entry, -1e-6)) / 2e-6
            assert slope == pytest.approx(float(found[name][entry]), rel=1e-4, abs=1e-9)
            assert slope != 0


@pytest.mark.parametrize(
    "hypergrad", [exact(0.5), neumann(2, 0.1), running(0.1), gauss_newton_cg(3, 1.0), unrolled(2, lr=0.1)]
)
@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_every_hypergradient_goes_with_every_estimator(estimator: str, hypergrad: Any) -> None:
    problem = small_problem(spread(Relaxed(OPS)), 8)
    found = ESTIMATORS[estimator](hypergrad, problem)
    for name, value in problem.policy.named_parameters():
        assert found[name].shape == value.shape
        assert bool((found[name] != 0).any()), name


def test_an_estimate_repeats_its_draws_and_the_next_one_has_others() -> None:
    policy = Relaxed(OPS)
    for estimate in ESTIMATORS.values():
        first, same = (
            estimate(identity(), Problem(policy, network(Noisy), batch(30, 1), batch(30, 2), seeded(3)))
            for _ in range(2)
        )
        rng = seeded(3)
        estimate(identity(), Problem(policy, network(Noisy), batch(30, 1), batch(30, 2), rng))
        other = estimate(identity(), Problem(policy, network(Noisy), batch(30, 1), batch(30, 2), rng))
        assert all(torch.equal(first[name], same[name]) for name in first)
        assert not torch.equal(first["selection"], other["selection"])
