"""The metrics of a split, from its parts as they go through the network.

N samples of the split, B of a part, K classes
"""

import torch
from torch import Tensor

from autoaug.metrics import applicable, right_by_class


class Evaluation:
    """Measure the samples that were added by every row of `METRICS` that says something of so many classes.

    Logits are kept until the end, N x K numbers: most rows are no means over samples.
    """

    def __init__(self, device: torch.device, classes: int) -> None:
        self.rows = applicable(classes)
        self.sums = {name: torch.zeros((), device=device) for name, metric in self.rows.items() if metric.additive}
        self.kept: list[tuple[Tensor, Tensor]] = []

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Take in a part: logits [B, K], and targets, labels [B] or shares of the classes [B, K]."""
        for name, total in self.sums.items():
            total += self.rows[name].function(logits, targets)
        self.kept.append((logits, targets))

    def whole(self) -> tuple[Tensor, Tensor]:
        """Return the logits [N, K] and the targets of all samples, labels [N] or shares of the classes [N, K]."""
        logits, targets = (torch.cat(each) for each in zip(*self.kept, strict=True))
        self.kept = [(logits, targets)]
        return logits, targets

    def values(self) -> dict[str, float]:
        """Return the values of all samples by row, in the order of the table."""
        logits, targets = self.whole()
        values = [
            self.sums[name] / len(logits) if name in self.sums else scalar(metric.function(logits, targets), logits)
            for name, metric in self.rows.items()
        ]
        return dict(zip(self.rows, torch.stack(values).tolist(), strict=True))  # a GPU stops for the numbers, once

    def by_class(self) -> dict[str, list[int]]:
        """Return how many samples of each class there are, "images", and how many of them are predicted "right"."""
        right, images = right_by_class(*self.whole())
        return {"images": images.tolist(), "right": right.tolist()}


def scalar(value: Tensor | float, like: Tensor) -> Tensor:
    """Return a number as a tensor of one, on the device of another."""
    return torch.as_tensor(value, dtype=torch.float32, device=like.device).reshape(())
