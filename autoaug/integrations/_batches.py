"""What stands in the batches of a Trainer: pixels, which a policy has in [0, 1] and a network normalised, and targets.

B batch, C channels, H height, W width, K classes
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from autoaug.models import Normalisation

ROUNDING = 1e-3
"""How far outside of [0, 1] a pixel may lie, for rounding has put it there."""


def normalised(images: Tensor, by: Normalisation) -> Tensor:
    """Return images [B, C, H, W] in [0, 1] as the network takes them."""
    return (images - channels(by.mean, images)) / channels(by.std, images)


def pixels_of(images: Tensor, by: Normalisation) -> Tensor:
    """Return normalised images [B, C, H, W] as the policy takes them, in [0, 1].

    What rounding has put outside is brought back. What lies further out was not normalised by these figures, and stays
    for `Trial.augment` to refuse.
    """
    pixels = images * channels(by.std, images) + channels(by.mean, images)
    return pixels.clamp(0, 1).where((pixels - 0.5).abs() < 0.5 + ROUNDING, pixels)


def channels(values: Sequence[float], images: Tensor) -> Tensor:
    """Return a number for each channel as a tensor that goes with images [B, C, H, W]."""
    return images.new_tensor(values).view(-1, 1, 1)


def soft_cross_entropy(outputs: Any, targets: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Return the cross-entropy of a model's logits [B, K], a scalar in nats.

    Args:
        targets: classes [B], or soft targets [B, K], for which models of Hugging Face have no loss of their own.
        num_items_in_batch: images of the whole step, by which the sum is divided; None is B.
    """
    total = F.cross_entropy(outputs.logits, targets, reduction="sum")
    return total / (len(targets) if num_items_in_batch is None else num_items_in_batch)
