"""Residual networks with pre-activation for small images (He et al. 2016, Identity Mappings)."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from autoaug.models._layers import (
    PreActivated,
    activate,
    assemble,
    classify,
    conv,
    projection,
    stages,
    two_convs,
)


def bottleneck(inputs: int, outputs: int, stride: int, dropout: float) -> PreActivated:
    """Return 1x1, 3x3 and 1x1 convolutions; the inner two work on a quarter of the output channels."""
    inner = outputs // 4
    branch = nn.Sequential(
        conv(inputs, inner, 1),
        activate(inner),
        conv(inner, inner, 3, stride),
        activate(inner),
        nn.Dropout(dropout),
        conv(inner, outputs, 1),
    )
    return PreActivated(inputs, branch, projection(inputs, outputs, stride))


def preact_resnet(
    classes: int, channels: int = 3, *, counts: Sequence[int], deep: bool = False, dropout: float = 0.0
) -> nn.Sequential:
    """Return four stages of `counts` blocks, 64 to 512 channels wide; four times that with `deep` blocks.

    [B, C, H, W] -> logits [B, K]. As in the network of the mixup paper (Zhang et al. 2018), the stem is
    normalised and the last stage goes to the mean unnormalised. `dropout` acts before the last convolution
    of each block (the paper's experiments with corrupted labels use 0.3 to 0.9).
    """
    grow = 4 if deep else 1
    widths = [64, *(grow * width for width in (64, 128, 256, 512))]
    block = partial(bottleneck if deep else two_convs, dropout=dropout)
    stem = nn.Sequential(conv(channels, 64, 3), activate(64))
    return assemble(stem, stages(block, widths, counts), classify(widths[-1], classes))
