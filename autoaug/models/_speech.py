"""LeNet and VGG-11 for spectrograms of spoken words, as the mixup paper trains them (Zhang et al. 2018, section 3.3).

The paper says "LeNet and VGG-11, each of two convolutional and two fully connected layers", which is true of LeNet
only. These are the networks of the code that it refers to (adiyoss/GCommandsPytorch), made for spectrograms of
161 x 101. Adaptive pooling before the linear layers, which changes nothing at that size, makes them fit other ones.
"""

from collections import OrderedDict

from torch import nn

from autoaug.models._layers import initialise

LENET_GRID = (37, 22)
"""What two convolutions and poolings leave of 161 x 101: (161 - 4) / 2 = 78, (78 - 4) / 2 = 37, rounded down."""

VGG_GRID = (5, 3)
"""What five poolings leave of 161 x 101."""

VGG_WIDTHS = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Of the eight convolutions of VGG-11, with a pooling after each group (Simonyan & Zisserman 2015, table 1, A)."""


def lenet_speech(classes: int, channels: int = 3, *, dropout: float = 0.5) -> nn.Sequential:
    """Return two 5x5 convolutions of 20 channels, each with pooling, and linear layers of 1000 and K units.

    [B, C, H, W] -> logits [B, K]; H and W are 16 at least. `dropout` acts on channels after the second convolution, and
    on units before the head. 16,321,570 parameters for one channel and thirty classes.
    """
    return initialise(
        nn.Sequential(
            nn.Conv2d(channels, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(20, 20, 5),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(LENET_GRID),
            nn.Flatten(),
            nn.Linear(20 * LENET_GRID[0] * LENET_GRID[1], 1000),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(1000, classes),
        )
    )


def vgg_speech(classes: int, channels: int = 3) -> nn.Sequential:
    """Return the eight normalised 3x3 convolutions of VGG-11 and linear layers of 512 and K units.

    [B, C, H, W] -> logits [B, K]; H and W are 32 at least. 13,172,894 parameters for one channel and thirty classes.
    """
    groups, inputs = [], channels
    for widths in VGG_WIDTHS:
        layers: list[nn.Module] = []
        for outputs in widths:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        groups.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(VGG_GRID),
        nn.Flatten(),
        nn.Linear(512 * VGG_GRID[0] * VGG_GRID[1], 512),
        nn.ReLU(),
        nn.Linear(512, classes),
    )
    named = {f"group{number}": group for number, group in enumerate(groups, start=1)}
    return initialise(nn.Sequential(OrderedDict({**named, "head": head})))
