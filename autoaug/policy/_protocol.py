"""What the trainer asks of a policy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from autoaug.policy._tree import PolicyTree


@runtime_checkable
class Policy(Protocol):
    """Map images to images at random.

    An `nn.Module` whose parameters are what a gradient may move. Any module with `forward`, `tree`,
    `at` and `save` is one.
    """

    def __call__(self, images: Tensor, rng: Generator) -> Tensor: ...

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        """Return images of the same shape and dtype, from [B, C, H, W] in [0, 1], with an independent draw for each."""

    def tree(self) -> PolicyTree:
        """Return the portable form of the policy as it is now."""

    def at(self, epoch: int) -> None:
        """Begin an epoch, counted from 1: a schedule changes with it, other policies need not."""

    def save(self, path: str | Path) -> None:
        """Write `tree()` as a policy file."""

    def to(self, device: torch.device, /) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> Any: ...


@runtime_checkable
class AppliedAtTest(Protocol):
    """Describe a policy that may transform the images of an evaluation too; the images of others are left as they are.

    The network is then one that needs the policy: its scores, on validation and test images, are those of both.
    """

    at_test: bool
    """Whether it does; where not, `evaluated` is not called."""

    def evaluated(self, images: Tensor, rng: Generator) -> Tensor:
        """Return images as an evaluation sees them, of the same shape and dtype, with one draw for each.

        Nothing of the policy changes, and what it does while training alone, such as dropout, is left out.
        """


@runtime_checkable
class Composed(Protocol):
    """Describe a policy that says how its tree is to be run; one that does not runs its operations in turn."""

    compose: bool
    """Whether consecutive geometric operations are one resampling, as with `Fixed(tree, compose=True)`."""
