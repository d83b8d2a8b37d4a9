"""The pixels of a policy, in [0, 1], and those of a network, which are normalised."""

from collections.abc import Sequence

from torch import Tensor

from autoaug.models import Normalisation

ROUNDING = 1e-3


def normalised(images: Tensor, by: Normalisation) -> Tensor:
    """Return images [B, C, H, W] in [0, 1] as the network takes them."""
    return (images - channels(by.mean, images)) / channels(by.std, images)


def pixels_of(images: Tensor, by: Normalisation) -> Tensor:
    """Return normalised images [B, C, H, W] as the policy takes them, in [0, 1].

    What rounding has put outside is brought back. What lies further out was not normalised by these figures, and stays
    for `Trial.augment` to refuse.
    """
    pixels = images * channels(by.std, images) + channels(by.mean, images)
    return pixels.clamp(0, 1).where((pixels - 0.5).abs() < 0.5 + ROUNDING, pixels)


def channels(values: Sequence[float], images: Tensor) -> Tensor:
    """Return a number for each channel as a tensor that goes with images [B, C, H, W]."""
    return images.new_tensor(values).view(-1, 1, 1)
