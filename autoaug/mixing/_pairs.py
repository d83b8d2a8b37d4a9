"""Blend samples in pairs by a mask, and their targets by the mask's mean."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Generator, Tensor

from autoaug.devices import to_device
from autoaug.fields import Refused, Within, check_fields, finite, plain, short
from autoaug.mixing._beta import draw_beta
from autoaug.mixing._masks import Mask
from autoaug.text import counted


class Mix(Protocol):
    """Combine samples in pairs, and their targets with them.

    Images [B, C, H, W] and soft targets [B, K], both floating -> the same shapes and dtypes. Inputs stay as they
    are; all randomness comes from the generator, which may live on another device than the images.
    """

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class Weakenable(Protocol):
    """Tell of a mix how strong it is, and make weaker ones of it, so that it can end gradually (He et al. 2019).

    Every row of `MIXES` is one; a function of one's own that is a `Mix` need not be.
    """

    @property
    def mixes(self) -> bool:
        """Whether it ever changes anything."""

    def weakened(self, share: float) -> Self:
        """Return the same mix at a share in [0, 1] of its strength; at 1 it is itself, at 0 it mixes nothing.

        Raises:
            ValueError: the share lies outside.
        """


def checked_share(share: float) -> float:
    """Return the share that is left of a mix; raise ValueError where it is not within [0, 1]."""
    number = finite(plain(share))
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"weakened(share={short(share)}): give a number from 0 to 1")
    return number


def checked_alpha(alpha: Any) -> float | Tensor:
    """Return α as a float, or as the tensor that it is; it is the rule of `PairMix.alpha`."""
    number = finite(plain(single(alpha)))
    if number is None or number < 0:
        raise Refused("a finite number of at least 0 (0 is no mixing)")
    return alpha if isinstance(alpha, Tensor) else number


def as_mix(kind: str, name: str, value: Any, fix: str) -> str:
    """Return the message of a refusal, with the parameter spelt as a dimension is: "mix.alpha is -1: use ..."."""
    return f"mix.{name} is {short(single(value))}: use {fix}"


def single(value: Any) -> Any:
    """Return the number in a tensor of one; anything else as it is."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


@dataclass(frozen=True)
class PairMix:
    """Make M x_i + (1 - M) x_j and m y_i + (1 - m) y_j, where j is a random permutation of i and m the mean of M.

    Park, Yun, Chun 2022, the definition of mixed sample data augmentation, except that labels follow the mask that
    was drawn instead of λ.

    Raises:
        ValueError: a parameter is out of range; when called, images or targets have another shape or dtype than `Mix`
            says.

    >>> import torch
    >>> from autoaug.mixing import PairMix
    >>> def left_half(lam, height, width, rng):
    ...     return (torch.arange(width) < width // 2).float().expand(len(lam), 1, height, width)
    >>> images, targets = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 1, 4), torch.eye(2)
    >>> mixed, soft = PairMix(left_half)(images, targets, torch.Generator().manual_seed(0))
    >>> mixed[:, 0, 0].tolist()
    [[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    >>> soft.tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """

    mask: Mask
    alpha: Annotated[float | Tensor, checked_alpha] = 1.0
    """λ ~ Beta(α, α), at least 0; 0 is no mixing. A tensor gets a gradient and must be kept positive."""
    probability: Annotated[float, Within(0, 1)] = 1.0
    """The chance that a sample (or a batch) is mixed at all."""
    per: Literal["sample", "batch"] = "sample"
    """One λ, one mask and one chance for each sample, or for the whole batch as in the papers' code."""
    fades: Literal["alpha", "probability"] = "probability"
    """What goes to 0 as the mix is weakened: α where the mask takes one sample whole at λ = 0 and 1, as mixup's does;
    the probability where it does not, as with CutMix, whose box the border clips (He et al. 2019, section 4)."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever mixes anything; the row "none" of `MIXES` never does."""
        return self.probability > 0 and (isinstance(self.alpha, Tensor) or self.alpha > 0)

    def weakened(self, share: float) -> Self:
        """Return the same mix at a share in [0, 1] of its α or its probability, see `fades`.

        Raises:
            ValueError: the share lies outside.

        >>> from autoaug.mixing import cutmix, mixup
        >>> mixup(alpha=0.4).weakened(0.5).alpha, cutmix(probability=0.5).weakened(0.5).probability
        (0.2, 0.25)
        >>> mixup().weakened(0).mixes
        False
        """
        left = checked_share(share)
        if left == 0 or self.fades == "probability":
            return replace(self, probability=self.probability * left)
        return replace(self, alpha=self.alpha * left)

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        check_batch(images, targets)
        if not self.mixes:
            return images, targets
        mask = self.draw(images, rng)
        pair = to_device(torch.randperm(len(images), generator=rng, device=rng.device), images.device)
        return blend(images, pair, mask), blend(targets, pair, mask.mean(dim=(2, 3)))

    def draw(self, images: Tensor, rng: Generator) -> Tensor:
        """Return masks [B, 1, H, W], or [1, 1, H, W] for the whole batch; 1 where nothing is to be mixed."""
        count = len(images) if self.per == "sample" else 1
        dtype = torch.promote_types(images.dtype, torch.float32)  # 8 bits of bfloat16 are too few for labels
        lam = to_device(draw_beta(self.alpha, count, rng), images.device, dtype)
        mask = self.mask(lam, images.shape[2], images.shape[3], rng)
        chosen = torch.rand(count, generator=rng, device=rng.device) < self.probability
        return torch.where(to_device(chosen, images.device)[:, None, None, None], mask, torch.ones_like(mask))


def blend(values: Tensor, pair: Tensor, weight: Tensor) -> Tensor:
    """Return weight * values + (1 - weight) * values[pair], in the dtype of `values`."""
    return (weight * values + (1 - weight) * values[pair]).to(values.dtype)


def check_batch(images: Tensor, targets: Tensor) -> None:
    """Raise ValueError unless images are floating [B, C, H, W] and targets floating [B, K]."""
    if images.ndim != 4 or not images.is_floating_point():
        got = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"a mix takes floating images [B, C, H, W], got {got}: convert them before")
    if targets.ndim != 2 or len(targets) != len(images) or not targets.is_floating_point():
        got = f"{targets.dtype} {list(targets.shape)} for {counted(len(images), 'image')}"
        raise ValueError(f"a mix takes soft targets [B, K], got {got}: use one_hot(labels, classes).float()")
