"""When policy and mix are on: how the epochs are divided, the warm-up of the mix, annealing, refinement."""

from typing import TYPE_CHECKING, Any

from autoaug.fields import MOST_WHOLE, Refused, finite, plain

if TYPE_CHECKING:
    from autoaug.train._task import Task


MIX_WHEN = {"warmup": "mix_warmup"}
"""Parameters of a mix that say when it is on, not how it mixes, and the fields of the task that they set. Every mix
that mixes takes them (`Strategy.mixed`, `Study.mix`, `mix.warmup`)."""


def share_or_epochs(given: Any) -> float | int:
    """Return a share of the augmented epochs as a float in [0, 1), or a number of epochs as an int."""
    value = plain(given)
    number = finite(value)
    whole = isinstance(value, int)
    if number is None or number < 0 or number > MOST_WHOLE or (not whole and number >= 1):
        raise Refused("a share of the steps in [0, 1), or a whole number of epochs")
    return value if isinstance(value, int) else number


def divided(epochs: int, refine_epochs: int, total: int | None, share: float | None) -> tuple[int, int]:
    """Return the augmented and the refinement epochs: as they are, or as a total of both is divided.

    Args:
        share: of the total, in [0, 1), that refines; it is rounded to whole epochs, of which one stays augmented. None
            is `refine_epochs`, whatever the total.
    """
    if total is None:
        return epochs, refine_epochs
    refined = refine_epochs if share is None else min(round(share * total), total - 1)
    return total - refined, refined


def divided_task(task: "Task") -> tuple[int, int]:
    """Return the augmented and the refinement epochs of a task.

    Raises:
        ValueError: it has a share of no total, or no epoch with the policy; the message says what to give instead.
    """
    total, share = task.total_epochs, task.refine_share
    if total is None and share is not None:
        raise ValueError(f"Task.refine_share is {share:g}, a share of no total: give Task.total_epochs with it")
    epochs, refine_epochs = divided(task.epochs, task.refine_epochs, total, share)
    if epochs < 1:
        raise ValueError(
            f"Task.refine_epochs is {refine_epochs}: give fewer than Task.total_epochs={total}, of which the others "
            "have the policy, or Task.refine_share"
        )
    return epochs, refine_epochs


def check_phases(task: "Task") -> None:
    """Refuse a mix that would never be on, and a window of annealing that is no part of the augmented epochs.

    Raises:
        ValueError: the message names the field, its value and what to give instead.
    """
    if task.mix_warmup >= task.epochs:
        raise ValueError(
            f"the mix would never be on: its warmup is {task.mix_warmup}: give fewer epochs than "
            f"Task.epochs={task.epochs} to mix.warmup, or to Task.mix_warmup"
        )
    if isinstance(task.anneal, int) and task.anneal >= task.epochs:
        raise ValueError(f"Task.anneal is {task.anneal}: give fewer epochs than Task.epochs={task.epochs}, or a share")


def check_epochs(task: "Task", epochs: int | None) -> None:
    """Refuse augmented epochs of a loop of the user's own that do not go with its task; None are those of the task.

    Raises:
        ValueError: the task fixes the total or anneals longer, or the mix would never be on.
    """
    if epochs is None or epochs == task.epochs:
        return
    if task.total_epochs is not None:
        raise ValueError(
            f"trial.epochs(total={epochs}), and the study fixes total_epochs={task.total_epochs}, of which "
            f"{task.epochs} have the policy: write trial.epochs() without a number"
        )
    for name, number in {"mix.warmup": task.mix_warmup, "anneal": task.anneal}.items():
        if isinstance(number, int) and number >= epochs:
            raise ValueError(
                f"trial.epochs(total={epochs}), and the study has {name}={number}: train longer, or lower that"
            )


def annealed_epochs(task: "Task", epochs: int) -> int:
    """Return how many of the augmented epochs, the last ones, are annealed: a share is rounded, to 1 at least."""
    if not task.anneal or isinstance(task.anneal, int):
        return int(task.anneal)
    return max(1, round(task.anneal * epochs))


def policy_share(task: "Task", epoch: int, epochs: int) -> float:
    """Return the share of its images that the policy is applied to in an epoch.

    It is 1, falls in equal steps from epoch to epoch of the window of `Task.anneal`, and is 0 while refining: with a
    window of 3 epochs 3/4, 1/2 and 1/4.

    Args:
        epoch: counted from 1; 0 is before the first, where all is on.
        epochs: the augmented ones. A loop of the user's own may have another number than the task.
    """
    return min(1.0, max(0, epochs + 1 - epoch) / (annealed_epochs(task, epochs) + 1))


def mix_share(task: "Task", epoch: int, epochs: int) -> float:
    """Return the share of its strength that the mix has in an epoch: 0 in its warm-up, else as `policy_share`."""
    return 0.0 if 0 < epoch <= task.mix_warmup else policy_share(task, epoch, epochs)
