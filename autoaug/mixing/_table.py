"""The table of mixes, `MIXES`: a mask over pairs for each row."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor

from autoaug.fields import finite, plain, short
from autoaug.lookup import lookup
from autoaug.mixing._masks import bump, cut, either, even, hole
from autoaug.mixing._pairs import Mix, PairMix

Alpha = float | Tensor
Per = Literal["sample", "batch"]


def none(alpha: Alpha = 0.0, probability: float = 0.0, per: Per = "sample") -> Mix:
    """No mixing, whatever the parameters: they are there so that all rows can be called alike."""
    return PairMix(even, alpha, 0.0, per)


def mixup(alpha: Alpha = 1.0, probability: float = 1.0, per: Per = "sample") -> Mix:
    """Whole images, λ to 1 - λ (Zhang et al. 2018, equations 1 and 2). Differentiable in α.

    The paper uses α = 1 for CIFAR, .2 to .4 for ImageNet, up to 32 for corrupted labels.
    """
    return PairMix(even, alpha, probability, per)


def cutmix(alpha: Alpha = 1.0, probability: float = 1.0, per: Per = "sample") -> Mix:
    """A box of the partner in place of one's own (Yun et al. 2019). Not differentiable in α.

    The paper uses α = 1 and mixes a batch of CIFAR with probability .5. The box has the sides ⌊H √(1 - λ)⌋ and
    ⌊W √(1 - λ)⌋; the original loses one more pixel of odd sides.
    """
    return PairMix(cut, alpha, probability, per)


def mixup_or_cutmix(alpha: Alpha = 1.0, probability: float = 1.0, per: Per = "sample", *, switch: float = 0.5) -> Mix:
    """CutMix with the probability `switch`, otherwise mixup ("Stochastic Mixup & CutMix" of Park, Yun, Chun 2022)."""
    return PairMix(partial(either, switch=fraction("switch", switch)), alpha, probability, per)


def hmix(alpha: Alpha = 1.0, probability: float = 1.0, per: Per = "sample", *, ratio: float = 0.5) -> Mix:
    """Between mixup (`ratio` 0) and CutMix (1): a box of the partner, mixup outside (Park, Yun, Chun 2022).

    The label weight is λ. Differentiable in α through the blend outside the box.
    """
    return PairMix(partial(hole, ratio=fraction("ratio", ratio)), alpha, probability, per)


def gmix(alpha: Alpha = 1.0, probability: float = 1.0, per: Per = "sample") -> Mix:
    """A Gaussian bump of one sample on the other (Park, Yun, Chun 2022). Differentiable in α.

    The bump scales with H and W separately, so that non-square images get the mixes of square ones, stretched; the
    reference code uses H for both. Labels follow the mask, which weighs the smaller sample less than λ says.
    """
    return PairMix(bump, alpha, probability, per)


MIXES: dict[str, Callable[..., Mix]] = {
    "none": none,
    "mixup": mixup,
    "cutmix": cutmix,
    "mixup-or-cutmix": mixup_or_cutmix,
    "hmix": hmix,
    "gmix": gmix,
}


def build(name: str, **parameters: Any) -> Mix:
    """The mix of that name, such as `build("hmix", alpha=0.4, ratio=0.3)`.

    ValueError with near names where there is no such mix, and for a parameter that would change nothing.
    """
    row = lookup(MIXES, name, "mix")
    for parameter, value in parameters.items():
        if parameter not in takes(name):
            raise ValueError(f"mix.{parameter} is {value!r}, and {name!r} takes {listed(takes(name))}")
    return row(**parameters)


def takes(name: str) -> tuple[str, ...]:
    """What makes a difference to a mix: the parameters of its row, of "none" nothing."""
    row = lookup(MIXES, name, "mix")
    return () if row is none else tuple(inspect.signature(row).parameters)


def listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no parameter"


def fraction(name: str, value: float) -> float:
    """The value, or a ValueError where it is not within [0, 1]."""
    number = finite(plain(value))
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"mix.{name} is {short(value)}: use a number from 0 to 1")
    return number
