"""The nine weight-normalised convolutions of "Good Semi-supervised Learning That Requires a Bad GAN" (Dai et al. 2017).

The online bilevel paper trains this classifier on CIFAR-10 (Mounsaveng et al. 2021, table 1).
"""

import torch
from torch import Tensor, nn

from autoaug.models._layers import initialise

SLOPE = 0.2
"""Of LeakyReLU below zero."""

NOISE = 0.05
"""Standard deviation of the noise that is added to the images in training."""


class Noise(nn.Module):
    """Add normal noise in training, from torch's global generator as dropout does."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, images: Tensor) -> Tensor:
        return images + self.deviation * torch.randn_like(images) if self.training else images


def gains_of(weight: Tensor) -> Tensor:
    """Return the norm of the weights of each output: [O, 1, ...]."""
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)


class NormedConv(nn.Conv2d):
    """Convolve with `gain` times the direction of `weight` (Salimans & Kingma 2016, Weight Normalization, eq. 2)."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(inputs, outputs, size, stride=stride, padding=padding)
        self.gain = nn.Parameter(gains_of(self.weight.detach()))

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.gain * self.weight / gains_of(self.weight), self.bias)


class NormedLinear(nn.Linear):
    """Map by `gain` times the direction of `weight`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.gain = nn.Parameter(gains_of(self.weight.detach()))

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.gain * self.weight / gains_of(self.weight), self.bias)


def step(inputs: int, outputs: int, size: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
    """Return a normalised convolution, then LeakyReLU."""
    return nn.Sequential(NormedConv(inputs, outputs, size, stride, padding), nn.LeakyReLU(SLOPE))


def badgan_cnn(classes: int, channels: int = 3, *, dropout: float = 0.5) -> nn.Sequential:
    """Return three convolutions of 96 channels, six of 192, the mean over H and W, and a linear layer.

    [B, C, H, W] -> logits [B, K]; H and W are 9 at least. All weights are normalised, and their gains are learned. In
    training images get noise and lose channels, and `dropout` takes channels after both convolutions of stride 2.
    1,408,244 parameters for three channels and ten classes.
    """
    network = initialise(
        nn.Sequential(
            Noise(NOISE),
            nn.Dropout2d(0.2),
            step(channels, 96),
            step(96, 96),
            step(96, 96, stride=2),
            nn.Dropout2d(dropout),
            step(96, 192),
            step(192, 192),
            step(192, 192, stride=2),
            nn.Dropout2d(dropout),
            step(192, 192, padding=0),
            step(192, 192, size=1, padding=0),
            step(192, 192, size=1, padding=0),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            NormedLinear(192, classes),
        )
    )
    for module in network.modules():
        if isinstance(module, NormedConv | NormedLinear):
            module.gain.data = gains_of(module.weight.detach())  # of the weights that were drawn last
    return network
