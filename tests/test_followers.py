"""Masks and boxes beside an image: they go where it goes."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F
from transforms_for_tests import IMAGE, boxes, trial_with

from autoaug.ops import OPS
from autoaug.policy import Fixed, PolicyTree, apply, policy_tree, sequence
from autoaug.trial._dataset import reading

MOVED = [name for name, op in OPS.items() if op.matrix or op.moves]
SQUARE = (12, 20, 22, 30)
"""Edges of a square, x and y first, of which a movement loses nothing."""


def square(edges: tuple[int, int, int, int] = SQUARE, size: tuple[int, int] = (32, 48)) -> Tensor:
    left, top, right, bottom = edges
    image = torch.zeros(1, *size)
    image[:, top:bottom, left:right] = 1
    return image


def together(tree: PolicyTree, index: int = 0, compose: bool = False, edges: Any = SQUARE) -> tuple[Tensor, ...]:
    """A white square, the mask of it, and its box, through a policy."""
    transform = trial_with(Fixed(tree, compose=compose)).transform
    image, mask = tv_tensors.Image(square(edges)), tv_tensors.Mask(square(edges)[0].to(torch.uint8))
    with reading(index):
        out, moved, box = transform(image, mask, boxes([[float(edge) for edge in edges]]))
    return out[0].as_subclass(Tensor), moved.as_subclass(Tensor), box[0].as_subclass(Tensor)


def hull(mask: Tensor) -> Tensor:
    """The edges of what is not zero in a mask."""
    rows, columns = mask.nonzero().unbind(1)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_the_table_says_what_moves_pixels() -> None:
    """A pixel that changes changes pixels about itself, unless a row says that it moves them."""
    images = torch.full((1, 3, 32, 48), 0.45)
    images[:, :, ::3] += 0.1
    images[:, :, 0, 0], images[:, :, -1, -1] = 0.0, 1.0  # nothing is left to stretch
    for op in OPS.values():
        moves = bool(op.matrix or op.moves or op.bends)
        far = 0.0
        for seed in range(3):
            before, after = (
                op(each, torch.ones(1), Generator().manual_seed(seed)) for each in (images, touched(images))
            )
            change = (after - before).abs().sum((0, 1)).double()
            if change.max() > 0.02:
                rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
                big = change * (change > 0.3 * change.max())
                place = torch.stack([(rows * big).sum(), (columns * big).sum()]) / big.sum()
                far = max(far, float((place - torch.tensor([8, 13])).norm()))
        moves = moves or op.name == "jpeg"  # within its blocks of 8
        assert (far > 0.6) == moves, f"{op.name} moves a pixel by {far:g}"


def touched(images: Tensor) -> Tensor:
    images = images.clone()
    images[:, :, 8, 13] += 0.2
    return images


@pytest.mark.parametrize("name", ["hflip", "vflip", "crop"])
@pytest.mark.parametrize("index", range(4))
def test_a_mask_equals_its_image_where_whole_pixels_move(name: str, index: int) -> None:
    image, mask, box = together(policy_tree(apply(name)), index, edges=(20, 10, 26, 19))
    assert torch.equal(image, mask.float())
    assert box.tolist() == hull(mask).tolist()


@pytest.mark.parametrize(("name", "size"), [("translate_x", 48), ("translate_y", 32)])
@pytest.mark.parametrize("pixels", [-5, 3])
def test_a_translation_by_whole_pixels_is_exact(name: str, size: int, pixels: int) -> None:
    amount = pixels / size
    tree = policy_tree(apply(name, amount / (OPS[name].most or 0), mirror=False))
    image, mask, box = together(tree, edges=(12, 10, 22, 20))
    axis = 1 if name == "translate_x" else 0
    wanted = square((12, 10, 22, 20))[0].roll(pixels, axis)
    assert torch.equal(mask, wanted.to(torch.uint8))
    torch.testing.assert_close(image, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(box, hull(wanted).float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("compose", [False, True], ids=["in turn", "composed"])
@pytest.mark.parametrize("index", range(6))
def test_masks_and_boxes_go_where_their_image_goes(index: int, compose: bool) -> None:
    """All movements in turn, with operations between them that draw for themselves."""
    noisy = [apply("gaussian_noise", 0.01), apply("cutout", 0.01), apply("invert"), apply("invert")]
    movers = [apply(name, (0.0, 0.4), 0.6) if OPS[name].most else apply(name, probability=0.6) for name in MOVED]
    tree = policy_tree(sequence([noisy[0], *movers, *noisy[1:], apply("crop")]))
    image, mask, box = together(tree, index, compose, edges=(14, 6, 34, 26))
    assert mask.sum() > 100
    off = ((image > 0.5) != mask.bool()).float().mean()
    assert off < 0.05
    assert (hull(image > 0.5) - box)[[0, 1]].min() > -2.5  # the box is around it
    assert (box - hull(image > 0.5))[[2, 3]].min() > -2.5


def test_an_own_draw_after_another_one_is_that_of_the_image() -> None:
    """The generator of a crop has served other operations before."""
    tree = policy_tree(sequence([apply("gaussian_noise", 0.001), apply("random_erasing", 0.01), apply("crop")]))
    places = set()
    for index in range(8):
        image, mask, box = together(tree, index)
        assert hull(mask).tolist() == box.tolist() == hull(image > 0.5).tolist()
        places.add(tuple(box.tolist()))
    assert len(places) > 4


def movement(name: str, amount: float) -> dict[str, Any]:
    """The arguments of torchvision's `affine` for one of our operations."""
    still = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]}
    tilt = math.degrees(math.atan(amount))
    ours: dict[str, dict[str, Any]] = {
        "rotate": {"angle": -amount},
        "translate_x": {"translate": [48 * amount, 0.0]},
        "translate_y": {"translate": [0.0, 32 * amount]},
        "shear_x": {"shear": [tilt, 0.0]},
        "shear_y": {"shear": [0.0, tilt]},
        "zoom": {"scale": math.exp(amount)},
    }
    return still | ours[name]


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.matrix and name not in ("zoom_x", "zoom_y")])
@pytest.mark.parametrize("strength", [-0.9, 0.37])
def test_boxes_and_masks_are_those_of_torchvision(name: str, strength: float, rng: Generator) -> None:
    amount = strength * (OPS[name].most or 0)
    transform = trial_with(policy_tree(apply(name, strength, mirror=False))).transform
    given = boxes([[3.0, 2.0, 20.0, 11.0], [40.0, 5.0, 47.5, 30.0], [0.0, 0.0, 48.0, 32.0]])
    labels = tv_tensors.Mask(torch.randint(5, (32, 48), generator=rng).repeat_interleave(4, 0)[:32])
    _, found, mask = transform(IMAGE, given, labels)
    torch.testing.assert_close(found, F.affine(given, **movement(name, amount)), atol=1e-3, rtol=0)
    assert (mask != F.affine(labels, **movement(name, amount))).float().mean() < 0.01  # where two values are as near


@pytest.mark.parametrize("strength", [-0.9, 0.37])
@pytest.mark.parametrize(("name", "axis"), [("zoom_x", 0), ("zoom_y", 1)])
def test_boxes_and_masks_of_one_axis_by_hand(name: str, axis: int, strength: float) -> None:
    """torchvision's affine has one scale for both axes."""
    factor = math.exp(strength * (OPS[name].most or 0))
    transform = trial_with(policy_tree(apply(name, strength, mirror=False))).transform
    edges = (15.0, 10.0, 30.0, 23.0)
    mask = tv_tensors.Mask(square((15, 10, 30, 23))[0].to(torch.uint8))
    _, found, moved = transform(IMAGE, boxes([list(edges)]), mask)
    middle = (24.0, 16.0)[axis]
    wanted = torch.tensor(
        [middle + factor * (edge - middle) if k % 2 == axis else edge for k, edge in enumerate(edges)]
    )
    torch.testing.assert_close(found[0].as_subclass(Tensor), wanted, atol=1e-4, rtol=0)
    assert (hull(moved) - wanted).abs().max() <= 0.5 + 1e-4, "whole pixels, the nearest ones"


def test_a_rotated_box_by_hand() -> None:
    transform = trial_with(policy_tree(apply("rotate", 1.0, mirror=False))).transform  # by 30 degrees
    size = (40, 60)
    _, out = transform(torch.zeros(3, *size), boxes([[35.0, 25.0, 45.0, 30.0]], size))
    angle = math.radians(30)
    right, down = zip(*[(x, y) for x in (5, 15) for y in (5, 10)], strict=True)  # from the centre
    x = [math.cos(angle) * a + math.sin(angle) * b for a, b in zip(right, down, strict=True)]  # y points down
    y = [-math.sin(angle) * a + math.cos(angle) * b for a, b in zip(right, down, strict=True)]
    wanted = [30 + min(x), 20 + min(y), 30 + max(x), 20 + max(y)]
    torch.testing.assert_close(out[0].as_subclass(Tensor), torch.tensor(wanted), atol=1e-4, rtol=0)


@pytest.mark.parametrize("format", ["XYXY", "XYWH", "CXCYWH"])
def test_boxes_keep_format_and_type(format: str) -> None:
    transform = trial_with(policy_tree(apply("hflip"))).transform
    given = F.convert_bounding_box_format(boxes([[2, 4, 8, 10], [40, 0, 48, 32]]), new_format=format)
    _, out = transform(IMAGE, given)
    assert (out.format, out.canvas_size, out.dtype) == (given.format, given.canvas_size, torch.int64)
    assert F.convert_bounding_box_format(out, new_format="XYXY").tolist() == [[40, 4, 46, 10], [0, 0, 8, 32]]


def test_a_box_that_leaves_is_empty_and_no_box_stays_none() -> None:
    tree = policy_tree(sequence([apply("translate_x", 1.0, mirror=False), apply("translate_x", -1.0, mirror=False)]))
    transform = trial_with(tree).transform
    _, out = transform(IMAGE, boxes([[40.0, 1.0, 44.0, 9.0]]))
    assert out[0, 2] - out[0, 0] == pytest.approx(0)  # it does not come back, and neither does the image
    assert transform(IMAGE, boxes(torch.zeros(0, 4)))[1].shape == (0, 4)
    composed = trial_with(Fixed(tree, compose=True)).transform(IMAGE, boxes([[40.0, 1.0, 44.0, 9.0]]))[1]
    torch.testing.assert_close(composed[0].as_subclass(Tensor), torch.tensor([40.0, 1.0, 44.0, 9.0]))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32], ids=str)
@pytest.mark.parametrize("leading", [(), (1,), (3,), (0,)], ids=str)
def test_masks_keep_their_values(dtype: torch.dtype, leading: tuple[int, ...], rng: Generator) -> None:
    values = torch.randint(2, (*leading, 32, 48), generator=rng) * (2**40 + 1 if dtype == torch.int64 else 1)
    mask = tv_tensors.Mask(values.to(dtype))
    _, out = trial_with(policy_tree(apply("rotate", 0.7))).transform(IMAGE, mask)
    assert (out.shape, out.dtype, type(out)) == (mask.shape, dtype, tv_tensors.Mask)
    assert set(out.unique().tolist()) <= {0, *mask.unique().tolist()}


def test_colours_leave_masks_and_boxes() -> None:
    names = [name for name, op in OPS.items() if not (op.matrix or op.moves or op.bends)]
    mask = tv_tensors.Mask(square()[0])
    _, out, box = trial_with(policy_tree(sequence([apply(name) for name in names]))).transform(
        IMAGE, mask, boxes([SQUARE])
    )
    assert torch.equal(out, mask)
    assert box.tolist() == [list(SQUARE)]
