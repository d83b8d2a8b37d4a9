"""The loss of soft targets, for models whose own loss takes classes alone.

B batch, K classes
"""

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def soft_cross_entropy(outputs: Any, targets: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Return the cross-entropy of a model's logits [B, K], a scalar in nats.

    Args:
        targets: classes [B], or soft targets [B, K], for which models of Hugging Face have no loss of their own.
        num_items_in_batch: images of the whole step, by which the sum is divided; None is B.
    """
    total = F.cross_entropy(outputs.logits, targets, reduction="sum")
    return total / (len(targets) if num_items_in_batch is None else num_items_in_batch)
