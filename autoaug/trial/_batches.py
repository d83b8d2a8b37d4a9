"""Batches as a loop of the user's own gives them to its trial, looked at before the policy is.

B batch, C channels, H height, W width, K classes
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoaug.data import as_float
from autoaug.models import head_of


def float_images(images: Tensor, *, look: bool) -> Tensor:
    """Return a batch of images [B, C, H, W] as floats.

    Args:
        images: uint8, or floats in [0, 1].
        look: whether their values are looked at, for which a GPU is waited for.

    Raises:
        ValueError: it is no batch of images with values in [0, 1].
    """
    if not isinstance(images, Tensor) or images.dim() != 4:
        what = f"a tensor {list(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise ValueError(f"trial.augment was given {what}: give a batch of images [B, C, H, W]")
    look, images = look and images.dtype != torch.uint8, as_float(images)
    if look:
        check_range(images, "trial.augment was given images", "uint8, or floats in [0, 1], and normalise after it")
    return images


def check_range(images: Tensor, what: str, give: str) -> None:
    """Raise ValueError where floats are not in [0, 1]; a GPU is waited for.

    Args:
        what: begins the message, such as "trial.augment was given images".
        give: what is to be given instead.
    """
    if not images.numel():
        return
    low, high = torch.stack(images.aminmax()).tolist()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{what} with values from {low:.3g} to {high:.3g}: give {give}")


def check_places(images: Any, targets: Any, wanted: torch.device | None) -> None:
    """Refuse targets that are elsewhere than their images, and images that are elsewhere than a policy that moves.

    Args:
        wanted: where the policy is; None where it follows the images.

    Raises:
        ValueError: it says what to write.
    """
    if not isinstance(images, Tensor) or not isinstance(targets, Tensor):
        return  # what they are is looked at elsewhere
    if targets.device != images.device:
        raise ValueError(
            f"trial.augment was given images on {images.device}, and their targets on {targets.device}: write "
            f"targets.to({str(images.device)!r})"
        )
    if wanted is not None and not is_at(images.device, wanted):
        raise ValueError(
            f"trial.augment was given images on {images.device}, and the policy is on {wanted}: write "
            "images.to(trial.device)"
        )


def is_at(device: torch.device, wanted: torch.device) -> bool:
    """Whether the device of a tensor is a wanted one; a GPU without a number is the present one."""
    if device.type != wanted.type:
        return False
    return wanted.type != "cuda" or device.index == (
        torch.cuda.current_device() if wanted.index is None else wanted.index
    )


def soft_targets(targets: Tensor, classes: int | None) -> Tensor:
    """Return soft targets [B, K], floats, of classes [B]; those that are soft already as they are.

    Args:
        classes: K; None where nobody knows.

    Raises:
        ValueError: it is not known, and needed.
    """
    if targets.is_floating_point() and targets.dim() == 2:
        return targets
    if classes is None:
        raise ValueError(
            "trial.augment does not know how many classes there are: give trial.augment(images, targets, "
            "classes=...), or name the network in trial.epochs"
        )
    return F.one_hot(targets, classes).float()


def outputs_of(parts: Iterable[object]) -> int | None:
    """Return how many outputs the head of the first network among some objects has; None where nobody knows."""
    for part in parts:
        if isinstance(part, nn.Module):
            try:
                head = part.get_submodule(head_of(part))
            except ValueError:
                continue
            return int(head.weight.shape[0]) if isinstance(head.weight, Tensor) else None
    return None
