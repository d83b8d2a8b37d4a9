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
    """Return `images[order]` of a permutation [B].

    Its backward pass is a look-up too, by the inverse permutation, without an addition.
    """
    moved: Tensor = _Reordered.apply(images, order) if images.requires_grad else images.index_select(0, order)
    return moved


def relaxed(before: Tensor, after: Listing[Tensor], gate: Tensor, factor: Tensor) -> Tensor:
    """Return factor * (gate * after + (1 - gate) * before), with one gate and one factor for each image, [B].

    Args:
        after: what the operations of the stage made of consecutive parts of the batch, some of which may be empty.
        factor: 1 in value, only its derivative counts (Hataya et al. 2022, eq. 9: u/SG(u)).
    """
    gate, factor = (number.to(before).view(-1, 1, 1, 1) for number in (gate, factor))
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
    """The blend of a stage, part by part, so that what one line reads is still in the cache from the line before."""

    @staticmethod
    def forward(gate: Tensor, factor: Tensor, before: Tensor, *after: Tensor) -> Tensor:
        mixed = torch.empty_like(before)
        for part, target, old, weight in zip(after, *split(after, mixed, before, gate), strict=True):
            torch.lerp(old, part, weight, out=target)
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
        along_before = torch.cat([inner(grad_part, old) for grad_part, old in zip(grads, olds, strict=True)])
        along_after = torch.cat([inner(grad_part, part) for grad_part, part in zip(grads, after, strict=True)])
        rows = zip(grads, weights, ctx.needs_input_grad[3:], strict=True)
        of_after = [grad_part * share if wanted else None for grad_part, share, wanted in rows]
        of_factor = torch.lerp(along_before, along_after, gate)
        return factor * (along_after - along_before), of_factor, of_before, *of_after


def split(parts: Listing[Tensor], *wholes: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return whole batches, split as the parts are."""
    sizes = [len(part) for part in parts]
    return (whole.split(sizes) for whole in wholes)


def inner(first: Tensor, second: Tensor) -> Tensor:
    """Return inner products of images, [B, 1, 1, 1]."""
    return (first * second).sum((1, 2, 3), keepdim=True)
