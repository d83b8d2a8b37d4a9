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
    """Return α as a float, or as the tensor that it is; it is the rule of the field `alpha` of a mix."""
    number = finite(plain(single(alpha)))
    if number is None or number < 0:
        raise Refused("a finite number of at least 0 (0 is no mixing)")
    return alpha if isinstance(alpha, Tensor) else number


def ever_mixed(alpha: float | Tensor, probability: float) -> bool:
    """Whether shares λ ~ Beta(α, α) that are drawn with a probability ever mix anything; a tensor α is positive."""
    return probability > 0 and (isinstance(alpha, Tensor) or alpha > 0)


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
    was drawn instead of λ. Partners and labels can be those of the ablations of mixup (Zhang et al. 2018, section 3.8).

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
    partner: Literal["batch", "class"] = "batch"
    """Whom a sample is mixed with: any of the batch, or any of the batch of its own class, by a random permutation."""
    labels: Literal["mixed", "closer"] = "mixed"
    """Mixed as the images are; or inputs only: those of the sample with the larger weight, its own at m >= 1/2."""
    smoothing: Annotated[float, Within(0, 1, "[)")] = 0.0
    """ε of label smoothing after that, of samples that are mixed: (1 - ε) y + ε / K with K classes."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever mixes anything; the row "none" of `MIXES` never does."""
        return ever_mixed(self.alpha, self.probability)

    def weakened(self, share: float) -> Self:
        """Return the same mix at a share in [0, 1] of its probability, or of its α and its smoothing, see `fades`.

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
        return replace(self, alpha=self.alpha * left, smoothing=self.smoothing * left)

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        check_batch(images, targets)
        if not self.mixes:
            return images, targets
        drawn = self.draw(images, rng)
        pair = to_device(torch.randperm(len(images), generator=rng, device=rng.device), images.device)
        if self.partner == "class":
            pair = within_classes(pair, targets.argmax(1))
        return self.blended(images, targets, images[pair], targets[pair], *drawn)

    def combine(
        self, images: Tensor, targets: Tensor, other_images: Tensor, other_targets: Tensor, rng: Generator
    ) -> tuple[Tensor, Tensor]:
        """Return images and targets mixed with partners that are given, by the same masks and the same rule of labels.

        Args:
            images: [B, C, H, W], floating.
            targets: soft targets [B, K].
            other_images: the partner of each, of the same shape.
            other_targets: the partners' soft targets, of the same shape.
            rng: all randomness.

        Raises:
            ValueError: images or targets have another shape or dtype than `Mix` says, or the partners another shape.
        """
        check_batch(images, targets)
        check_batch(other_images, other_targets)
        if (images.shape, targets.shape) != (other_images.shape, other_targets.shape):
            shapes = f"{list(other_images.shape)} and {list(other_targets.shape)}"
            given = f"{list(images.shape)} and {list(targets.shape)}"
            raise ValueError(f"the partners of images and targets {given} are {shapes}: give one partner for each")
        if not self.mixes:
            return images, targets
        return self.blended(images, targets, other_images, other_targets, *self.draw(images, rng))

    def draw(self, images: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Return masks [B, 1, H, W], 1 where nothing is to be mixed, and who is, bool [B]; for a whole batch B is 1."""
        count = len(images) if self.per == "sample" else 1
        dtype = torch.promote_types(images.dtype, torch.float32)  # 8 bits of bfloat16 are too few for labels
        lam = to_device(draw_beta(self.alpha, count, rng), images.device, dtype)
        mask = self.mask(lam, images.shape[2], images.shape[3], rng)
        chosen = to_device(torch.rand(count, generator=rng, device=rng.device) < self.probability, images.device)
        return torch.where(chosen[:, None, None, None], mask, torch.ones_like(mask)), chosen

    def blended(
        self, images: Tensor, targets: Tensor, other_images: Tensor, other_targets: Tensor, mask: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return images and targets mixed with their partners by masks that were drawn."""
        weight = mask.mean(dim=(2, 3))
        soft = (
            torch.where(weight >= 0.5, targets, other_targets)
            if self.labels == "closer"
            else blend_with(targets, other_targets, weight)
        )
        if self.smoothing:
            soft = torch.where(chosen[:, None], smooth(soft, self.smoothing), soft)
        return blend_with(images, other_images, mask), soft


def blend(values: Tensor, pair: Tensor, weight: Tensor) -> Tensor:
    """Return weight * values + (1 - weight) * values[pair], in the dtype of `values`."""
    return blend_with(values, values[pair], weight)


def blend_with(values: Tensor, others: Tensor, weight: Tensor) -> Tensor:
    """Return weight * values + (1 - weight) * others, in the dtype of `values`."""
    return (weight * values + (1 - weight) * others).to(values.dtype)


def smooth(targets: Tensor, epsilon: float) -> Tensor:
    """Return (1 - ε) y + ε / K for soft targets y [B, K], as label smoothing has it (Szegedy et al. 2016).

    >>> import torch
    >>> from autoaug.mixing import smooth
    >>> smooth(torch.eye(2), epsilon=0.5).tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """
    return (1 - epsilon) * targets + epsilon / targets.shape[1]


def within_classes(order: Tensor, classes: Tensor) -> Tensor:
    """Return a permutation that stays within each class, made of one of all; uniform where that one is, int64 [B].

    Args:
        order: a permutation of all, [B].
        classes: [B], int64.
    """
    shuffled = order[classes[order].argsort(stable=True)]
    return torch.empty_like(shuffled).index_copy_(0, classes.argsort(stable=True), shuffled)


def check_batch(images: Tensor, targets: Tensor) -> None:
    """Raise ValueError unless images are floating [B, C, H, W] and targets floating [B, K]."""
    if images.ndim != 4 or not images.is_floating_point():
        got = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"a mix takes floating images [B, C, H, W], got {got}: convert them before")
    if targets.ndim != 2 or len(targets) != len(images) or not targets.is_floating_point():
        got = f"{targets.dtype} {list(targets.shape)} for {counted(len(images), 'image')}"
        raise ValueError(f"a mix takes soft targets [B, K], got {got}: use one_hot(labels, classes).float()")
