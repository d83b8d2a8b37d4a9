"""Small residual networks for minutes of CPU time: of images of 32 pixels, and of photos of 64 to 160."""

from torch import Tensor, nn

from autoaug.models._layers import assemble, classify, conv, projection, stages


def normalised(convolution: nn.Conv2d) -> nn.Sequential:
    """Return the convolution, then batch normalisation."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))


class BasicBlock(nn.Module):
    """Compute ReLU of two 3x3 convolutions plus the skip (He et al. 2016, Deep Residual Learning, fig. 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(normalised(conv(inputs, outputs, 3, stride)), nn.ReLU())
        self.second = normalised(conv(outputs, outputs, 3))
        skip = projection(inputs, outputs, stride)
        self.shortcut = nn.Identity() if skip is None else normalised(skip)

    def forward(self, features: Tensor) -> Tensor:
        return (self.second(self.first(features)) + self.shortcut(features)).relu()


def small_resnet(classes: int, channels: int = 3, *, depth: int, photos: bool = False) -> nn.Sequential:
    """Return CIFAR ResNet-depth with three stages of (depth - 2) / 6 blocks, 16, 32 and 64 channels wide.

    [B, C, H, W] -> logits [B, K]. Skips that change the shape are 1x1 convolutions. For photos the stem divides H and W
    by 4, as that of the large networks does, by a 5x5 convolution of stride 2 and 2x2 pooling; a kernel of CUDA's
    backward pass of that pooling adds in no fixed order.

    Raises:
        ValueError: the depth is not 6 n + 2 with n ≥ 1.
    """
    count, rest = divmod(depth - 2, 6)
    if count < 1 or rest:
        raise ValueError(f"depth={depth} of a small residual network: use 6 n + 2, for example 8, 20 or 56")
    first = conv(channels, 16, 5, stride=2) if photos else conv(channels, 16, 3)
    stem = nn.Sequential(normalised(first), nn.ReLU(), *([nn.MaxPool2d(2)] if photos else []))
    return assemble(stem, stages(BasicBlock, [16, 16, 32, 64], [count] * 3), classify(64, classes))
