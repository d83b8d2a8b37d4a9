"""Wide residual networks (Zagoruyko and Komodakis 2016)."""

from functools import partial

from torch import nn

from autoaug.models._layers import activate, assemble, classify, conv, stages, two_convs


def wide_resnet(classes: int, channels: int = 3, *, depth: int, width: int, dropout: float = 0.0) -> nn.Sequential:
    """Return WRN-depth-width: three stages of (depth - 4) / 6 blocks with 16, 32 and 64 times `width` channels.

    [B, C, H, W] -> logits [B, K]. Convolutions carry biases, as in the PyTorch networks with which published
    augmentation policies were measured; the original has none (WRN-28-10: 36,479,194 parameters instead of
    36,489,290). Dropout acts before the second convolution of a block, as in the original.
    Raises ValueError where the depth is not 6 n + 4 with n ≥ 1.
    """
    count, rest = divmod(depth - 4, 6)
    if count < 1 or rest:
        raise ValueError(f"depth={depth} of a wide residual network: use 6 n + 4, for example 10, 16, 28 or 40")
    widths = [16, 16 * width, 32 * width, 64 * width]
    block = partial(two_convs, dropout=dropout, bias=True)
    head = nn.Sequential(activate(widths[-1]), classify(widths[-1], classes))
    return assemble(conv(channels, 16, 3, bias=True), stages(block, widths, [count] * 3), head)
