"""Policy and mix at the share of their strength that an epoch has (`autoaug.train._phases`)."""

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from autoaug.devices import to_device
from autoaug.fields import short
from autoaug.mixing import Mix, TrainingMix, Weakenable

if TYPE_CHECKING:
    from autoaug.train._task import Task


def check_fading(task: "Task", mix: Mix | TrainingMix) -> None:
    """Refuse a mix that cannot be weakened where the task anneals it.

    Raises:
        ValueError: it has no `weakened`.
    """
    if task.anneal and not isinstance(mix, Weakenable):
        raise ValueError(
            f"Task.anneal is {task.anneal}, and {short(mix)} cannot be weakened: give a mix that is a "
            "autoaug.mixing.Weakenable, as every row of MIXES is, or leave Task.anneal out"
        )


def partly(images: Tensor, changed: Tensor, share: float, rng: Generator) -> Tensor:
    """Return what a policy made of images [B, C, H, W], or an image itself with the probability 1 - share.

    Only where there is a choice it is drawn, and after the draws of the policy.
    """
    if share in (0, 1):
        return changed if share else images
    chosen = torch.rand(len(images), generator=rng, device=rng.device) < share
    return torch.where(to_device(chosen, images.device)[:, None, None, None], changed, images)


def weakened(mix: Mix | TrainingMix, share: float) -> Mix | TrainingMix | None:
    """Return a mix at a share in [0, 1] of its strength; None where nothing is left of it.

    It is made anew each time: its alpha may be a tensor that a learner moves.
    """
    if share in (0, 1):
        return mix if share else None
    assert isinstance(mix, Weakenable), "check_fading has seen to that"
    return mix.weakened(share)
