"""What every operation asks of its arguments, and how it computes: the checks and the two tricks all rows share.

Letters in shapes, here and in the files beside: B batch, C channels, H height, W width.
The checks read shapes, dtypes and devices only, never values, so a CUDA stream is not stopped for them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Size, Tensor


def check_images(images: Tensor) -> None:
    """Raise ValueError unless `images` are floating [B, C, H, W] with 1 or 3 channels."""
    if not (images.is_floating_point() and images.dim() == 4 and images.shape[1] in (1, 3)):
        raise ValueError(
            f"images must be floating [B, 1 or 3, H, W] with values in [0, 1], got {images.dtype} "
            f"{list(images.shape)}: divide 8-bit images by 255, and a single image needs images[None]"
        )


def per_image(images: Tensor, amount: Tensor, name: str = "amount") -> Tensor:
    """Return `amount` in the dtype the operation computes in; raise ValueError unless it is [B], a number per image."""
    check_images(images)
    if not (isinstance(amount, Tensor) and amount.is_floating_point() and amount.shape == images.shape[:1]):
        got = f"{amount.dtype} {list(amount.shape)}" if isinstance(amount, Tensor) else repr(amount)
        raise ValueError(
            f"{name} must be a floating tensor of shape [{len(images)}], one number per image, got {got}: "
            f"torch.full([{len(images)}], value) gives every image the same"
        )
    if amount.device != images.device:
        raise ValueError(f"{name} is on {amount.device} and the images on {images.device}: move one of them")
    return amount.to(working_dtype(images))


def working(images: Tensor, amount: Tensor) -> tuple[Tensor, Tensor]:
    """Return images and amount [B, 1, 1, 1], both in the dtype the operation computes in."""
    checked = per_image(images, amount)
    return images.to(checked.dtype), checked.view(-1, 1, 1, 1)


def working_dtype(images: Tensor) -> torch.dtype:
    """Return the images' dtype, but at least float32: a coordinate or a threshold needs more bits than bfloat16 has."""
    return torch.promote_types(images.dtype, torch.float32)


def unchanged(images: Tensor, amount: Tensor) -> Tensor:
    """Return the images as a new tensor whose grad in the amount is zero, not missing."""
    return images + 0 * amount


LocalGrad = Callable[..., Tensor] | Literal[0, 1]
"""The derivative of each pixel in an argument, as a function of all arguments; or 0 or 1 everywhere."""


def with_local_grads(value: Tensor, arguments: Sequence[Tensor], grads: Sequence[LocalGrad]) -> Tensor:
    """Return `value` with derivatives in these arguments, besides those that it has (reverse mode).

    A grad is a constant, computed in the backward pass and only if its argument is differentiated. An argument
    [B, 1, 1, 1] gets the sum over the pixels of its image.
    """
    if not (torch.is_grad_enabled() and any(argument.requires_grad for argument in arguments)):
        return value
    result: Tensor = _LocalGrads.apply(value, grads, *arguments)
    return result


def chord(at: Callable[[Tensor, Tensor], Tensor], reach: float) -> LocalGrad:
    """Return the grad of a step-shaped operation, over the chord from amount - reach to amount + reach.

    `at(images, amount)` is the value of the operation. The chord is the central finite difference of the operation
    itself: where the loss is linear in the pixels, the gradient equals (loss(amount + reach) - loss(amount - reach)) /
    (2 reach) exactly.
    """
    return lambda images, amount: (at(images, amount + reach) - at(images, amount - reach)).div_(2 * reach)


class _LocalGrads(torch.autograd.Function):
    """The identity of a value, with given derivatives in other tensors."""

    @staticmethod
    def forward(value: Tensor, grads: Sequence[LocalGrad], *arguments: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.grads, *arguments = inputs
        ctx.shapes = [argument.shape for argument in arguments]
        ctx.save_for_backward(*(arguments if any(map(callable, ctx.grads)) else ()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows = zip(ctx.grads, ctx.shapes, ctx.needs_input_grad[2:], strict=True)
        return gradient, None, *(argument_grad(gradient, *row, ctx.saved_tensors) for row in rows)


def argument_grad(
    gradient: Tensor, grad: LocalGrad, shape: Size, wanted: bool, arguments: Sequence[Tensor]
) -> Tensor | None:
    """Return the gradient of an argument of this shape, if it is wanted."""
    if not wanted or grad == 0:
        return None
    if grad == 1:
        return gradient
    with torch.no_grad():
        local = grad(*arguments)
    return (gradient * local).sum_to_size(shape)
