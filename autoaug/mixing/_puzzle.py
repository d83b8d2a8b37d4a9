"""PuzzleMix: blocks of two images, so that what decides the class stays (Kim, Choo, Song 2020), without graph cuts.

B batch, C channels, H height, W width, b blocks on a side, n levels of a mask
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.devices import to_device
from autoaug.fields import Within, check_fields
from autoaug.mixing._beta import draw_beta
from autoaug.mixing._pairs import as_mix, blend, check_batch, checked_alpha, checked_share, ever_mixed
from autoaug.mixing._puzzle_mask import Energy, energy_of, lowest_mask, seams_of
from autoaug.mixing._puzzle_moves import spread, transported
from autoaug.mixing._training import Mixed, TrainingBatch, TrainingSetting

BLOCKS = (2, 4, 8, 16)
"""Blocks on a side of the grid, of which one is drawn for each minibatch."""

LEVELS = (0.0, 0.5, 1.0)
"""What the mask of a block may be: the share of the sample's own image."""


@dataclass(frozen=True)
class PuzzleMix:
    """Mix pairs by masks of blocks that keep what is salient in both, and move blocks to where they are kept.

    See `puzzlemix` for the source and for what differs.
    """

    alpha: Annotated[float | Tensor, checked_alpha] = 1.0
    """λ ~ Beta(α, α), about the share of a sample's own image; at least 0, and 0 is no mixing."""
    probability: Annotated[float, Within(0, 1)] = 1.0
    """The chance that a sample (or a batch) is mixed at all."""
    per: Literal["sample", "batch"] = "sample"
    """One λ and one chance for each sample, or for the whole batch as in the paper's code."""
    beta: Annotated[float, Within(0)] = 1.2
    """How much masks of neighbouring blocks are held to be alike."""
    gamma: Annotated[float, Within(0, 1)] = 0.5
    """How much more so where the seam would be seen."""
    eta: Annotated[float, Within(0)] = 0.2
    """How much the shares of the levels are held to λ."""
    transport: bool = True
    """Move blocks of an image to where the mask keeps it."""
    t_eps: Annotated[float, Within(0)] = 0.8
    """What moving a block across the image costs, in saliency."""
    t_size: Annotated[int, Within(1)] = 4
    """Pixels on a side of what is moved, where the blocks of the mask are larger; at most 16 of them on a side."""
    adv_p: Annotated[float, Within(0, 1)] = 0.0
    """The chance that an image is moved against the network before it is mixed."""
    adv_eps: Annotated[float, Within(0, 1)] = 10 / 255
    """How far at most a pixel is moved then, on a scale from 0 to 1."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever mixes anything."""
        return ever_mixed(self.alpha, self.probability)

    def weakened(self, share: float) -> Self:
        """Return the same mix at a share in [0, 1] of its probability; at 0 it mixes nothing.

        Raises:
            ValueError: the share lies outside.
        """
        return replace(self, probability=self.probability * checked_share(share))

    def check(self, setting: TrainingSetting) -> Sequence[str]:
        """Refuse images that no grid divides, and minibatches that do not fit the network at once.

        Raises:
            ValueError: the training has them.
        """
        grids(*setting.size)
        if setting.in_parts:
            raise ValueError(
                "puzzlemix sends each minibatch through the network as a whole to find what is salient: leave out "
                "Task.micro_batch, or lower Task.batch_size"
            )
        return ()

    def mix_in_training(self, batch: TrainingBatch) -> Mixed:
        """Return mixed images and targets; the network is asked once for the gradient of its losses."""
        images, targets, rng = batch.images, batch.targets, batch.rng
        check_batch(images, targets)
        if not self.mixes:
            return Mixed(images, targets)
        device, dtype = images.device, torch.promote_types(images.dtype, torch.float32)
        possible = grids(*images.shape[2:])
        blocks = possible[int(torch.randint(len(possible), (), generator=rng, device=rng.device))]
        lam = to_device(draw_beta(self.alpha, self.draws(images), rng).detach(), device, dtype).expand(len(images))
        pair = to_device(torch.randperm(len(images), generator=rng, device=rng.device), device)
        chosen = self.gates(images, self.probability, rng) & (pair != torch.arange(len(pair), device=device))
        own, other, saliency = self.seen(batch, pair)
        plain = images.detach().to(dtype)
        mask = lowest_mask(self.energy(plain, saliency, pair, lam, blocks), LEVELS)
        if self.transport:
            own = transported(own, saliency, mask > 0, self.t_eps, self.t_size)
            other = transported(other, saliency[pair], mask < 1, self.t_eps, self.t_size)
        weight = mask.mean(dim=(1, 2))[:, None]
        pixels = spread(mask, images.shape[2], images.shape[3])[:, None]
        mixed = (pixels * own + (1 - pixels) * other).to(images.dtype)
        soft = blend(targets, pair, weight)
        return Mixed(
            torch.where(chosen[:, None, None, None], mixed, images), torch.where(chosen[:, None], soft, targets)
        )

    def draws(self, images: Tensor) -> int:
        """Return how many λ and gates a minibatch has."""
        return len(images) if self.per == "sample" else 1

    def gates(self, images: Tensor, chance: float, rng: Generator) -> Tensor:
        """Return True with a probability for each sample or for all of the minibatch, [B]."""
        drawn = torch.rand(self.draws(images), generator=rng, device=rng.device) < chance
        return to_device(drawn, images.device).expand(len(images))

    def seen(self, batch: TrainingBatch, pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return images to be mixed, their partners, and what is salient in the images, [B, H, W].

        Images are as they are, or moved against the network (`adv_p`): at most by `adv_eps`, from a random start along
        the sign of the gradient, and then a random part of that way.
        """
        images, rng = batch.images, batch.rng
        plain = images.detach().float()
        if not self.adv_p:
            return images, images[pair], salient(input_gradient(batch, plain))
        own, other = (self.gates(images, self.adv_p, rng)[:, None, None, None] for _ in range(2))
        start = torch.rand(plain.shape, generator=rng, device=rng.device)
        begun = (plain + self.adv_eps * (2 * to_device(start, plain.device) - 1)).clamp(0, 1) - plain
        used = own.clone()
        used[pair] |= other  # the partner of sample i is image pair[i]
        gradient = input_gradient(batch, plain + used * begun)
        moved = (begun + (self.adv_eps + 2 / 255) * gradient.sign()).clamp(-self.adv_eps, self.adv_eps)
        part = torch.rand(self.draws(images), generator=rng, device=rng.device)
        moved = moved * to_device(part, plain.device)[:, None, None, None]
        against = (images + moved).clamp(0, 1).to(images.dtype)
        return torch.where(own, against, images), torch.where(other, against[pair], images[pair]), salient(gradient)

    def energy(self, images: Tensor, saliency: Tensor, pair: Tensor, lam: Tensor, blocks: int) -> Energy:
        """Return what masks cost: equations 3 to 5 of the paper, with the terms of neighbours as its code has them.

        Args:
            images: [B, C, H, W].
            saliency: [B, H, W].
            pair: the partner of each, [B], int64.
            lam: [B].
            blocks: b.
        """
        kept = F.adaptive_avg_pool2d(saliency, blocks)
        kept = kept / kept.sum(dim=(1, 2), keepdim=True).clamp_min(1e-12)
        chances = torch.stack([(1 - lam).square(), 2 * lam * (1 - lam), lam.square()], dim=-1)
        prior = -self.eta / blocks**2 * (chances + 1e-8).log()
        alike = self.beta / blocks / 16
        down, right = (alike * self.gamma * each for each in seams_of(images, images[pair], blocks))
        return energy_of(kept[pair], kept, prior, alike, down, right, LEVELS)


def puzzlemix(
    alpha: float | Tensor = 1.0,
    probability: float = 1.0,
    per: Literal["sample", "batch"] = "sample",
    *,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    transport: bool = True,
    t_eps: float = 0.8,
    t_size: int = 4,
    adv_p: float = 0.0,
    adv_eps: float = 10 / 255,
) -> PuzzleMix:
    """Make a mix of blocks of two images by what is salient in them (Kim, Choo, Song 2020, PuzzleMix).

    An image is salient where the gradient of its loss is large. The network gives that in one more pass, in evaluation
    mode as in the paper's code: running statistics stay, dropout draws nothing, and a training step costs about twice
    as much. The defaults are those of the code. What differs: masks come from a mean field and a descent instead of
    graph cuts; all blocks that are moved have a place, where the code loses those that two places want; label weights
    are the mean of the mask, and the loss is that of `Task.loss`. It has no gradient in α.

    Args:
        alpha: of λ ~ Beta(α, α).
        probability: the chance that a sample is mixed.
        per: draws for each sample, or for the whole minibatch.
        beta: masks of neighbouring blocks are alike.
        gamma: more so where the seam would be seen, in [0, 1].
        eta: shares of the levels 0, 1/2 and 1 are held to λ.
        transport: blocks are moved to where the mask keeps them.
        t_eps: what moving costs.
        t_size: pixels on a side of what is moved.
        adv_p: the chance of an image to be moved against the network first (the paper's adversarial training).
        adv_eps: how far, on a scale from 0 to 1.

    >>> from autoaug.mixing import puzzlemix
    >>> puzzlemix(alpha=1.0, transport=False).eta
    0.2
    """
    return PuzzleMix(alpha, probability, per, beta, gamma, eta, transport, t_eps, t_size, adv_p, adv_eps)


def grids(height: int, width: int) -> tuple[int, ...]:
    """Return which of `BLOCKS` divide an image.

    Raises:
        ValueError: none does.
    """
    found = tuple(each for each in BLOCKS if not height % each and not width % each)
    if not found:
        raise ValueError(
            f"puzzlemix cuts images into {', '.join(map(str, BLOCKS))} blocks on a side, and none of these divides "
            f"{height}x{width} pixels: give Task.size an even number"
        )
    return found


def salient(gradient: Tensor) -> Tensor:
    """Return the root of the mean square over channels of gradients [B, C, H, W], [B, H, W]."""
    return gradient.square().mean(1).sqrt()


def input_gradient(batch: TrainingBatch, images: Tensor) -> Tensor:
    """Return the gradient of the losses in the images [B, C, H, W], of the network in evaluation mode."""
    with torch.enable_grad(), in_evaluation(batch.model):
        entering = images.clone().requires_grad_()
        losses = batch.losses(entering, batch.targets.detach().float())
        [gradient] = torch.autograd.grad(losses.sum(), entering)
    return gradient


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Put all modules into evaluation mode for the block, and each into its own mode after it."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
