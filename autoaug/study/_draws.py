"""Whether a policy and a mix make images of images, tried on noise before any time is spent."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug.data import Data
from autoaug.mixing import TrainingMix
from autoaug.policy import Policy, encode
from autoaug.study._setup import Setup
from autoaug.text import enumerated

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


def refuse_ops(policy: Policy, data: Data) -> None:
    """Refuse a policy that draws operations on images, where the data are rows of features.

    Raises:
        ValueError: it names the first operations.
    """
    named = dict.fromkeys(ops_of(json.loads(encode(policy.tree()))))
    ops = [name for name in named if name != "identity"]
    if ops and data.kind == "features":
        raise ValueError(
            f"the policy draws operations on images ({enumerated(ops, len(ops))}), and the data are rows of features: "
            "search a mix alone, as none().mixed('mixup', alpha=0.2) does"
        )


def ops_of(node: Any) -> Iterator[str]:
    """Yield the operations of a policy tree, as plain data, in their order."""
    if isinstance(node, dict):
        yield from [str(node["op"])] if "op" in node else []
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from ops_of(child)


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
