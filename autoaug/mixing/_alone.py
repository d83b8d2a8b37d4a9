"""Rows that combine no samples and stand among the mixes as what they are compared with: one sample or its target."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
from torch import Generator, Tensor

from autoaug.devices import to_device
from autoaug.fields import Within, check_fields
from autoaug.mixing._pairs import as_mix, check_batch, checked_share, smooth


@dataclass(frozen=True)
class Cutout:
    """Black out a square around a random pixel; what reaches over the border is cut off. Targets stay as they are.

    DeVries and Taylor 2017. It draws and fills as `OPS["cutout"]` does, but its size is the same for all images. The
    paper's squares are half of the side of CIFAR's images with 10 classes, a quarter with 100.

    Raises:
        ValueError: a parameter is out of range; when called, images or targets have another shape or dtype than `Mix`
            says.

    >>> import torch
    >>> from autoaug.mixing import Cutout
    >>> images, targets = torch.ones(1, 1, 4, 4), torch.eye(1)
    >>> Cutout(size=0.5)(images, targets, torch.Generator().manual_seed(0))[0][0, 0].int().tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    """

    size: Annotated[float, Within(0, 1)] = 0.5
    """The side of the square over the shorter side of the image; 0 changes nothing."""
    probability: Annotated[float, Within(0, 1)] = 1.0
    """The chance that an image gets one."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever changes anything."""
        return self.size > 0 and self.probability > 0

    def weakened(self, share: float) -> Self:
        """Return the same at a share in [0, 1] of its probability; raise ValueError where the share lies outside."""
        return replace(self, probability=self.probability * checked_share(share))

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        check_batch(images, targets)
        if not self.mixes:
            return images, targets
        count, _, height, width = images.shape
        dtype = torch.promote_types(images.dtype, torch.float32)
        centres = to_device(torch.rand(count, 2, generator=rng, device=rng.device), images.device, dtype)
        chosen = to_device(torch.rand(count, generator=rng, device=rng.device) < self.probability, images.device)
        half = self.size * min(height, width) / 2
        columns, rows = covered(centres[:, 0], half, width), covered(centres[:, 1], half, height)
        square = (rows[:, :, None] * columns[:, None, :] * chosen[:, None, None])[:, None]
        return (images * (1 - square)).to(images.dtype), targets


@dataclass(frozen=True)
class GaussianNoise:
    """Add normal noise to every value of an image, cut to [0, 1]. Targets stay as they are.

    Zhang et al. 2018, table 5: σ of .05, .1 and .2.

    Raises:
        ValueError: a parameter is out of range; when called, images or targets have another shape or dtype than `Mix`
            says.

    >>> import torch
    >>> from autoaug.mixing import GaussianNoise
    >>> images, targets = torch.full((1, 1, 32, 32), 0.5), torch.eye(1)
    >>> noisy, same = GaussianNoise(sigma=0.1)(images, targets, torch.Generator().manual_seed(0))
    >>> round(noisy.std().item(), 1), torch.equal(same, targets)
    (0.1, True)
    """

    sigma: Annotated[float, Within(0, 1)] = 0.1
    """The standard deviation, for images in [0, 1]; 0 changes nothing."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever changes anything."""
        return self.sigma > 0

    def weakened(self, share: float) -> Self:
        """Return the same at a share in [0, 1] of its σ; raise ValueError where the share lies outside."""
        return replace(self, sigma=self.sigma * checked_share(share))

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        check_batch(images, targets)
        if not self.mixes:
            return images, targets
        noise = torch.randn(images.shape, generator=rng, device=rng.device)
        dtype = torch.promote_types(images.dtype, torch.float32)
        noisy = images + self.sigma * to_device(noise, images.device, dtype)
        return noisy.clamp(0, 1).to(images.dtype), targets


@dataclass(frozen=True)
class LabelSmoothing:
    """Take a share of each target and spread it over all classes: (1 - ε) y + ε / K. Images stay as they are.

    Zhang et al. 2018, table 5: ε of .05, .1 and .2. Unlike `Task.label_smoothing` it is off while refining.

    Raises:
        ValueError: a parameter is out of range; when called, images or targets have another shape or dtype than `Mix`
            says.

    >>> import torch
    >>> from autoaug.mixing import LabelSmoothing
    >>> LabelSmoothing(epsilon=0.5)(torch.zeros(2, 1, 4, 4), torch.eye(2), torch.Generator())[1].tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """

    epsilon: Annotated[float, Within(0, 1, "[)")] = 0.1
    """The share; 0 changes nothing."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever changes anything."""
        return self.epsilon > 0

    def weakened(self, share: float) -> Self:
        """Return the same at a share in [0, 1] of its ε; raise ValueError where the share lies outside."""
        return replace(self, epsilon=self.epsilon * checked_share(share))

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        check_batch(images, targets)
        return images, smooth(targets, self.epsilon) if self.mixes else targets


def covered(place: Tensor, half: float, size: int) -> Tensor:
    """Return the part [B, size] of each pixel that lies within `half` pixels of the left edge of a pixel.

    Args:
        place: which pixel, as a share [B] of the size in [0, 1).
        half: of the length of what covers, in pixels.
        size: in pixels.
    """
    centre = (place * size).floor()[:, None]
    left = torch.arange(size, device=place.device, dtype=place.dtype)
    return (torch.minimum(left + 1, centre + half) - torch.maximum(left, centre - half)).clamp(min=0)
