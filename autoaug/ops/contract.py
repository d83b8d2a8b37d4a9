"""What every operation asks of its arguments, and how it computes: the checks and the two tricks all rows share.

Letters in shapes, here and in the files beside: B batch, C channels, H height, W width.
The checks read shapes, dtypes and devices only, never values, so a CUDA stream is not stopped for them.
"""

from collections.abc import Callable

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
    """`value` in the forward pass, the gradient of `surrogate` in the backward pass (reverse mode).

    Not an autograd.Function, so torch.func and double backward work. The difference is zero to the last bit.
    """
    return value + (surrogate - surrogate.detach()) if surrogate.requires_grad else value


def along_chord(value: Tensor, amount: Tensor, op: Callable[[Tensor], Tensor], reach: float) -> Tensor:
    """`value` whose derivative in `amount` is the chord of a step-shaped `op` from amount - reach to amount + reach.

    The chord is the central finite difference of the operation itself: where the loss is linear in the pixels,
    the gradient equals (loss(amount + reach) - loss(amount - reach)) / (2 reach) exactly.
    """
    if not amount.requires_grad:
        return value
    with torch.no_grad():
        slope = (op(amount + reach) - op(amount - reach)) / (2 * reach)
    return straight_through(value, slope * amount)
