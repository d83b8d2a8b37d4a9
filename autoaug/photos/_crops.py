"""Crops of a minibatch, each image at a box of its own, brought to one size.

B batch, C channels, H height, W width, S the size of the result
"""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from autoaug.devices import to_device
from autoaug.photos._photos import Photos, as_float


def heights_and_widths(images: Tensor | Photos) -> Tensor:
    """Return the height and width of each image of a minibatch: [B, 2], int64, on the CPU."""
    if isinstance(images, Photos):
        return images.sizes
    return torch.tensor(images.shape[2:]).expand(len(images), 2)


def resized_crop(images: Tensor | Photos, boxes: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Return the boxes of images, brought to one size: [B, C, S, S], float32 in [0, 1], or bytes of photos.

    Bilinear, without antialiasing; no pixel outside of a box is looked at. It equals
    `interpolate(image[box], size, mode="bilinear", align_corners=False)` for each image; of photos rounded to bytes.

    Args:
        images: [B, C, H, W], bytes or floats in [0, 1], or photos.
        boxes: [B, 4], int64: top, left, height and width in pixels, within the image and not empty.
        size: S, or the height and the width of the result where they differ.
    """
    high, wide = (size, size) if isinstance(size, int) else size
    if isinstance(images, Photos):
        return images.crops(boxes.cpu(), high, wide)
    pixels = as_float(images)
    top, left, height, width = to_device(boxes, pixels.device, pixels.dtype).unbind(1)
    rows = along(top, height, high, pixels.shape[2])
    columns = along(left, width, wide, pixels.shape[3])
    grid = torch.stack([columns[:, None, :].expand(-1, high, -1), rows[:, :, None].expand(-1, -1, wide)], dim=3)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=True)


def along(first: Tensor, length: Tensor, size: int, total: int) -> Tensor:
    """Return where the pixels of the result lie along one axis, in the coordinates of `grid_sample`: [B, S].

    Args:
        first: where each box begins, [B], in pixels.
        length: of each box, [B], in pixels.
        total: pixels of the whole image along the axis.
    """
    middle = (torch.arange(size, device=first.device) + 0.5) * (length[:, None] / size) - 0.5
    within = middle.clamp(min=0).minimum(length[:, None] - 1)
    return (first[:, None] + within) * (2 / max(1, total - 1)) - 1
