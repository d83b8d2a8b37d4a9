"""What happens before and after the operations of a stage, differentiated in few passes over the memory.

On a CPU a pass over a batch costs more than its arithmetic, and autograd's own derivatives would make several times as
many. The backward functions are made of differentiable operations, so higher derivatives exist.

B images
"""

from collections.abc import Iterator
from collections.abc import Sequence as Listing
from typing import Any

import torch
from torch import Tensor


def reordered(images: Tensor, order: Tensor) -> Tensor:
    """`images[order]` of a permutation [B]; backwards a look-up too, by the inverse permutation, and no addition."""
    moved: Tensor = _Reordered.apply(images, order) if images.requires_grad else images.index_select(0, order)
    return moved


def relaxed(before: Tensor, after: Listing[Tensor], gate: Tensor, factor: Tensor) -> Tensor:
    """factor * (gate * after + (1 - gate) * before), with one gate and one factor for each image, [B].

    Args:
        after: what the operations of the stage made of consecutive parts of the batch, some of which may be empty.
        factor: 1 in value, only its derivative counts (Hataya et al. 2022, eq. 9: u/SG(u)).
    """
    gate, factor = (each.to(before).view(-1, 1, 1, 1) for each in (gate, factor))
    mixed: Tensor = _Relaxed.apply(gate, factor, before, *(part for part in after if len(part)))
    return mixed


class _Reordered(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor, order: Tensor) -> Tensor:
        return images.index_select(0, order)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return reordered(grad, order.argsort()), None


class _Relaxed(torch.autograd.Function):
    """Part by part, so that what one line reads is still in the cache from the line before."""

    @staticmethod
    def forward(gate: Tensor, factor: Tensor, before: Tensor, *after: Tensor) -> Tensor:
        mixed = torch.empty_like(before)
        for part, own, old, weight in zip(after, *split(after, mixed, before, gate), strict=True):
            torch.lerp(old, part, weight, out=own)
        return mixed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, factor, before, *after = ctx.saved_tensors
        weight = factor * gate
        of_before = grad * (factor - weight) if ctx.needs_input_grad[2] else None
        grads, olds, weights = split(after, grad, before, weight)
        along_before = torch.cat([inner(one, old) for one, old in zip(grads, olds, strict=True)])
        along_after = torch.cat([inner(one, part) for one, part in zip(grads, after, strict=True)])
        rows = zip(grads, weights, ctx.needs_input_grad[3:], strict=True)
        of_after = [one * own if wanted else None for one, own, wanted in rows]
        of_factor = torch.lerp(along_before, along_after, gate)
        return factor * (along_after - along_before), of_factor, of_before, *of_after


def split(parts: Listing[Tensor], *wholes: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Batches, split as the parts are."""
    sizes = [len(part) for part in parts]
    return (whole.split(sizes) for whole in wholes)


def inner(one: Tensor, other: Tensor) -> Tensor:
    """Inner products of images, [B, 1, 1, 1]."""
    return (one * other).sum((1, 2, 3), keepdim=True)
