"""Trials of one policy, and samples with an image, that several test files run through a transform."""

from typing import Any

import torch
from loops_for_tests import trial_of
from torchvision import tv_tensors

from autoaug import Task, Trial
from autoaug.policy import Fixed, Policy, PolicyTree
from autoaug.strategies import Strategy
from autoaug.testing import photographs


def trial_with(policy: PolicyTree | Policy, refine_epochs: int = 0, **more: Any) -> Trial:
    """A trial of a policy that does not move, unless `within` says so."""
    built = Fixed(policy) if isinstance(policy, PolicyTree) else policy
    strategy = Strategy(lambda: built, {}, within=more.pop("within", None))
    fields = {name: more.pop(name) for name in ("epochs", "anneal") if name in more}
    task = Task(data=None, refine_epochs=refine_epochs, device="cpu", **fields)
    return trial_of(lambda: strategy, task=task, **more)


def boxes(edges: Any, size: tuple[int, int] = (32, 48), format: str = "XYXY") -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(edges, format=format, canvas_size=size)


def mask_of(size: tuple[int, int] = (32, 48)) -> tv_tensors.Mask:
    return tv_tensors.Mask(torch.zeros(size, dtype=torch.uint8))


IMAGE = tv_tensors.Image(photographs(1, height=32, width=48)[0])
