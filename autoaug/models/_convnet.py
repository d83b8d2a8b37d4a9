"""A network for seconds of CPU time: small images of digits, demos and tests."""

from torch import nn

from autoaug.models._layers import activate, conv, initialise


def convnet(classes: int, channels: int = 3) -> nn.Sequential:
    """Return two 3x3 convolutions of 16 channels, max-pooling, two of 32, average pooling, a linear layer.

    [B, C, H, W] -> logits [B, K]; made for H and W from 8 to 32. 17,754 parameters for one channel and ten
    classes. A kernel of CUDA's backward pass of the 2x2 pooling adds in no fixed order.
    """
    return initialise(
        nn.Sequential(
            conv(channels, 16, 3),
            activate(16),
            conv(16, 16, 3),
            activate(16),
            nn.MaxPool2d(2),
            conv(16, 32, 3),
            activate(32),
            conv(32, 32, 3),
            activate(32),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 2 * 2, classes),
        )
    )
