"""Checks of what makes a bilevel training impossible or pointless, made before it or as soon as it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autoaug.hypergrad import Hypergrad, Unrolled
from autoaug.learners._estimators import Scored
from autoaug.learners._updates import Updates

if TYPE_CHECKING:
    from autoaug.train import Task

LEAST_MOVEMENT = 3.0
"""Logits. An operation that gains that much over 13 others goes from 1/14 to 0.6."""


class HypergradientError(ArithmeticError):
    """Report that hypergradients are no longer finite numbers; the message says what to lower."""


def check_policy(policy: Any, estimator: str) -> None:
    """Refuse a policy that no hypergradient can move.

    Raises:
        ValueError: it has no parameters.
        TypeError: it lacks what the score estimator needs.
    """
    kind = type(policy).__name__
    if not isinstance(policy, nn.Module) or not any(value.requires_grad for value in policy.parameters()):
        raise ValueError(
            f"a {kind} has no parameters that a gradient could move: give a policy such as Relaxed or Warp"
        )
    if estimator == "score" and not isinstance(policy, Scored):
        raise TypeError(f"a {kind} has no sample and log_probability, which estimator='score' needs: use 'pathwise'")


def check_reuse(hypergrad: Hypergrad, updates: Updates) -> None:
    """Refuse to differentiate the training step itself in a way that it has no graph for."""
    if not updates.reuse_graph:
        return
    if updates.estimator != "pathwise":
        raise ValueError(f"reuse_graph needs estimator='pathwise', not {updates.estimator!r}")
    if not isinstance(hypergrad, Unrolled) or hypergrad.steps != 1:
        raise ValueError(f"reuse_graph needs unrolled(1, lr), as it differentiates one step of training: {hypergrad}")


def check_schedule(expected: int, updates: Updates, task: "Task", val: int) -> None:
    """Refuse a training in which the policy would never move."""
    if not val:
        raise ValueError("no validation images, whose loss the policy is to lower: give a split, or Task.val_fraction")
    if updates.warmup >= task.epochs:
        raise ValueError(
            f"warmup={updates.warmup} epochs of Task.epochs={task.epochs}: the policy would never move; lower it"
        )
    if expected < 1:
        raise ValueError(
            f"every={updates.every} steps is longer than the training after its warm-up of {updates.warmup} epochs: "
            "the policy would never move; lower it"
        )


def check_compile(task: "Task", kind: str) -> None:
    """Refuse a compiled network beside a learner of this name, which differentiates twice.

    Raises:
        ValueError: `Task.compile` is on.
    """
    if task.compile:
        raise ValueError(
            f"{kind} differentiates training steps a second time, and a compiled network has no second derivative: "
            "leave Task.compile off, or search with another strategy"
        )


def check_clipped(task: "Task", updates: Updates) -> None:
    """Refuse to look ahead through steps that are clipped by the norm of more than the hypergradient goes through."""
    if task.clip_norm is not None and updates.part != "all":
        raise ValueError(
            f"Task.clip_norm={task.clip_norm:g} clips by the norm of the whole gradient, and an unrolled hypergradient "
            f"with part={updates.part!r} knows that of a part: give part='all', or leave clip_norm out"
        )


def too_few(updates: int, optimiser: torch.optim.Optimizer) -> list[str]:
    """Return a caution for a training that is too short to move the selection of operations anywhere, or none."""
    lr = optimiser.param_groups[0]["lr"]
    if reach(optimiser, updates) >= LEAST_MOVEMENT:
        return []
    return [
        f"{updates} updates at learning rate {lr:g} cannot move a logit by {LEAST_MOVEMENT:g}: the policy ends "
        "about where it starts. Update more often (every), train longer or raise the learning rate; updates times "
        "learning rate should be 5 to 8"
    ]


def reach(optimiser: torch.optim.Optimizer, updates: int) -> float:
    """Return how far so many updates along a gradient that stays the same move a parameter, without momentum.

    RMSprop divides by the root of a mean that begins at 0: with its decay α, update k is (1 - α^k)^-1/2 times the
    learning rate, so 10 times in the first of α = 0.99. Of other optimisers each update counts as the learning rate.
    """
    group = optimiser.param_groups[0]
    if isinstance(optimiser, torch.optim.RMSprop):
        return float(sum(group["lr"] * (1 - group["alpha"] ** k) ** -0.5 for k in range(1, updates + 1)))
    return float(updates * group["lr"])


@contextmanager
def in_place_named(model: nn.Module) -> Iterator[None]:
    """Name in the error, where a tensor that a derivative needs was overwritten, the modules that may have done it."""
    try:
        yield
    except RuntimeError as error:
        if "in place" not in str(error) and "inplace operation" not in str(error):  # ours, and PyTorch's words
            raise
        names = [name or "the model" for name, module in model.named_modules() if getattr(module, "inplace", False)]
        modules = ", ".join(names) if names else "no module says inplace=True, so look for +=, relu_ and the like"
        raise RuntimeError(f"{type(model).__name__} has no second derivative: {modules}. {error}") from error
