"""The hypergradient of a random policy: through the draws (pathwise), or through how often they are drawn (score)."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

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
        def outputs(weights: Weights, hyper: Weights) -> tuple[Tensor, Tensor, Tensor | None]:
            images, shares = problem.show(hyper, problem.train.images[rows], problem.repeat(rows.start))
            return problem.predict(weights, images, rows.start), problem.train.targets[rows], shares

        return ModelLoss(outputs, problem.train_loss)

    train_loss = problem.by_parts(problem.train, loss)
    grads: Weights = hypergrad(train_loss, problem.outer, problem.weights, problem.hyper)
    return grads


def score(hypergrad: Hypergrad, problem: Problem) -> Weights:
    """Return the derivative of hard draws c ~ q: Σ_i (r_i - mean r of the others) ∇ log q(c_i), strengths pathwise.

    The credit r_i is the hypergradient of a weight on the loss of image i: weighing an image up is what drawing its
    operations more often does. For an implicit hypergradient it is -1/B times the derivative of the image's training
    loss along the solved vector p. It comes with the strengths' gradient from one backward pass, and for every
    Hypergrad. The estimate is unbiased, but for what batch statistics let images do to each other. Of a mix, which is
    differentiated through its draws, an image has the credit of every mixed image that it is part of.
    """
    policy: Any = problem.policy
    rng = problem.repeat()
    choices = {rows.start: policy.sample(rows.stop - rows.start, rng) for rows in problem.parts(problem.train)}
    after = rng.get_state()
    parts: dict[int, Tensor] = {}

    def loss(rows: slice) -> ModelLoss:
        def outputs(weights: Weights, hyper: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None]:
            given = problem.train.images[rows], rng.set_state(after), choices[rows.start]
            images, shares = problem.show(hyper["policy"], *given)
            if shares is not None:
                parts[rows.start] = shares.detach() > 0
            return problem.predict(weights, images, rows.start), hyper["weight"][rows], shares

        def weighted(logits: Tensor, weight: Tensor, shares: Tensor | None) -> Tensor:
            return (weight * problem.train_losses(logits, problem.train.targets[rows], shares)).mean()

        return ModelLoss(outputs, weighted)

    train_loss = problem.by_parts(problem.train, loss)
    ones = next(iter(problem.weights.values())).new_ones(len(problem.train.targets))
    grads = hypergrad(train_loss, problem.outer, problem.weights, {"policy": problem.hyper, "weight": ones})
    mixed = (torch.block_diag(*(parts[start] for start in choices)),) if parts else ()
    drawn = score_function(policy, choices.values(), advantage(grads["weight"], *mixed), problem.hyper)
    return {name: grad + drawn[name] for name, grad in grads["policy"].items()}


def advantage(credit: Tensor, part_of: Tensor | None = None) -> Tensor:
    """Return each credit [B] minus the mean of the others: still unbiased, with most of the noise gone.

    Args:
        part_of: whether image j is part of the mixed image i, [B, B], bool. An image then has the credits of all that
            it is part of, each minus the mean of those that it is no part of. None is each of itself alone.
    """
    if part_of is None:
        return (credit - credit.mean()) * (len(credit) / max(1, len(credit) - 1))
    within = part_of.to(credit)
    count = within.sum(0)
    own = credit @ within
    return own - count * (credit.sum() - own) / (len(credit) - count).clamp(min=1)


def score_function(policy: Scored, choices: Iterable[Any], credit: Tensor, hyper: Weights) -> Weights:
    """Return Σ_i credit_i ∇ log q(choices_i), of the choices of one batch after the other."""
    with torch.enable_grad():
        total = credit @ torch.cat([policy.log_probability(each) for each in choices]).to(credit)
        grads = torch.autograd.grad(total, list(hyper.values()), materialize_grads=True, allow_unused=True)
    return dict(zip(hyper, grads, strict=True))


ESTIMATORS: dict[str, Estimator] = {"pathwise": pathwise, "score": score}
