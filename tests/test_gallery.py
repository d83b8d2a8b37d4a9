"""Galleries: pictures, captions and flags are of one and the same draws, and of training images alone."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from policies_for_tests import EVERYTHING, READY
from torch import Generator, Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from autoaug.data import Data, Split, corrupted, load_data, tensors
from autoaug.gallery import Allowance, Sheets, allowance, caption, draw_sheets, picture, sheets_of
from autoaug.gallery._drawing import by_epoch, choose, evenly
from autoaug.gallery._limits import DRAWS, EPOCHS, MOST_BYTES, MOST_CELLS, MOST_STRATEGIES, ROWS, SIDE
from autoaug.ops import RANGES
from autoaug.policy import Applied, Fixed, PolicyTree, applied, apply, choice, policy_tree, ready, schedule, sequence
from autoaug.store import Store, delete_study, gallery_of, keep_sheets, pictures_of
from autoaug.store._schema import GALLERIES
from autoaug.testing import eight_bit, photographs

MUCH = Allowance(EPOCHS, MOST_BYTES)
NESTED = policy_tree(
    sequence(
        [
            choice([(1, apply("rotate", (0.1, 1.0))), (1, sequence([apply("cutout", 0.5), apply("equalize")]))]),
            apply("posterize", 0.5, probability=0.5),
            choice([(1, sequence()), (2, apply("brightness", 0.7, most=0.5))]),
        ]
    )
)


def dataset(count: int = 24, size: int = 16, channels: int = 3, classes: int = 3) -> Data:
    """Images of which a quarter are to validate on and a quarter to test on."""
    images = eight_bit(photographs(count, channels, size, size))
    targets = torch.arange(count) % classes
    half, most = count // 2, 3 * count // 4
    parts = [(images[part], targets[part]) for part in (slice(half), slice(half, most), slice(most, count))]
    return load_data(tensors(*parts), test=True)


def opened(content: bytes) -> Tensor:
    return pil_to_tensor(Image.open(io.BytesIO(content)))


def cell(canvas: Tensor, row: int, column: int, size: int = SIDE) -> Tensor:
    return canvas[:, row * size : (row + 1) * size, column * size : (column + 1) * size]


@pytest.mark.parametrize("tree", [*READY.values(), EVERYTHING, NESTED])
def test_images_and_generator_are_those_of_the_policy(tree: PolicyTree) -> None:
    images, one, two = photographs(), Generator().manual_seed(5), Generator().manual_seed(5)
    policy = Fixed(tree)
    seen, met = applied(policy, images, one)
    assert torch.equal(seen, policy(images, two))
    assert torch.equal(one.get_state(), two.get_state())
    assert len(met) == len(images)


def test_what_is_said_to_be_applied_gives_the_same_pixels_one_by_one() -> None:
    """But for operations that draw themselves, whose pixels no amount tells."""
    ops = RANGES["autoaugment"]
    still = [name for name, op in ops.items() if not op.random]
    tree = policy_tree(
        sequence([choice([(1, apply(name, (0.2, 0.9), mirror=ops[name].signed)) for name in still])] * 2)
    )
    images = photographs(160, height=12, width=10)
    seen, met = applied(Fixed(tree), images, Generator().manual_seed(1))
    assert {each.op for row in met for each in row} == set(still)
    assert any((each.amount or 0) < 0 for row in met for each in row)
    for image, row, expected in zip(images.split(1), met, seen, strict=True):
        for each in row:
            image = ops[each.op].at(image, torch.tensor([each.amount or 0.0]))
        torch.testing.assert_close(image[0], expected, atol=1e-6, rtol=0)


def test_an_own_largest_amount_and_a_probability_are_what_is_told() -> None:
    images = photographs(40)
    _, met = applied(Fixed(NESTED), images, Generator().manual_seed(0))
    told = [each for row in met for each in row]
    assert Applied("brightness", pytest.approx(0.35), "factor - 1") in told
    assert Applied("equalize", None, "") in told
    posterized = [row for row in met if any(each.op == "posterize" for each in row)]
    assert 8 < len(posterized) < 32
    order = [each.op for each in max(met, key=len)]
    assert order == ["cutout", "equalize", "posterize", "brightness"]


@pytest.mark.parametrize(
    ("op", "amount", "words"),
    [
        ("rotate", -13.2, "rotate −13°"),
        ("rotate", -0.1, "hardly anything"),
        ("shear_x", -0.004, "hardly anything"),
        ("sharpness", 0.01, "hardly anything"),
        ("posterize", 0.4, "hardly anything"),
        ("brightness", 0.3, "brightness ×1.3"),
        ("translate_x", -0.121, "translate x −12 %"),
        ("shear_y", 0.25, "shear y 0.25"),
        ("equalize", None, "equalize"),
        ("posterize", 2.9, "posterize to 5 bits"),
        ("hue", 0.25, "hue 90°"),
        ("gaussian_noise", 0.123, "gaussian noise 0.12 standard deviation"),
        ("zoom", -0.2231, "zoom ×0.8"),
    ],
)
def test_a_caption_has_the_physical_amount(op: str, amount: float | None, words: str) -> None:
    assert caption([Applied(op, amount, RANGES["extended"][op].unit)]) == words


def test_what_rounds_to_nothing_is_left_out() -> None:
    assert caption([]) == "nothing"
    assert caption([Applied("rotate", 0.2, "degrees"), Applied("invert", None, "")]) == "invert"


@pytest.mark.parametrize("ranges", RANGES)
def test_every_operation_has_words(ranges: str) -> None:
    for op in RANGES[ranges].values():
        words = caption([Applied(op.name, op.most, op.unit)])
        assert words.startswith(op.name.replace("_", " "))
        assert (words == op.name.replace("_", " ")) == (op.most is None)


def test_a_sheet_holds_what_its_captions_say() -> None:
    data = dataset()
    sheets, pictures = draw_sheets(policy_tree(apply("invert", probability=0.5)), data, MUCH, 0)
    assert sheets.images is not None
    assert (sheets.images.classes, sheets.images.width, sheets.images.height) == (("0", "1", "2"), SIDE, SIDE)
    originals, (sheet,) = opened(pictures[sheets.images.picture]), sheets.by_epoch
    canvas = opened(pictures[sheet.picture])
    assert canvas.shape == (3, 3 * SIDE, DRAWS * SIDE)
    captions = [each.caption for row in sheet.cells for each in row]
    assert set(captions) == {"invert", "nothing"}
    for y, row in enumerate(sheet.cells):
        original = cell(originals, y, 0)
        assert torch.equal(original, data.train.images[y].repeat_interleave(8, 1).repeat_interleave(8, 2))
        for x, each in enumerate(row):
            assert torch.equal(cell(canvas, y, x), 255 - original if each.caption == "invert" else original)


def test_a_second_making_is_equal_byte_for_byte_and_another_seed_is_not() -> None:
    tree, data = ready.trivialaugment(), dataset()
    assert draw_sheets(tree, data, MUCH, 3) == draw_sheets(tree, data, MUCH, 3)
    assert draw_sheets(tree, data, MUCH, 3) != draw_sheets(tree, data, MUCH, 4)


def test_only_training_images_are_shown() -> None:
    """Those of the other splits are white, and no white is in the pictures."""
    grey, white = torch.full((12, 1, 8, 8), 100, dtype=torch.uint8), torch.full((12, 1, 8, 8), 255, dtype=torch.uint8)
    targets = torch.arange(12) % 3
    data = load_data(tensors((grey, targets), (white, targets), (white, targets)), test=True)
    sheets, pictures = draw_sheets(policy_tree(sequence()), data, MUCH, 0)
    assert len(pictures) == 2
    for content in pictures.values():
        assert opened(content).unique().tolist() == [100]
    assert [each.caption for row in sheets.by_epoch[0].cells for each in row] == ["nothing"] * 9


def test_classes_are_evenly_spaced_and_their_own() -> None:
    assert choose(dataset(40, classes=10)).targets == [0, 2, 4, 5, 7, 9]
    assert [evenly(count, 6) for count in (1, 2, 6, 7)] == [[0], [0, 1], [0, 1, 2, 3, 4, 5], [0, 1, 2, 4, 5, 6]]
    images, targets = eight_bit(photographs(60, 1, 4, 4)), torch.arange(60) % 3
    wrong = load_data(corrupted(tensors((images, targets)), 0.9))
    assert wrong.pool is not None
    assert not torch.equal(wrong.pool.targets, wrong.pool.learned)
    chosen = choose(wrong)
    for image, target in zip(chosen.images, chosen.targets, strict=True):
        (index,) = ((images / 255 - image).abs().amax((1, 2, 3)) < 1e-6).nonzero().flatten().tolist()
        assert targets[index] == target


def test_policies_that_move_are_shown_in_evenly_spaced_epochs_with_the_same_random_numbers() -> None:
    tree = policy_tree(schedule((epoch, apply("rotate", epoch / 20)) for epoch in range(1, 21)))
    assert list(by_epoch(tree, 6)) == [1, 5, 9, 12, 16, 20]
    assert list(by_epoch(tree, 1)) == [20]
    sheets, _ = draw_sheets(tree, dataset(), MUCH, 0)
    signs = []
    for sheet in sheets.by_epoch:
        assert sheet.epoch is not None
        amounts = [each.caption.removeprefix("rotate ") for row in sheet.cells for each in row]
        assert {amount.lstrip("−") for amount in amounts} == {f"{round(1.5 * sheet.epoch)}°"}
        signs.append([amount.startswith("−") for amount in amounts])
    assert signs == signs[:1] * 6
    assert True in signs[0]
    assert False in signs[0]


def test_a_sure_mistake_of_the_network_is_doubted_and_others_are_not() -> None:
    def logits(images: Tensor) -> Tensor:
        """Sees class 2 wherever the first pixels are dark, and is unsure or right elsewhere."""
        dark = images.mean((1, 2, 3)) < 0.1
        return torch.stack([torch.zeros(len(images)), torch.zeros(len(images)), 5.0 * dark], 1)

    bright = torch.full((12, 1, 8, 8), 250, dtype=torch.uint8)
    data = load_data(tensors(*[(bright, torch.arange(12) % 3)] * 3))
    sheets, _ = draw_sheets(policy_tree(apply("invert", probability=0.5)), data, MUCH, 0, logits=logits)
    assert sheets.checked
    confidence = torch.tensor([0.0, 0, 5]).softmax(0)[2].item()
    for row, name in zip(sheets.by_epoch[0].cells, "012", strict=True):
        for each in row:
            if each.caption == "invert" and name != "2":
                assert each.doubt is not None
                assert (each.doubt.predicted, each.doubt.confidence) == ("2", pytest.approx(confidence, abs=1e-4))
            else:
                assert each.doubt is None
    assert any(each.doubt for row in sheets.by_epoch[0].cells for each in row)
    assert not draw_sheets(policy_tree(sequence()), data, MUCH, 0)[0].checked


@pytest.mark.parametrize(
    ("shape", "size"), [((8, 8), (128, 128)), ((32, 32), (128, 128)), ((50, 40), (100, 80)), ((300, 200), (128, 85))]
)
def test_small_images_are_enlarged_by_a_whole_number_and_photos_made_small(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    data = dataset()
    split = Split(eight_bit(photographs(3, 1, *shape)), torch.arange(3))
    sheets, pictures = draw_sheets(policy_tree(sequence()), replace(data, train=split), MUCH, 0)
    assert sheets.images is not None
    assert (sheets.images.height, sheets.images.width) == size
    assert opened(pictures[sheets.by_epoch[0].picture]).shape == (3, 3 * size[0], DRAWS * size[1])


@pytest.mark.parametrize("strategies", [1, 2, 5, 8, 12, 40])
def test_a_gallery_is_bounded(strategies: int) -> None:
    for moving in range(strategies + 1):
        allowed = allowance(strategies, moving)
        assert allowed is not None
        shown = min(strategies, MOST_STRATEGIES)
        sheets = shown + min(moving, shown) * (allowed.epochs - 1)
        assert shown * ROWS + sheets * ROWS * DRAWS <= MOST_CELLS
        assert shown * allowed.bytes <= MOST_BYTES
        assert 1 <= allowed.epochs <= EPOCHS
    assert allowance(0, 0) is None


@pytest.mark.parametrize(("strategies", "moving"), [(4, 4), (12, 0)])
def test_even_noise_has_room(strategies: int, moving: int) -> None:
    """There is nothing that WebP makes less small."""
    noise = torch.randint(256, (12, 3, SIDE, SIDE), dtype=torch.uint8, generator=Generator().manual_seed(0))
    data, allowed = load_data(tensors(*[(noise, torch.arange(12) % 6)] * 3)), allowance(strategies, moving)
    assert allowed is not None
    steps = [(epoch, apply("invert", probability=epoch / 10)) for epoch in range(1, 10 if moving else 2)]
    _, pictures = draw_sheets(policy_tree(schedule(steps)), data, allowed, 0)
    assert sum(map(len, pictures.values())) <= allowed.bytes


def test_what_is_no_picture_is_said_and_not_shown() -> None:
    for kind in ("features", "spectrograms"):
        sheets, pictures = draw_sheets(ready.none(), replace(dataset(), kind=kind), MUCH, 0)
        assert sheets == Sheets(None, note=f"{kind} are no pictures, and are not shown")
        assert not pictures


def test_a_gallery_survives_being_made_plain() -> None:
    sheets, pictures = draw_sheets(READY["randaugment"], dataset(), MUCH, 0, logits=lambda images: 9 * torch.eye(9, 3))
    assert any(each.doubt for row in sheets.by_epoch[0].cells for each in row)
    assert sheets_of(sheets.plain()) == sheets
    assert sheets.pictures == set(pictures)


def without(plain: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in plain.items() if key != name}


def test_what_is_no_gallery_is_refused() -> None:
    plain = draw_sheets(READY["none"], dataset(), MUCH, 0)[0].plain()
    with pytest.raises(ValueError, match="no gallery, or one of another version: 'note'"):
        sheets_of(without(plain, "note"))
    with pytest.raises(ValueError, match="no gallery"):
        sheets_of({**plain, "images": {"colour": 1, "classes": []}})
    for name in ("../../secret.webp", "/etc/passwd", "a" * 32 + ".webp\n", "A" * 32 + ".webp"):
        with pytest.raises(ValueError, match="that is no name of one"):
            sheets_of({**plain, "images": {**plain["images"], "picture": name}})


def test_grey_images_are_pictures_of_three_equal_channels() -> None:
    levels = pil_to_tensor(picture(torch.full((1, 2, 2), 0.4)))
    assert levels.shape == (3, 2, 2)
    assert levels.unique().tolist() == [102]


DEFINITION = {"task": {}, "metric": "val_accuracy", "seed": 0, "spaces": {"a": {}, "b": {}}}


def kept(store: Store, folder: Path, name: str = "s", strategy: str = "a", seed: int = 0) -> dict[str, bytes]:
    """The pictures of a gallery that was kept."""
    sheets, pictures = draw_sheets(READY["trivialaugment"], dataset(6), MUCH, seed)
    keep_sheets(store, name, strategy, sheets, pictures, folder)
    return pictures


def test_a_gallery_is_kept_beside_its_study(store: Store, tmp_path: Path) -> None:
    assert gallery_of(store, "s") is None
    pictures = kept(store, tmp_path)
    gallery = gallery_of(store, "s")
    assert gallery is not None
    assert gallery.strategies["a"].pictures == set(pictures)
    for name, content in pictures.items():
        assert name in gallery
        assert pictures_of(store, "s", [name])[name] == content


@pytest.mark.parametrize("name", ["../x.webp", "/etc/passwd", "", "0" * 32 + ".webp", "secret.webp"])
def test_nothing_is_read_but_what_a_gallery_names(name: str, store: Store, tmp_path: Path) -> None:
    kept(store, tmp_path)
    for folder in (tmp_path, *tmp_path.glob("s/gallery/*")):
        (folder / "secret.webp").write_bytes(b"secret")
    with pytest.raises(KeyError, match=r"no picture .* in the gallery of s"):
        pictures_of(store, "s", [name])[name]


def test_pictures_that_are_elsewhere_are_said_to_be(store: Store, tmp_path: Path) -> None:
    name = next(iter(kept(store, tmp_path)))
    (path,) = tmp_path.glob(f"s/gallery/*/{name}")
    path.write_bytes(b"another")
    with pytest.raises(OSError, match="is not what was written"):
        pictures_of(store, "s", [name])[name]
    (tmp_path / "s").rename(tmp_path / "away")
    with pytest.raises(OSError, match=rf"at {tmp_path}, and cannot be read from here \(No such file .*--artif"):
        pictures_of(store, "s", [name])[name]


def folders(root: Path) -> int:
    return len([*root.glob("s/gallery/*")])


def test_an_archived_study_keeps_its_gallery_and_a_deleted_one_takes_it_along(store: Store, tmp_path: Path) -> None:
    store.define("s", DEFINITION)
    first = kept(store, tmp_path)
    assert store.archive("s") == "s~1"
    assert gallery_of(store, "s") is None
    second = kept(store, tmp_path, seed=1)
    for name, pictures in (("s~1", first), ("s", second)):
        for picture_name, content in pictures.items():
            assert pictures_of(store, name, [picture_name])[picture_name] == content
    assert folders(tmp_path) == 2
    delete_study(store, "s")
    assert gallery_of(store, "s") is None
    assert folders(tmp_path) == 1
    assert gallery_of(store, "s~1") is not None
    delete_study(store, "s~1")
    assert folders(tmp_path) == 0


def test_what_another_study_names_stays_when_one_is_deleted(store: Store, tmp_path: Path) -> None:
    store.define("s", DEFINITION)
    pictures = kept(store, tmp_path)
    store.archive("s")
    assert kept(store, tmp_path) == pictures
    delete_study(store, "s~1")
    assert all(pictures_of(store, "s", [name])[name] == content for name, content in pictures.items())


def test_a_second_making_takes_the_place_of_the_first(store: Store, tmp_path: Path) -> None:
    kept(store, tmp_path)
    pictures = kept(store, tmp_path, seed=1)
    assert folders(tmp_path) == 1
    kept(store, tmp_path, strategy="b", seed=1)
    assert folders(tmp_path) == 2
    assert all(pictures_of(store, "s", [name])[name] == content for name, content in pictures.items())


def test_a_row_leads_nowhere_but_into_a_gallery(store: Store, tmp_path: Path) -> None:
    """Others may write into a storage."""
    name = next(iter(kept(store, tmp_path)))
    (tmp_path / "precious").mkdir()
    for folder, making in (("s", ".."), ("..", "0" * 16), ("s", "../../precious")):
        with store.engine.begin() as connection:
            connection.execute(GALLERIES.update().values(folder=folder, making=making))
        with pytest.raises(OSError, match="cannot be read from here"):
            pictures_of(store, "s", [name])[name]
        kept(store, tmp_path, seed=2)
    assert (tmp_path / "precious").exists()
