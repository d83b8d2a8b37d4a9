"""Residual networks for large images (He et al. 2016, Deep Residual Learning), from torchvision."""

from collections.abc import Callable

from torch import nn
from torchvision.models import ResNet, resnet18, resnet50, resnet101

from autoaug.models.layers import initialise

VARIANTS: dict[int, Callable[..., ResNet]] = {18: resnet18, 50: resnet50, 101: resnet101}


def resnet(classes: int, channels: int = 3, *, depth: int) -> ResNet:
    """torchvision's ResNet-depth without pretrained weights; the depth is a key of `VARIANTS`.

    [B, C, H, W] -> logits [B, K]. The stem divides H and W by 4, the stages by 8 more: made for images of
    64 pixels and more. Unlike torchvision's, no ReLU works in place and `channels` need not be 3.
    """
    network = VARIANTS[depth](weights=None, num_classes=classes)
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return initialise(network)
