"""The metrics of a split, from its parts as they go through the network.

N samples of the split, B of a part, K classes
"""

import torch
from torch import Tensor

from autoaug.metrics import METRICS


class Evaluation:
    """Every row of `METRICS` for the samples that were added. Logits are kept only where a row needs all of them."""

    def __init__(self, device: torch.device) -> None:
        self.sums = {name: torch.zeros((), device=device) for name, metric in METRICS.items() if metric.additive}
        self.whole = {name: metric for name, metric in METRICS.items() if not metric.additive}
        self.kept: list[tuple[Tensor, Tensor]] = []
        self.samples = 0

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Take in a part: logits [B, K], and targets, labels [B] or shares of the classes [B, K]."""
        self.samples += len(logits)
        for name, total in self.sums.items():
            total += METRICS[name].function(logits, targets)
        if self.whole:
            self.kept.append((logits, targets))

    def values(self) -> dict[str, float]:
        """Return the values of all samples [N] by row, in the order of the table."""
        values = {name: total / self.samples for name, total in self.sums.items()} | self.of_all_logits()
        # a GPU stops for the numbers, and once is enough
        return dict(zip(METRICS, torch.stack([values[name] for name in METRICS]).tolist(), strict=True))

    def of_all_logits(self) -> dict[str, Tensor]:
        """Return the rows that are no means over samples, from the logits [N, K] of all."""
        if not self.whole:
            return {}
        logits, targets = (torch.cat(each) for each in zip(*self.kept, strict=True))
        return {
            name: torch.as_tensor(metric.function(logits, targets), dtype=torch.float32, device=logits.device)
            for name, metric in self.whole.items()
        }
