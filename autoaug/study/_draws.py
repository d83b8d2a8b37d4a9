"""Whether a policy and a mix make images of images, tried on noise before any time is spent."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug.mixing import TrainingMix
from autoaug.study._setup import Setup

DRAWS = 8
"""Images that a policy and a mix are tried on: so many that a mix with probability 1/2 mixes at least one of them."""


def try_draws(setup: Setup, shape: Sequence[int], classes: int) -> None:
    """Send a few images of noise through the policy and the mix.

    Args:
        shape: of an image, [C, H, W].
        classes: how many there are.

    Raises:
        ValueError: what comes out are no images of the same shape, or no numbers.
    """
    rng = Generator().manual_seed(0)
    images, soft = noise(DRAWS, shape, classes, rng)
    setup.policy.at(1)
    with torch.no_grad():
        drawn = setup.policy(images, rng)
        if not isinstance(drawn, Tensor) or drawn.shape != images.shape:
            result = list(drawn.shape) if isinstance(drawn, Tensor) else f"a {type(drawn).__name__}"
            raise ValueError(f"the policy makes {result} of images {list(images.shape)}: give back the same shape")
        refuse_no_numbers(drawn, "policy")
        if not isinstance(setup.mix, TrainingMix):  # those are tried in a training step
            for mixed in setup.mix(drawn, soft, rng):
                refuse_no_numbers(mixed, "mix")


def noise(count: int, shape: Sequence[int], classes: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Return images of noise [B, C, H, W] in [0, 1] and soft targets [B, K], in which the classes take turns.

    Args:
        count: B.
        shape: of an image, [C, H, W].
        classes: K.
    """
    images = torch.rand(count, *shape, generator=rng)
    return images, F.one_hot(torch.arange(count) % classes, classes).float()


def refuse_no_numbers(made: Tensor, maker: str) -> None:
    """Raise ValueError where a tensor holds NaN or infinity; `maker` is what made it."""
    if not bool(made.isfinite().all()):
        raise ValueError(f"the {maker} makes values that are NaN or infinite: narrow the ranges of its parameters")
