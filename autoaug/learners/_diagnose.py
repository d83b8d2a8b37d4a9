"""Whether a hypergradient points where training says: its cosine with finite differences of the bilevel objective."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.devices import to_device
from autoaug.learners._problem import Problem, Weights

DIRECTIONS = 16
STEPS = 10
"""Of training, after which the validation loss is read."""
REACH = 1.0
"""How far the policy is moved either way. Draws are discrete, so small movements change nothing but by chance."""
BATCH = 64


def alignment(
    hypergradient: Weights, problem: Problem, optimiser: torch.optim.Optimizer, steps: int = STEPS, reach: float = REACH
) -> float:
    """Return the cosine of a hypergradient with the finite differences, estimated in random directions.

    Along each direction the policy is moved both ways, and the network trained from its present weights by a copy of
    its optimiser, with the same draws. The cosine is taken over the derivatives in 16 directions, so it is known to
    about ± 0.25 where it is near 0. It costs 32 short trainings. Nothing is changed. NaN where one of the two is zero
    in all directions, and so points nowhere.
    """
    state = problem.rng.get_state()
    seen = Generator(problem.rng.device).manual_seed(problem.seed)
    claimed, measured = [], []
    for direction in directions(hypergradient, seen):
        after = [objective(moved(problem.hyper, direction, way * reach), problem, optimiser, steps) for way in (1, -1)]
        measured.append((after[0] - after[1]) / (2 * reach))
        claimed.append(sum(float((grad * direction[name]).sum()) for name, grad in hypergradient.items()))
    problem.rng.set_state(state)
    return cosine(torch.tensor(claimed), torch.tensor(measured))


def cosine(one: Tensor, other: Tensor) -> float:
    """Return the cosine of two vectors; NaN where one of them has no direction."""
    return float(F.cosine_similarity(one, other, dim=0)) if one.norm() * other.norm() > 0 else math.nan


def directions(like: Weights, rng: Generator) -> Iterator[Weights]:
    """Yield standard normal movements of the policy's parameters."""
    for _ in range(DIRECTIONS):
        drawn = {name: torch.randn(value.shape, generator=rng, device=rng.device) for name, value in like.items()}
        yield {name: to_device(value, like[name].device, like[name].dtype) for name, value in drawn.items()}


def moved(hyper: Weights, direction: Weights, far: float) -> Weights:
    """Return the parameters moved so many times along a direction."""
    return {name: value.detach() + far * direction[name] for name, value in hyper.items()}


def objective(hyper: Weights, problem: Problem, optimiser: torch.optim.Optimizer, steps: int) -> float:
    """Return the validation loss in nats after some more steps of training with these parameters of the policy.

    All weights move that training moves, whatever part of them the hypergradient goes through.
    """
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in problem.trained.items()}
    twins: dict[int, Any] = {id(weight): weights[name] for name, weight in problem.trained.items()}
    stepper = copy.deepcopy(optimiser, twins)  # with its groups and its state, on these weights
    rng = problem.repeat()
    for images, targets in minibatches(problem, steps):
        with torch.no_grad():
            images, shares = problem.show(hyper, images, rng)
        loss = problem.train_loss(problem.predict(weights, images), targets, shares)
        grads = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for weight, grad in zip(weights.values(), grads, strict=True):
            weight.grad = grad
        if problem.clip_norm is not None:
            nn.utils.clip_grad_norm_(weights.values(), problem.clip_norm)
        stepper.step()
    with torch.no_grad():
        return float(F.cross_entropy(problem.predict(weights, problem.val.images), problem.val.targets))


def minibatches(problem: Problem, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the training batch in parts, over and over."""
    parts = list(zip(*(each.split(BATCH) for each in problem.train), strict=True))
    for k in range(steps):
        yield parts[k % len(parts)]
