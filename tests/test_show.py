"""Contact sheets: every cell holds what its row and its column say."""

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFont
from torch import Generator, Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from autoaug.cli._show import CAPTION, GAP, HEAD, LABEL, LINE, PLAIN, STRENGTHS, op_sheet, paste, sheet, wrapped
from autoaug.data import DataError, read_images, sample_images
from autoaug.ops import OPS, RANGES
from autoaug.policy import Fixed, apply, policy_tree, ready, sequence
from autoaug.testing import photographs

SIZE = 16


def cell(picture: Image.Image, row: int, column: int, left: int, under: int = 0) -> Tensor:
    """A cell [3, SIZE, SIZE] in [0, 1], with so many pixels for what stands under it."""
    x, y = left + column * (SIZE + GAP), HEAD + row * (SIZE + GAP + under)
    return pil_to_tensor(picture.crop((x, y, x + SIZE, y + SIZE))) / 255


def images(count: int = 2) -> Tensor:
    return (photographs(count, height=SIZE, width=SIZE) * 255).round() / 255


def test_a_sheet_shows_each_image_and_what_the_policy_makes_of_it(rng: Generator) -> None:
    picture = sheet(Fixed(policy_tree(apply("invert"))), images(), 3, rng)
    assert picture.size == (GAP + 4 * (SIZE + GAP), HEAD + 2 * (SIZE + GAP + LINE))
    for row, image in enumerate(images()):
        torch.testing.assert_close(cell(picture, row, 0, GAP, LINE), image)
        for column in (1, 2, 3):
            torch.testing.assert_close(cell(picture, row, column, GAP, LINE), 1 - image)


def test_what_was_applied_stands_under_each_draw(rng: Generator) -> None:
    """In lines that are not wider than the picture, unless a word is."""
    white = torch.ones(1, 3, 64, 64)
    tree = policy_tree(sequence([apply("rotate", 0.5), apply("translate_x", 0.0), apply("equalize")]))
    picture = sheet(Fixed(tree), white, 2, rng)
    under = [pil_to_tensor(picture.crop((x, HEAD + 64, x + 64, picture.height - GAP))) for x in (GAP, 2 * GAP + 64)]
    assert under[0].min() == 255, "the image itself has none"
    assert (under[1].amin((0, 2)) < 128).unflatten(0, (-1, LINE)).any(1).all(), "every line is written"
    font = ImageFont.load_default(CAPTION)
    box, absent = font.getmask, bytes(font.getmask("\u2212"))
    assert all(bytes(box(sign)) != absent for sign in "×−".translate(PLAIN) + "°%"), "the font has these"
    lines = wrapped("translate x 12 % of the width, equalize", 64, font)
    assert " ".join(lines) == "translate x 12 % of the width equalize"
    assert lines[-1] == "equalize"
    assert all(font.getlength(line) <= 64 for line in lines)
    assert wrapped("", 64, font) == []


def test_the_draws_of_a_sheet_differ_and_can_be_repeated() -> None:
    policy = Fixed(ready.trivialaugment())
    one, two, other = (sheet(policy, images(), 4, Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()
    cells = torch.stack([cell(one, 0, column, GAP) for column in range(1, 5)])
    assert len(cells.flatten(1).unique(dim=0)) == 4


@pytest.mark.parametrize("ranges", RANGES)
def test_a_sheet_of_operations_shows_each_at_each_strength(ranges: str, rng: Generator) -> None:
    picture = op_sheet(images(), rng, ranges=ranges)
    columns = len(STRENGTHS) * 2
    assert picture.size == (LABEL + columns * (SIZE + GAP), HEAD + len(OPS) * (SIZE + GAP))
    for row, op in enumerate(RANGES[ranges].values()):
        for k, strength in enumerate(STRENGTHS):
            made = op(images(), torch.full((2,), strength), rng.clone_state())
            for which, image in enumerate(made):
                shown = cell(picture, row, which * len(STRENGTHS) + k, LABEL)
                assert (shown - image).abs().max() < 0.51 / 255, f"{op.name} at {strength}"


def test_labels_are_written(rng: Generator) -> None:
    picture = op_sheet(images(1), rng, strengths=(0.0, 1.0))
    for row in range(len(OPS)):
        y = HEAD + row * (SIZE + GAP)
        assert pil_to_tensor(picture.crop((0, y, LABEL, y + SIZE))).min() < 100
    assert pil_to_tensor(picture.crop((LABEL, 0, picture.width, HEAD))).min() < 100


def test_labels_do_not_run_into_the_pictures(rng: Generator) -> None:
    white = torch.ones(1, 3, 32, 32)
    picture = op_sheet(white, rng, strengths=(0.0,))
    for row, op in enumerate(OPS.values()):
        if op.most is not None:
            y = HEAD + row * (32 + GAP)
            assert pil_to_tensor(picture.crop((LABEL - GAP, y, LABEL, y + 32))).min() == 255, op.name


def test_grey_images_are_shown_too() -> None:
    picture = paste(torch.full((1, 1, 1, SIZE, SIZE), 0.4), [""], ["x"])
    assert torch.equal(cell(picture, 0, 0, GAP), torch.full((3, SIZE, SIZE), 102) / 255)


def test_unknown_ranges_answer_with_the_known_ones(rng: Generator) -> None:
    with pytest.raises(ValueError, match="unknown ranges 'wild': did you mean 'wide'"):
        op_sheet(images(), rng, ranges="wild")


def test_the_sample_images_are_two_photographs() -> None:
    found = sample_images(48)
    assert found.shape == (2, 3, 48, 48)
    assert 0 <= found.min() < found.max() <= 1
    assert found.flatten(1).std(1).min() > 0.1


def test_images_of_a_folder_come_by_name_and_are_cut_to_squares(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (20, 30), "red").save(tmp_path / "b.png")
    Image.new("L", (9, 9), 51).save(tmp_path / "a.png")
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "deep" / "c.png")
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_images(tmp_path, 8)
    colours = [[0.2, 0.2, 0.2], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    torch.testing.assert_close(found, torch.tensor(colours)[:, :, None, None].expand(3, 3, 8, 8))
    assert len(read_images(tmp_path, 8, most=2)) == 2


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images in .*: put some there \(.*\.bmp, "):
        read_images(tmp_path, 8)
    with pytest.raises(DataError, match=r"no folder of images at .*nowhere'"):
        read_images(tmp_path / "nowhere", 8)
