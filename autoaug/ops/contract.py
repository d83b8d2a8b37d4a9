"""What every operation asks of its arguments, and how it computes: the checks and the two tricks all rows share.

Letters in shapes, here and in the files beside: B batch, C channels, H height, W width.
The checks read shapes, dtypes and devices only, never values, so a CUDA stream is not stopped for them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def check_images(images: Tensor) -> None:
    """Raise ValueError unless `images` are floating [B, C, H, W] with 1 or 3 channels."""
    if not (images.is_floating_point() and images.dim() == 4 and images.shape[1] in (1, 3)):
        raise ValueError(
            f"images must be floating [B, 1 or 3, H, W] with values in [0, 1], got {images.dtype} "
            f"{list(images.shape)}: divide 8-bit images by 255, and a single image needs images[None]"
        )


def per_image(images: Tensor, amount: Tensor, name: str = "amount") -> Tensor:
    """`amount` [B] in the dtype the operation computes in; ValueError unless it is one number per image."""
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
    """Images and amount [B, 1, 1, 1], both in the dtype the operation computes in."""
    checked = per_image(images, amount)
    return images.to(checked.dtype), checked.view(-1, 1, 1, 1)


def working_dtype(images: Tensor) -> torch.dtype:
    """The images' dtype, but at least float32: a coordinate or a threshold needs more than bfloat16 has."""
    return torch.promote_types(images.dtype, torch.float32)


def unchanged(images: Tensor, amount: Tensor) -> Tensor:
    """The identity as a new tensor that still hangs on the amount: its gradient is zero, not missing."""
    return images + 0 * amount


Slope = Callable[[], Tensor]


def sloped(value: Tensor, *derivatives: tuple[Tensor, Slope | None]) -> Tensor:
    """`value` with these derivatives, besides those that it has (reverse mode).

    Args:
        derivatives: arguments, and the derivative of each pixel in them, a constant; None is 1 everywhere. It is
            computed in the backward pass, and only if the argument is differentiated. An amount [B, 1, 1, 1]
            gets the sum over the pixels of its image.
    """
    wanted = [(argument, slope) for argument, slope in derivatives if argument.requires_grad]
    if not (wanted and torch.is_grad_enabled()):
        return value
    arguments, slopes = zip(*wanted, strict=True)
    with_derivatives: Tensor = _Sloped.apply(value, slopes, *arguments)
    return with_derivatives


def chord(at: Callable[[Tensor], Tensor], amount: Tensor, reach: float) -> Slope:
    """The slope of a step-shaped operation from amount - reach to amount + reach; `at(amount)` is its value.

    It is the central finite difference of the operation itself: where the loss is linear in the pixels, the gradient
    equals (loss(amount + reach) - loss(amount - reach)) / (2 reach) exactly.
    """
    return lambda: (at(amount + reach) - at(amount - reach)).div_(2 * reach)


class _Sloped(torch.autograd.Function):
    """No arithmetic on the images forwards."""

    @staticmethod
    def forward(value: Tensor, slopes: tuple[Slope | None, ...], *arguments: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.slopes, *arguments = inputs
        ctx.shapes = [argument.shape for argument in arguments]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            slopes = [slope and slope() for slope in ctx.slopes]
        passed = [
            gradient if slope is None else (gradient * slope).sum_to_size(shape)
            for slope, shape in zip(slopes, ctx.shapes, strict=True)
        ]
        return gradient, None, *passed
