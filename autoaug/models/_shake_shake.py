"""Shake-Shake: two branches, mixed at random and differently on the way back (Gastaldi 2017)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from autoaug.models._layers import assemble, classify, conv, stages


def shake(left: Tensor, right: Tensor) -> Tensor:
    """Return α left + (1 - α) right, with the gradient of β left + (1 - β) right.

    α, β ~ U(0, 1) for each image. The draws come from torch's global generator of the device. Gradients of every order
    are those of the β mixture, so a Hessian in training mode is that of no function and not symmetric.
    """
    alpha, beta = torch.rand(2, len(left), 1, 1, 1, device=left.device, dtype=left.dtype)
    forward, backward = (right + share * (left - right) for share in (alpha, beta))
    return forward.detach() + (backward - backward.detach())


def branch(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each between a ReLU and a normalisation."""
    return nn.Sequential(
        nn.ReLU(),
        conv(inputs, outputs, 3, stride),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        conv(outputs, outputs, 3),
        nn.BatchNorm2d(outputs),
    )


class ShiftedShortcut(nn.Module):
    """Join two 1x1 convolutions, the second one on the features moved by a pixel."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.straight = conv(inputs, outputs // 2, 1, stride)
        self.shifted = conv(inputs, outputs // 2, 1, stride)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        active = features.relu()
        halves = [self.straight(active), self.shifted(pad(active, (-1, 1, -1, 1)))]
        return self.norm(torch.cat(halves, dim=1))


class ShakeBlock(nn.Module):
    """Add a skip and two branches: shaken in training, their mean in evaluation."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.left, self.right = branch(inputs, outputs, stride), branch(inputs, outputs, stride)
        self.shortcut = nn.Identity() if inputs == outputs else ShiftedShortcut(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        left, right = self.left(features), self.right(features)
        mixed = shake(left, right) if self.training else (left + right) / 2
        return mixed + self.shortcut(features)


def shake_shake(classes: int, channels: int = 3, *, width: int) -> nn.Sequential:
    """Return Shake-Shake-26 2x`width`d: three stages of four blocks with 1, 2 and 4 times `width` channels.

    [B, C, H, W] -> logits [B, K]. The 2x96d network has the 26.2 million parameters of the paper; a widely
    copied PyTorch version has 26.8, because every block of it owns a shortcut that most blocks never use.
    """
    widths = [16, width, 2 * width, 4 * width]
    head = nn.Sequential(nn.ReLU(), classify(widths[-1], classes))
    return assemble(conv(channels, 16, 3, bias=True), stages(ShakeBlock, widths, [4, 4, 4]), head)
