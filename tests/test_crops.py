"""Crops of a minibatch against torch's own resize, image by image."""

import pytest
import torch
from torch.nn.functional import interpolate

from autoaug.photos._crops import heights_and_widths, resized_crop


@pytest.mark.parametrize("size", [1, 5, 12])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_crop_is_the_box_of_its_image_brought_to_one_size(size: int, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, (5, 3, 9, 7), generator=rng, dtype=torch.uint8)
    images = images if dtype == torch.uint8 else images / 255
    boxes = torch.tensor([[0, 0, 9, 7], [0, 0, 1, 1], [8, 6, 1, 1], [2, 1, 5, 6], [3, 0, 6, 2]])
    floats = images / 255 if dtype == torch.uint8 else images
    wanted = [
        interpolate(image[None, :, top : top + height, left : left + width], (size, size), mode="bilinear")
        for image, (top, left, height, width) in zip(floats, boxes.tolist(), strict=True)
    ]
    torch.testing.assert_close(resized_crop(images, boxes, size), torch.cat(wanted))


def test_the_images_of_a_tensor_have_one_height_and_width() -> None:
    assert heights_and_widths(torch.zeros(2, 3, 9, 7)).tolist() == [[9, 7], [9, 7]]
