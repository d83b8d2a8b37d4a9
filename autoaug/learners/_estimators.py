"""The hypergradient of a random policy: through the draws (pathwise), or through how often they are drawn (score)."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor
from torch.func import functional_call

from autoaug.hypergrad import Hypergrad, ModelLoss
from autoaug.learners._problem import Problem, Weights

Estimator = Callable[[Hypergrad, Problem], Weights]
"""-> the hypergradient, one tensor for each parameter of the policy."""


@runtime_checkable
class Scored(Protocol):
    """Describe a policy of hard draws whose probabilities are known, as the score estimator needs."""

    def __call__(self, images: Tensor, rng: Generator, choices: Any) -> Tensor:
        """Return images with these draws applied, differentiable in the parameters that do not decide what is drawn."""

    def sample(self, batch: int, rng: Generator) -> Any:
        """Return the draws of a batch of so many images."""

    def log_probability(self, choices: Any) -> Tensor:
        """Return log q of each image's draws, [B], differentiable in the parameters that decide what is drawn."""


def pathwise(hypergrad: Hypergrad, problem: Problem) -> Weights:
    """Return the derivative through the draws, which the policy makes differentiable (Hataya et al. 2022, eq. 8, 9)."""

    def loss(rows: slice) -> ModelLoss:
        def outputs(weights: Weights, hyper: Weights) -> tuple[Tensor, Tensor]:
            given = problem.train.images[rows], problem.repeat(rows.start)
            images = functional_call(problem.policy, hyper, given)
            return problem.predict(weights, images, rows.start), problem.train.targets[rows]

        return ModelLoss(outputs, problem.train_loss)

    train_loss = problem.by_parts(problem.train, loss)
    grads: Weights = hypergrad(train_loss, problem.outer, problem.weights, problem.hyper)
    return grads


def score(hypergrad: Hypergrad, problem: Problem) -> Weights:
    """Return the derivative of hard draws c ~ q: Σ_i (r_i - mean r of the others) ∇ log q(c_i), strengths pathwise.

    The credit r_i is the hypergradient of a weight on the loss of image i: weighing an image up is what drawing its
    operations more often does. For an implicit hypergradient it is -1/B times the derivative of the image's training
    loss along the solved vector p. It comes with the strengths' gradient from one backward pass, and for every
    Hypergrad. The estimate is unbiased, but for what batch statistics let images do to each other.
    """
    policy: Any = problem.policy
    rng = problem.repeat()
    choices = {rows.start: policy.sample(rows.stop - rows.start, rng) for rows in problem.parts(problem.train)}
    after = rng.get_state()

    def loss(rows: slice) -> ModelLoss:
        def outputs(weights: Weights, hyper: dict[str, Any]) -> tuple[Tensor, Tensor]:
            given = problem.train.images[rows], rng.set_state(after), choices[rows.start]
            images = functional_call(policy, hyper["policy"], given)
            return problem.predict(weights, images, rows.start), hyper["weight"][rows]

        def weighted(logits: Tensor, weight: Tensor) -> Tensor:
            return (weight * problem.criterion(logits, problem.train.targets[rows])).mean()

        return ModelLoss(outputs, weighted)

    train_loss = problem.by_parts(problem.train, loss)
    ones = next(iter(problem.weights.values())).new_ones(len(problem.train.targets))
    grads = hypergrad(train_loss, problem.outer, problem.weights, {"policy": problem.hyper, "weight": ones})
    drawn = score_function(policy, choices.values(), advantage(grads["weight"]), problem.hyper)
    return {name: grad + drawn[name] for name, grad in grads["policy"].items()}


def advantage(credit: Tensor) -> Tensor:
    """Return each credit [B] minus the mean of the others: still unbiased, with most of the noise gone."""
    return (credit - credit.mean()) * (len(credit) / max(1, len(credit) - 1))


def score_function(policy: Scored, choices: Iterable[Any], credit: Tensor, hyper: Weights) -> Weights:
    """Return Σ_i credit_i ∇ log q(choices_i), of the choices of one batch after the other."""
    with torch.enable_grad():
        total = credit @ torch.cat([policy.log_probability(each) for each in choices]).to(credit)
        grads = torch.autograd.grad(total, list(hyper.values()), materialize_grads=True, allow_unused=True)
    return dict(zip(hyper, grads, strict=True))


ESTIMATORS: dict[str, Estimator] = {"pathwise": pathwise, "score": score}
