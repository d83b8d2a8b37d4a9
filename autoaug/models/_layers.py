"""What several architectures are made of: convolutions, blocks, stages, the head, He's initialisation.

Nothing works in place: the gradients of strategies differentiate a training step a second time.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

Block = Callable[[int, int, int], nn.Module]
"""Builds a block from its input channels, output channels and stride."""


def conv(inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Return a `size` x `size` convolution that keeps H and W at stride 1 (odd sizes)."""
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=bias)


def activate(width: int) -> nn.Sequential:
    """Return batch normalisation, then ReLU."""
    return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())


def classify(width: int, classes: int) -> nn.Sequential:
    """Return the mean over H and W, then a linear layer: [B, width, H, W] -> logits [B, K]."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


class PreActivated(nn.Module):
    """Compute `branch(h) + skip` with h = ReLU(BN(x)).

    The skip is x itself, or `shortcut(h)` where the branch changes the shape.
    Source: He et al. 2016, Identity Mappings in Deep Residual Networks, fig. 4e.
    """

    def __init__(self, inputs: int, branch: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.activate, self.branch, self.shortcut = activate(inputs), branch, shortcut

    def forward(self, features: Tensor) -> Tensor:
        active = self.activate(features)
        skip = features if self.shortcut is None else self.shortcut(active)
        return self.branch(active) + skip


def projection(inputs: int, outputs: int, stride: int, bias: bool = False) -> nn.Conv2d | None:
    """Return a 1x1 convolution for the skip where the shape changes, None where it does not."""
    return None if (inputs, stride) == (outputs, 1) else conv(inputs, outputs, 1, stride, bias)


def two_convs(inputs: int, outputs: int, stride: int, dropout: float = 0.0, bias: bool = False) -> PreActivated:
    """Return a pre-activated block of two 3x3 convolutions, with dropout before the second."""
    branch = nn.Sequential(
        conv(inputs, outputs, 3, stride, bias),
        activate(outputs),
        nn.Dropout(dropout),
        conv(outputs, outputs, 3, bias=bias),
    )
    return PreActivated(inputs, branch, projection(inputs, outputs, stride, bias))


def stages(block: Block, widths: Sequence[int], counts: Sequence[int]) -> list[nn.Module]:
    """Return one stage of `counts[s]` blocks for each s; every stage but the first halves H and W.

    `widths` holds one entry more than `counts`: the channels of the stem come first.
    """

    def stage(number: int, count: int) -> nn.Module:
        inputs, outputs = widths[number], widths[number + 1]
        first = block(inputs, outputs, 2 if number else 1)
        return nn.Sequential(first, *(block(outputs, outputs, 1) for _ in range(count - 1)))

    return [stage(number, count) for number, count in enumerate(counts)]


def assemble(stem: nn.Module, body: Sequence[nn.Module], head: nn.Module) -> nn.Sequential:
    """Return the whole network, initialised. Its children are named stem, stage1, stage2, …, head, for hooks."""
    named = {f"stage{number}": stage for number, stage in enumerate(body, start=1)}
    return initialise(nn.Sequential(OrderedDict({"stem": stem, **named, "head": head})))


def initialise(network: Network) -> Network:
    """Draw convolutions from N(0, 2 / fan_out) (He et al. 2015) and set all biases to 0.

    Draws from torch's global generator, as torch's own layers do; `autoaug.models.build` guards it.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
