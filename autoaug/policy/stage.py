"""What happens before and after the operations of a stage, differentiated in few passes over the memory.

On a CPU a pass over a batch costs more than its arithmetic, and autograd's own derivatives would make several times as
many. The backward functions are made of differentiable operations, so higher derivatives exist.

B images
"""

from collections.abc import Sequence as Listing
from typing import Any

import torch
from torch import Tensor


def reordered(images: Tensor, order: Tensor) -> Tensor:
    """`images[order]` of a permutation [B]; backwards a look-up too, by the inverse permutation, and no addition."""
    moved: Tensor = _Reordered.apply(images, order) if images.requires_grad else images.index_select(0, order)
    return moved


def relaxed(before: Listing[Tensor], after: Listing[Tensor], coin: Tensor, factor: Tensor) -> Tensor:
    """factor * (coin * after + (1 - coin) * before), with one coin and one factor for each image, [B].

    Args:
        before: the images in consecutive parts of the batch, some of which may be empty.
        after: the same parts as the operations of the stage leave them.
        factor: 1 in value, only its derivative counts (Hataya et al. 2022, eq. 9: u/SG(u)).
    """
    coin, factor = (each.to(before[0]).view(-1, 1, 1, 1) for each in (coin, factor))
    before, after = ([part for part in parts if len(part)] for parts in (before, after))
    mixed: Tensor = _Relaxed.apply(coin, factor, *before, *after)
    return mixed


class _Reordered(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor, order: Tensor) -> Tensor:
        return images.index_select(0, order)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return reordered(slope, order.argsort()), None


class _Relaxed(torch.autograd.Function):
    """Part by part, so that what one line reads is still in the cache from the line before."""

    @staticmethod
    def forward(coin: Tensor, factor: Tensor, *images: Tensor) -> Tensor:
        before, after = halves(images)
        mixed = coin.new_empty(len(coin), *before[0].shape[1:])
        for own, *three in zip(split(mixed, before), before, after, split(coin, before), strict=True):
            torch.lerp(*three, out=own)
        return mixed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        coin, factor, *images = ctx.saved_tensors
        weights = split(factor * (1 - coin), halves(images)[0]) + split(factor * coin, halves(images)[0])
        slopes = split(slope, halves(images)[0]) * 2
        needed = ctx.needs_input_grad[2:]
        passed = [one * weight if wanted else None for one, weight, wanted in zip(slopes, weights, needed, strict=True)]
        along = [inner(one, image) for one, image in zip(slopes, images, strict=True)]
        along_before, along_after = (torch.cat(list(part)) for part in halves(along))
        of_coin, of_factor = along_after - along_before, torch.lerp(along_before, along_after, coin)
        return factor * of_coin, of_factor, *passed


def halves(parts: Listing[Tensor]) -> tuple[Listing[Tensor], Listing[Tensor]]:
    """What was before a stage, and what is after it."""
    middle = len(parts) // 2
    return parts[:middle], parts[middle:]


def split(whole: Tensor, parts: Listing[Tensor]) -> tuple[Tensor, ...]:
    """A batch, split as the parts are."""
    pieces: tuple[Tensor, ...] = whole.split([len(part) for part in parts])
    return pieces


def inner(one: Tensor, other: Tensor) -> Tensor:
    """Inner products of images, [B, 1, 1, 1]."""
    return (one * other).sum((1, 2, 3), keepdim=True)
