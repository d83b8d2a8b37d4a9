"""Densely connected networks with bottlenecks and compression: DenseNet-BC (Huang et al. 2017)."""

import torch
from torch import Tensor, nn

from autoaug.models._layers import activate, assemble, classify, conv


class DenseLayer(nn.Module):
    """Append `growth` channels, made of all channels before them, to the input."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        inner = 4 * growth
        self.branch = nn.Sequential(activate(inputs), conv(inputs, inner, 1), activate(inner), conv(inner, growth, 3))

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.branch(features)], dim=1)


def transition(inputs: int, outputs: int) -> nn.Sequential:
    """Return a layer that halves H and W and maps to fewer channels."""
    return nn.Sequential(activate(inputs), conv(inputs, outputs, 1), nn.AvgPool2d(2))


def densenet(classes: int, channels: int = 3, *, depth: int, growth: int) -> nn.Sequential:
    """Return DenseNet-BC-depth-growth: three stages of (depth - 4) / 6 layers, channels halved between them.

    [B, C, H, W] -> logits [B, K]; H and W at least 4.
    Raises ValueError where the depth is not 6 n + 4 with n ≥ 1.
    """
    count, rest = divmod(depth - 4, 6)
    if count < 1 or rest:
        raise ValueError(f"depth={depth} of a DenseNet-BC: use 6 n + 4, for example 40, 100 or 190")
    width, body = 2 * growth, []
    for number in range(3):
        layers: list[nn.Module] = [transition(width, width // 2)] if number else []
        width = width // 2 if number else width
        layers += [DenseLayer(width + layer * growth, growth) for layer in range(count)]
        width += count * growth
        body.append(nn.Sequential(*layers))
    head = nn.Sequential(activate(width), classify(width, classes))
    return assemble(conv(channels, 2 * growth, 3), body, head)
