"""Residual networks for large images (He et al. 2016, Deep Residual Learning), from torchvision."""

from torch import nn

from autoaug.models._layers import initialise


def resnet(classes: int, channels: int = 3, *, depth: int) -> nn.Module:
    """Return torchvision's ResNet-depth without pretrained weights; the depth is 18, 34, 50, 101 or 152.

    [B, C, H, W] -> logits [B, K]. The stem divides H and W by 4, the stages by 8 more: made for images of
    64 pixels and more. Unlike torchvision's, no ReLU works in place and `channels` need not be 3.
    """
    from torchvision import models  # here, because it takes a second, and most networks do not need it

    network = models.get_model(f"resnet{depth}", weights=None, num_classes=classes)
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return initialise(network)
