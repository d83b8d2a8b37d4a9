"""The figures of an epoch, checked once, whoever measured them: one that is no finite number ends the training."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from autoaug.fields import TEXT, plain, short
from autoaug.metrics import SPLITS, own_metrics, row_of, words_of
from autoaug.policy import Policy, PolicyError
from autoaug.train._learner import Learner

if TYPE_CHECKING:
    from autoaug.train._run import TrainingRun

LONGEST_NAME = 100
"""Characters of a figure's name: it becomes an attribute in the storage."""


class Diverged(ArithmeticError):
    """A figure of a training is no longer a finite number: the message names it, the epoch and what to change."""


def finite_figures(epoch: int, figures: Mapping[str, Any], remedy: Callable[[str], str]) -> dict[str, float]:
    """Return the figures of an epoch as floats.

    Args:
        remedy: from the name of one that is no finite number to what may be changed.

    Raises:
        Diverged: one of them is NaN or infinite.
        TypeError: one is no number, or its name cannot be stored. A learner or a loop of the user's has returned it.
    """
    checked = {name: number(name, value) for name, value in figures.items()}
    for name, value in checked.items():
        if not math.isfinite(value):
            raise Diverged(f"diverged: {spoken(name)} is {value} in epoch {epoch}: {remedy(name)}")
    return checked


def number(name: str, value: Any) -> float:
    """Return a scalar of Python, numpy or torch as a float.

    Raises:
        TypeError: it is no number, or its name cannot be stored.
    """
    if not TEXT.holds(name) or len(name) > LONGEST_NAME:
        raise TypeError(f"a figure has the name {short(name)}: give a text of 1 to {LONGEST_NAME} characters")
    scalar = value.item() if isinstance(value, Tensor) and value.numel() == 1 else plain(value)
    if not isinstance(scalar, int | float):
        raise TypeError(f"the figure {name!r} is {short(value)}: give a number, or leave it out where it has no value")
    return float(scalar)


def spoken(name: str) -> str:
    """Return a figure in words: "the training loss" for `train_loss`."""
    if name == "train_loss":
        return "the training loss"
    words = words_of(name)
    return f"the figure {name!r}" if words == name else f"the {words}"


def remedy(run: "TrainingRun", name: str) -> str:
    """Return what to change where a figure diverged."""
    if row_of(name) in own_metrics():
        return "mend the function of this metric, or if others diverge too lower Task.lr"
    rate = " or the rate of the learner" if run.learner.moves_policy else ""
    omit = "" if name.partition("_")[0] in SPLITS else ", or leave it out where it has no value"
    return f"lower Task.lr ({run.task.lr:g}){rate}{omit}"


def snapshot(policy: Policy, learner: Learner, epoch: int) -> dict[str, Any] | None:
    """Return the policy as plain data where a learner moves it, else None.

    Raises:
        Diverged: its parameters no longer make a policy.
    """
    if not learner.moves_policy:
        return None
    try:
        return policy.tree().model_dump(mode="json")
    except PolicyError as error:
        raise Diverged(
            f"diverged: the policy is none any more in epoch {epoch}: lower the rate of the learner ({error})"
        ) from error
