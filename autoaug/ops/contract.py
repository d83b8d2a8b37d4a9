"""What every operation asks of its arguments, and how it computes: the checks and the two tricks all rows share.

Letters in shapes, here and in the files beside: B batch, C channels, H height, W width.
The checks read shapes, dtypes and devices only, never values, so a CUDA stream is not stopped for them.
"""

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


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """`value` in the forward pass, the gradient of `surrogate` in the backward pass (reverse mode)."""

    return _StraightThrough.apply(value, surrogate) if surrogate.requires_grad else value


class _StraightThrough(torch.autograd.Function):
    """Both arguments get the gradient. No arithmetic on the images, forwards or backwards."""

    @staticmethod
    def forward(value: Tensor, surrogate: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        return slope, slope


def with_ends(amount: Tensor, reach: float) -> Tensor:
    """The amount and, where it is differentiated, the ends of its chord: [1 or 3, *amount.shape]."""
    ends = [amount, amount + reach, amount - reach] if amount.requires_grad else [amount]
    return torch.stack(ends).detach()


def along_chord(value: Tensor, ends: Tensor, amount: Tensor, reach: float) -> Tensor:
    """`value` of a step-shaped operation, whose derivative in `amount` is the chord from amount - reach to + reach.

    `ends` are the values there, up to a common term: two, or none where the amount is not differentiated. The chord is
    the central finite difference of the operation itself: where the loss is linear in the pixels, the gradient equals
    (loss(amount + reach) - loss(amount - reach)) / (2 reach) exactly.
    """
    if not len(ends):
        return value
    slope = (ends[0] - ends[1]).detach().div_(2 * reach)
    return torch.addcmul(value, slope, amount - amount.detach())
