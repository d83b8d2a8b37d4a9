"""Residual networks for large images (He et al. 2016, Deep Residual Learning), from torchvision."""

from torch import nn

from autoaug.models._layers import conv, initialise


def resnet(classes: int, channels: int = 3, *, depth: int, small: bool = False) -> nn.Module:
    """Return torchvision's ResNet-depth without pretrained weights; the depth is 18, 34, 50, 101 or 152.

    [B, C, H, W] -> logits [B, K]. The stem divides H and W by 4, the stages by 8 more: made for images of
    64 pixels and more. `small` is the form for CIFAR, whose stem is a 3x3 convolution of stride 1 without pooling
    (Mounsaveng et al. 2021). Unlike torchvision's, no ReLU works in place and `channels` need not be 3.
    """
    from torchvision import models  # here, because it takes a second, and most networks do not need it

    network = models.get_model(f"resnet{depth}", weights=None, num_classes=classes)
    if small:
        network.conv1, network.maxpool = conv(channels, 64, 3), nn.Identity()
    elif channels != 3:
        network.conv1 = stem(channels)
    return out_of_place(network)


def resnext(classes: int, channels: int = 3, *, groups: int, width: int) -> nn.Module:
    """Return ResNeXt-101 with `groups` groups of `width` channels, without pretrained weights.

    [B, C, H, W] -> logits [B, K]; H and W as of `resnet`. Source: Xie et al. 2017, Aggregated Residual Transformations.
    """
    from torchvision.models.resnet import Bottleneck, ResNet

    network = ResNet(Bottleneck, [3, 4, 23, 3], num_classes=classes, groups=groups, width_per_group=width)
    if channels != 3:
        network.conv1 = stem(channels)
    return out_of_place(network)


def stem(channels: int) -> nn.Conv2d:
    """Return the first convolution for images of so many channels."""
    return nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)


def out_of_place(network: nn.Module) -> nn.Module:
    """Return a network, initialised, whose ReLU no longer work in place."""
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return initialise(network)
