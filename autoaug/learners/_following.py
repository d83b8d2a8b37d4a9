"""From an optimiser of torch to the rules by which an `unrolled` hypergradient takes the steps that come next."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autoaug.hypergrad import AdamWRule, Hypergrad, Remembered, SgdRule, Unrolled, UpdateRule

Group = Mapping[str, Any]
"""A group of parameters of an optimiser, with its settings."""


def like_sgd(group: Group) -> UpdateRule:
    """Return the rule of a group of `torch.optim.SGD`."""
    return SgdRule(group["lr"], group["momentum"], group["weight_decay"], group["nesterov"])


def like_adamw(group: Group) -> UpdateRule:
    """Return the rule of a group of `torch.optim.AdamW`."""
    return AdamWRule(group["lr"], group["betas"], group["eps"], group["weight_decay"])


FOLLOWED: dict[type[torch.optim.Optimizer], Callable[[Group], UpdateRule]] = {
    torch.optim.SGD: like_sgd,
    torch.optim.AdamW: like_adamw,
}
"""Optimisers whose steps are followed exactly. A class that is derived from one of them may step in another way."""


OF_A_TASK = 'give Task.optimiser="sgd" or "adamw", or another strategy'
"""What to do where the trainer's optimiser is not followed."""

OF_A_LOOP = "give one of them to trial.learn, and not what wraps it, or search with another strategy"
"""What to do where the optimiser of a loop of the user's own is not."""


def rule_of(group: Group, optimiser: torch.optim.Optimizer, remedy: str = OF_A_TASK) -> UpdateRule:
    """Return how an optimiser moves the weights of a group of parameters next, as a function to differentiate.

    Raises:
        ValueError: it is none of `FOLLOWED`, or has an option that is not followed.
    """
    follow = FOLLOWED.get(type(optimiser))
    if follow is None:
        raise ValueError(
            f"an unrolled hypergradient looks ahead through {' or '.join(kind.__name__ for kind in FOLLOWED)} of "
            f"torch.optim, not {type(optimiser).__name__}: {remedy}"
        )
    if group.get("dampening") or group.get("amsgrad") or group["maximize"]:
        raise ValueError(
            f"an unrolled hypergradient looks ahead without dampening, amsgrad and maximize: leave them out of "
            f"{type(optimiser).__name__}"
        )
    return follow(group)


def check_unrolled(optimiser: torch.optim.Optimizer, remedy: str = OF_A_TASK) -> None:
    """Refuse an optimiser whose steps an `unrolled` hypergradient cannot differentiate.

    Raises:
        ValueError: it is neither `torch.optim.SGD` nor `torch.optim.AdamW`, or has dampening, amsgrad or maximize.
    """
    for group in optimiser.param_groups:
        rule_of(group, optimiser, remedy)


def with_optimiser_state(
    hypergrad: Hypergrad,
    weights: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer | None,
    clip_norm: float | None = None,
) -> Hypergrad:
    """Return an `unrolled` hypergradient through the steps that this optimiser would take next; others as they are.

    Each weight moves by the settings of its group of parameters.

    Args:
        clip_norm: that the gradient is clipped to in training; None leaves it to the hypergradient.

    Raises:
        ValueError: it cannot look ahead through the steps of this optimiser.
    """
    if not isinstance(hypergrad, Unrolled) or optimiser is None:
        return hypergrad
    by_weight = {
        parameter: rule_of(group, optimiser) for group in optimiser.param_groups for parameter in group["params"]
    }
    missing = [name for name, weight in weights.items() if weight not in by_weight]
    if missing:
        raise ValueError(f"the optimiser does not move the weight {missing[0]!r}, through which a hypergradient goes")
    rules = [by_weight[weight] for weight in weights.values()]
    start = [
        remembered(rule, weight, optimiser.state.get(weight, {}))
        for rule, weight in zip(rules, weights.values(), strict=True)
    ]
    return replace(hypergrad, rule=rules, start=start, clip_norm=clip_norm or hypergrad.clip_norm)


BUFFERS = ("momentum_buffer", "exp_avg", "exp_avg_sq")
"""What the optimisers of torch in `FOLLOWED` call the buffers of their rules, in this order."""


def remembered(rule: UpdateRule, weight: Tensor, state: Mapping[str, Any]) -> Remembered:
    """Return what an optimiser of torch remembers of a weight, by its state of it, which is empty before a step."""
    buffers = tuple(state[name] for name in BUFFERS if state.get(name) is not None)
    return Remembered(buffers or rule.fresh(weight), int(state.get("step", 0)))
