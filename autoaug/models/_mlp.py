"""A network of linear layers alone, for rows of features."""

from collections.abc import Sequence

from torch import nn

from autoaug.models._layers import initialise


def mlp(
    classes: int, channels: int = 3, *, size: tuple[int, int] = (32, 32), widths: Sequence[int] = (128, 128)
) -> nn.Sequential:
    """Return linear layers of `widths` units with ReLU between them: two of 128 in the mixup paper's section 3.6.

    [B, C, H, W] -> logits [B, K]. `size` is H and W of what it is given, of a table of D features (1, D): linear layers
    need to know it when they are made. `build` says it.
    """
    inputs = [channels * size[0] * size[1], *widths]
    hidden: list[nn.Module] = []
    for before, after in zip(inputs, widths, strict=False):
        hidden += [nn.Linear(before, after), nn.ReLU()]
    return initialise(nn.Sequential(nn.Flatten(), *hidden, nn.Linear(inputs[-1], classes)))
