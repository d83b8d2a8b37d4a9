"""Blend three and more samples, and their targets, by weights that sum to one."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from torch import Generator, Tensor

from autoaug.devices import to_device
from autoaug.fields import Within, check_fields
from autoaug.mixing._beta import draw_dirichlet
from autoaug.mixing._pairs import as_mix, check_batch, checked_alpha, checked_share, ever_mixed


@dataclass(frozen=True)
class DirichletMixup:
    """Make w₁ x_i + w₂ x_j + ... of k samples, and the same of their targets, with w ~ Dirichlet(α, ..., α).

    Zhang et al. 2018, section 2: it "works similarly well, but increases the computation cost". Each of the k - 1
    partners comes from a random permutation of its own. With k = 2 it is mixup. It is differentiable in α.

    Raises:
        ValueError: a parameter is out of range; when called, images or targets have another shape or dtype than `Mix`
            says.

    >>> import torch
    >>> from autoaug.mixing import DirichletMixup
    >>> images, targets = torch.eye(3)[:, :, None, None], torch.eye(3)  # a channel of its own for each class
    >>> mixed, soft = DirichletMixup(alpha=1.0)(images, targets, torch.Generator().manual_seed(0))
    >>> torch.allclose(mixed[:, :, 0, 0], soft), soft.sum(1).tolist()
    (True, [1.0, 1.0, 1.0])
    """

    alpha: Annotated[float | Tensor, checked_alpha] = 1.0
    """At least 0; 0 is no mixing. A tensor gets a gradient and must be kept positive."""
    probability: Annotated[float, Within(0, 1)] = 1.0
    """The chance that a sample (or a batch) is mixed at all."""
    per: Literal["sample", "batch"] = "sample"
    """One draw of the weights and one chance for each sample, or for the whole batch."""
    k: Annotated[int, Within(2, 1000)] = 3
    """How many samples are mixed."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever mixes anything."""
        return ever_mixed(self.alpha, self.probability)

    def weakened(self, share: float) -> Self:
        """Return the same mix at a share in [0, 1] of its α; raise ValueError where the share lies outside."""
        left = checked_share(share)
        return replace(self, alpha=self.alpha * left) if left else replace(self, probability=0.0)

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        check_batch(images, targets)
        if not self.mixes:
            return images, targets
        weights = self.draw(images, rng)[..., None]
        mixed, soft = weights[0, ..., None, None] * images, weights[0] * targets
        for weight in weights[1:]:
            pair = to_device(torch.randperm(len(images), generator=rng, device=rng.device), images.device)
            mixed, soft = mixed + weight[..., None, None] * images[pair], soft + weight * targets[pair]
        return mixed.to(images.dtype), soft.to(targets.dtype)

    def draw(self, images: Tensor, rng: Generator) -> Tensor:
        """Return weights [k, B], or [k, 1] for the whole batch; the first is 1 where nothing is to be mixed."""
        count = len(images) if self.per == "sample" else 1
        dtype = torch.promote_types(images.dtype, torch.float32)
        weights = to_device(draw_dirichlet(self.alpha, self.k, count, rng), images.device, dtype)
        chosen = to_device(torch.rand(count, generator=rng, device=rng.device) < self.probability, images.device)
        own = torch.zeros_like(weights)
        own[0] = 1
        return torch.where(chosen, weights, own)
