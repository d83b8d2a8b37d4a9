"""Photos of every size: what is kept of them, what a network sees of them, and that no way to hold them matters."""

from pathlib import Path

import numpy
import pytest
import torch
from photos_for_tests import SIZES, draw_photos, load_photos
from PIL import Image
from torch.nn.functional import interpolate

from autoaug.data import as_float
from autoaug.photos import Photos
from autoaug.photos._crops import heights_and_widths, resized_crop
from autoaug.photos._photos import crops_at_once
from autoaug.photos._pixels import Frame, photo_frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_photos(tmp_path / "photos")


def test_the_shorter_side_is_resized_and_the_centre_is_seen(folder: Path) -> None:
    data = load_photos(folder, size=112)
    photos = data.train.images
    assert isinstance(photos, Photos)
    assert data.frame == Frame(112, 128)
    assert photos.shape == (len(data.train), 3, 112, 112)
    assert len(data.train) + len(data.val) + len(data.test or ()) == 2 * len(SIZES)
    for name, photo, size in zip(data.train.names, as_float(photos), photos.sizes.tolist(), strict=True):
        with Image.open(folder / name) as image:
            ratio = 128 / min(image.size)
            assert size == [round(image.height * ratio), round(image.width * ratio)]
            small = image.resize(size[::-1], Image.Resampling.BILINEAR)
        top, left = (size[0] - 112) // 2, (size[1] - 112) // 2
        centre = small.crop((left, top, left + 112, top + 112))
        wanted = torch.from_numpy(numpy.array(centre)).permute(2, 0, 1) / 255
        torch.testing.assert_close(photo, wanted)


def test_a_crop_of_a_photo_is_its_box_brought_to_one_size(folder: Path) -> None:
    photos = load_photos(folder, size=112).train.images[:4]
    sizes = heights_and_widths(photos)
    height, width = sizes.unbind(1)
    boxes = torch.stack([height // 5, width // 4, height // 2, width - width // 4], 1)
    boxes[0] = torch.tensor([3, 4, 50, 50])  # as large as the result
    held, starts = photos.holder.brought(photos.rows)
    wanted = []
    for start, (high, wide), (top, left, tall, broad) in zip(starts, sizes.tolist(), boxes.tolist(), strict=True):
        whole = held[start : start + high * wide * 3].view(high, wide, 3).permute(2, 0, 1)
        box = whole[None, :, top : top + tall, left : left + broad] / 255
        wanted.append(interpolate(box, (50, 50), mode="bilinear"))
    exact = torch.cat(wanted)
    found = [as_float(resized_crop(photos, boxes, 50)), crops_at_once(held, starts, sizes, boxes, (50, 50)) / 255]
    for crops in found:
        torch.testing.assert_close(crops, exact, atol=1.01 / 255, rtol=0)
        assert float((crops - exact).abs().mean()) < 0.3 / 255, "rounded to bytes, and no more"
    assert float((found[0] - found[1]).abs().mean()) < 0.25 / 255, "one and the other round alike, nearly everywhere"
    assert torch.equal(found[0][0], exact[0])
    wide = resized_crop(photos, boxes, (20, 30))
    assert wide.shape == (4, 3, 20, 30)
    at_once = crops_at_once(held, starts, sizes, boxes, (20, 30))
    assert int((wide.int() - at_once.int()).abs().max()) <= 1


def test_mean_and_deviation_are_those_of_what_is_seen(folder: Path) -> None:
    data = load_photos(folder, size=64)
    seen = as_float(data.train.images).double()
    assert data.mean == pytest.approx(seen.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert data.std == pytest.approx(seen.std((0, 2, 3), correction=0).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "kept"),
    [(256, 256, (256, 256)), (100, 200, (256, 512)), (4000, 3000, (341, 256)), (50, 5000, (256, 1024))],
)
def test_what_is_kept_of_a_photo(height: int, width: int, kept: tuple[int, int]) -> None:
    assert photo_frame(224).kept(height, width) == kept
