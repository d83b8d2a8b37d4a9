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

CHANNELS = (1, 3)
"""That images may have."""

WANTED = "classes [B], integers, or soft targets [B, K], floats"
"""What targets are."""


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
    if images.shape[1] not in CHANNELS and images.shape[-1] in CHANNELS:
        raise ValueError(
            f"trial.augment was given images {list(images.shape)}, with their channels last: give [B, C, H, W], by "
            "images.permute(0, 3, 1, 2)"
        )
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


def soft_targets(targets: Tensor, classes: int | None, images: int, *, look: bool) -> Tensor:
    """Return soft targets [B, K], floats, of classes [B]; those that are soft already as they are.

    Args:
        classes: K; None where nobody knows.
        images: B.
        look: whether the values of classes are looked at, for which a GPU is waited for.

    Raises:
        ValueError: they are neither, or K is not known, and needed.
    """
    if not isinstance(targets, Tensor):
        raise ValueError(f"the targets of a batch are a {type(targets).__name__}: give a tensor of {WANTED}")
    what = f"the targets of a batch are {list(targets.shape)} of {targets.dtype} for {images} images"
    if targets.shape[:1] != (images,):
        raise ValueError(f"{what}: give one for each image, {WANTED}")
    if targets.is_floating_point() and targets.dim() == 2:
        return targets
    if targets.is_floating_point() or targets.dtype is torch.bool or targets.dim() != 1:
        raise ValueError(f"{what}: give {WANTED}{remedy(targets)}")
    if classes is None:
        raise ValueError(
            "trial.augment does not know how many classes there are: give trial.augment(images, targets, "
            "classes=...), or name the network in trial.epochs, one alone or several of as many outputs"
        )
    if look:
        check_classes(targets, classes)
    return F.one_hot(targets.long(), classes).float()


def remedy(targets: Tensor) -> str:
    """Return what makes targets that are neither classes nor soft into one of both, in the words of an error."""
    if targets.dim() == 1:
        return "; one number to predict for each image is targets[:, None].float()"
    if targets.dim() == 2:
        integers = "; classes in a column are targets[:, 0]" if targets.shape[1] == 1 else ""
        return f"; several labels of one image, or one-hot ones, are targets.float(){integers}"
    return "; masks follow their images by trial.transform"


def check_classes(targets: Tensor, classes: int) -> None:
    """Refuse classes below 0, or too high for their number.

    Raises:
        ValueError: it names the class.
    """
    if not len(targets):
        return
    low, high = torch.stack(targets.aminmax()).tolist()
    if low < 0 or high >= classes:
        binary = "; for a network of one output give targets[:, None].float()" if classes == 1 else ""
        raise ValueError(
            f"a batch has the class {low if low < 0 else high}, and {classes} are known, 0 to {classes - 1}: "
            f"count them from 0, and give their number, classes=..., where the network has other outputs{binary}"
        )


def outputs_of(parts: Iterable[object]) -> int | None:
    """Return how many outputs the heads of the networks among some objects have; None where nobody knows.

    Nobody does where they differ, as those of a body and the head on top of it.
    """
    found = {outputs for part in parts if isinstance(part, nn.Module) and (outputs := outputs_of_head(part))}
    return found.pop() if len(found) == 1 else None


def outputs_of_head(network: nn.Module) -> int | None:
    """Return how many outputs the head of a network has; None where it has no head, or one that says nothing."""
    try:
        head = network.get_submodule(head_of(network))
    except ValueError:
        return None
    return int(head.weight.shape[0]) if isinstance(head.weight, Tensor) else None
