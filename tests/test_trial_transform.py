"""The transform of a trial: draws that depend on seed, epoch and index alone, and what goes with an image."""

import copy
import math
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from PIL import Image
from policies_for_tests import READY
from scipy.stats import chi2_contingency, chisquare
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from autoaug.mixing import MIXES
from autoaug.ops import OPS
from autoaug.policy import Fixed, Policy, PolicyError, PolicyTree, Warp, apply, choice, policy_tree, schedule, sequence
from autoaug.testing import eight_bit, photographs
from autoaug.train import NullLearner, Task
from autoaug.trial import Trial, records
from autoaug.trial._dataset import reading
from autoaug.trial._transform import digest

FEW_CORES = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")
BRIGHTNESS = policy_tree(apply("brightness", (0.1, 1.0)))
"""Every draw of it shows."""


class Learning(NullLearner):
    """A learner that says that it moves the policy."""

    moves_policy = True


class Pictures(Dataset[Any]):
    """The same picture under every index, through a transform."""

    def __init__(self, transform: Any, count: int = 12) -> None:
        self.transform, self.count = transform, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Tensor = self.transform(torch.full((1, 4, 4), 100, dtype=torch.uint8))
        return image, index


class Different(Pictures):
    """Another picture under every index."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Tensor = self.transform(torch.full((1, 4, 4), 80 + index, dtype=torch.uint8))
        return image, index


def trial_of(tree: PolicyTree | Policy, seed: int = 0, **more: Any) -> Trial:
    policy = Fixed(tree) if isinstance(tree, PolicyTree) else tree
    task = Task(data=None, refine_epochs=more.pop("refine_epochs", 0))
    return Trial({}, policy, MIXES["none"](), more.pop("learner", NullLearner()), task, seed, **more)


def shown(loader: DataLoader[Any]) -> list[Tensor]:
    """The images of an epoch, in the order of their index."""
    pairs = [(int(k), image) for images, indices in loader for image, k in zip(images, indices, strict=True)]
    return [image for _, image in sorted(pairs, key=lambda pair: pair[0])]


def epochs_of(loader: DataLoader[Any], trial: Trial, total: int = 2) -> Tensor:
    return torch.stack([torch.stack(shown(loader)) for _ in trial.epochs(total)])


def loaded(data: type[Pictures] = Pictures, wrapped: bool = True, seed: int = 0, **how: Any) -> Tensor:
    """The images of two epochs by index, [2, N, 1, 4, 4], read by a DataLoader."""
    trial = trial_of(BRIGHTNESS, seed)
    pictures = data(trial.transform)
    numbers = Generator().manual_seed(how.pop("order", 0))
    loader = DataLoader(trial.dataset(pictures) if wrapped else pictures, 5, generator=numbers, **how)
    return epochs_of(loader, trial)


# ---- draws ----


@FEW_CORES
@pytest.mark.parametrize(
    "how",
    [
        {"num_workers": 1},
        {"num_workers": 2, "shuffle": True},
        {"num_workers": 2, "persistent_workers": True, "shuffle": True, "order": 5},
        pytest.param(
            {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "spawn"}, marks=pytest.mark.slow
        ),
    ],
    ids=["1 worker", "2, shuffled", "2 persistent", "spawned"],
)
def test_draws_do_not_depend_on_the_workers(how: dict[str, Any]) -> None:
    assert torch.equal(loaded(**how), loaded(num_workers=0))


@FEW_CORES
@pytest.mark.parametrize("how", [{"num_workers": 2, "shuffle": True}, {"shuffle": True, "order": 5}], ids=str)
def test_what_an_image_holds_stands_for_its_index_where_nobody_says_it(how: dict[str, Any]) -> None:
    plain = loaded(Different, wrapped=False)
    assert torch.equal(loaded(Different, wrapped=False, **how), plain)
    assert not torch.equal(plain, loaded(Different))


def test_draws_differ_between_items_epochs_and_seeds() -> None:
    images = torch.cat([loaded(), loaded(seed=1)])
    assert len(images.flatten(2)[..., 0].unique()) > 40  # of 48 draws on 8-bit levels


def test_an_item_has_one_number_however_it_is_asked_for() -> None:
    trial = trial_of(BRIGHTNESS)
    data = trial.dataset(Pictures(trial.transform))
    image, _ = data[3]
    assert torch.equal(image, data[torch.tensor(3)][0])
    assert torch.equal(image, data[-9][0])
    assert torch.equal(image, Subset(data, [7, 3])[1][0])
    assert not torch.equal(image, data[4][0])


def test_two_views_of_an_item_differ_and_are_repeated() -> None:
    trial = trial_of(BRIGHTNESS)
    views = v2.Lambda(lambda image: torch.stack([trial.transform(image), trial.transform(image)]))
    data = trial.dataset(Pictures(views))
    first, second = data[3][0]
    assert not torch.equal(first, second)
    assert torch.equal(data[3][0], torch.stack([first, second]))


def test_all_operations_are_drawn_as_often_whatever_the_index_and_the_epoch() -> None:
    names = ("rotate", "invert", "hflip", "equalize", "solarize", "color")
    trial = trial_of(policy_tree(choice([(1.0, apply(name)) for name in names])))
    image, drawn = torch.zeros(3, 2, 2), []
    for _ in trial.epochs(2):
        for index in range(1500):
            with reading(index):
                drawn.append(int(trial.transform.make_params([image])["draws"].bucket))
    buckets = torch.tensor(drawn).view(2, -1) - 1
    assert chisquare(buckets.flatten().bincount(minlength=6)).pvalue > 1e-4
    pairs = {"epochs": buckets, "neighbours": torch.stack([buckets[:, :-1].flatten(), buckets[:, 1:].flatten()])}
    for pair in pairs.values():
        table = (6 * pair[0] + pair[1]).bincount(minlength=36).view(6, 6)
        assert chi2_contingency(table).pvalue > 1e-4  # one says nothing about the other


def test_keys_of_images_tell_what_differs() -> None:
    levels = eight_bit(photographs(1))[0]
    picture = F.to_pil_image(levels)
    held = [levels, levels.float(), levels.bfloat16(), levels.flip(2), levels.flatten(1)[:, None]]
    assert len({digest([each]) for each in held}) == len(held)
    assert digest([levels]) == digest([levels.clone()]) == digest([picture])
    assert digest([levels.transpose(1, 2)]) == digest([levels.transpose(1, 2).contiguous()])


# ---- epochs ----


def test_nothing_happens_while_refining() -> None:
    trial = trial_of(policy_tree(apply("invert")), refine_epochs=1)
    image, box = IMAGE, boxes([[1, 1, 2, 2]])
    for _ in trial.epochs(1):
        out, _ = trial.transform(image, box)
        assert torch.equal(out, image if trial.refining else 1 - image)
        assert (out is image) == trial.refining


@FEW_CORES
def test_a_schedule_and_refinement_reach_workers_that_live_on() -> None:
    trial = trial_of(policy_tree(schedule([(1, sequence()), (2, apply("invert"))])), refine_epochs=1)
    loader = DataLoader(Pictures(trial.transform, 2), generator=Generator(), num_workers=1, persistent_workers=True)
    levels = [int(shown(loader)[0].max()) for _ in trial.epochs(3)]
    assert levels == [100, 155, 155, 100]


def test_a_resumed_trial_goes_on_in_the_same_epoch() -> None:
    whole, late = trial_of(BRIGHTNESS), trial_of(BRIGHTNESS)
    seen = [torch.stack(shown(DataLoader(Pictures(whole.transform), generator=Generator()))) for _ in whole.epochs(3)]
    transform = late.transform
    late.begin(3, None, {})
    late.epoch = 1  # as a checkpoint leaves it
    late.enter_epoch()
    assert torch.equal(torch.stack(shown(DataLoader(Pictures(transform), generator=Generator()))), seen[1])


def test_a_loop_that_counts_its_epochs_itself_has_draws_of_each() -> None:
    trial = trial_of(BRIGHTNESS)

    def loop(trial: Trial) -> Iterator[Mapping[str, float]]:
        for _ in range(3):
            levels.append(trial.dataset(Pictures(trial.transform))[0][0].max().item())
            yield {"val_accuracy": 0.5}

    levels: list[float] = []
    assert [record.epoch for record in records(loop, trial)] == [1, 2, 3]
    assert len(set(levels)) == 3


def test_it_can_be_pickled_and_a_copy_hears_of_epochs() -> None:
    trial = trial_of(BRIGHTNESS)
    transform, image = trial.transform, photographs(1)[0]
    pickled = pickle.loads(pickle.dumps(transform))
    copied = copy.deepcopy(transform)
    assert torch.equal(pickled(image), transform(image))
    for _ in trial.epochs(1):
        assert torch.equal(copied(image), transform(image))
        assert not torch.equal(pickled(image), transform(image))  # it stays where it was


# ---- what is refused ----


def test_a_learner_refuses_it() -> None:
    with pytest.raises(ValueError, match=r"a learner moves the policy .*old copy.*trial\.augment\(images, targets\)"):
        _ = trial_of(BRIGHTNESS, learner=Learning()).transform


def test_a_policy_that_no_tree_says_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no tree says all that a Warp does: call trial\.augment"):
        _ = trial_of(Warp("affine+color")).transform


def test_the_policy_is_applied_once() -> None:
    images, targets = photographs(2), torch.tensor([0, 1])
    first, second = trial_of(BRIGHTNESS), trial_of(BRIGHTNESS)
    assert first.transform is first.transform
    assert first.used == {"policy"}
    with pytest.raises(ValueError, match=r"a second time, after trial\.transform: call trial\.mixed\(images, targets"):
        first.augment(images, targets, classes=2)
    assert first.mixed(images, targets, classes=2)[0] is images
    second.augment(images, targets, classes=2)
    with pytest.raises(ValueError, match=r"beside trial\.augment: call trial\.mixed"):
        _ = second.transform


def test_a_stream_has_no_numbers() -> None:
    with pytest.raises(TypeError, match="a generator, which has no __len__ and __getitem__: give a map-style dataset"):
        trial_of(BRIGHTNESS).dataset(iter([1]) and (k for k in range(3)))  # type: ignore[arg-type]


def boxes(edges: Any, size: tuple[int, int] = (32, 48), format: str = "XYXY") -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(edges, format=format, canvas_size=size)


def mask_of(size: tuple[int, int] = (32, 48)) -> tv_tensors.Mask:
    return tv_tensors.Mask(torch.zeros(size, dtype=torch.uint8))


IMAGE = tv_tensors.Image(photographs(1, height=32, width=48)[0])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((photographs(1)[0] - 0.5,), "values from -0.* to 0.*: give PIL images, uint8, or floats in .0, 1., and norm"),
        ((mask_of(),), "without their image"),
        ((IMAGE, mask_of((32, 32))), "the Mask is of .32, 32. pixels and its image of .32, 48."),
        ((IMAGE, boxes([[0, 0, 1, 1]], (48, 32))), "the BoundingBoxes is of .48, 32. pixels"),
        ((tv_tensors.Image(photographs(2, height=32, width=48)), mask_of()), "were given with 2 images: call the"),
        ((IMAGE, boxes([[9, 9, 2, 2, 30.0]], format="CXCYWHR")), "boxes have the format CXCYWHR: give XYXY"),
        ((IMAGE, tv_tensors.Video(torch.zeros(2, 3, 32, 48))), "Video would not follow its image"),
    ],
    ids=["normalised", "mask alone", "mask size", "canvas", "batch", "rotated", "video"],
)
def test_what_cannot_be_augmented_is_refused(inputs: tuple[Any, ...], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        trial_of(policy_tree(apply("rotate"))).transform(*inputs)


@pytest.mark.parametrize("name", ["elastic", "perspective"])
def test_an_operation_that_bends_lines_is_refused_where_something_follows(name: str) -> None:
    transform = trial_of(policy_tree(sequence([apply("rotate"), apply(name, probability=0.0)]))).transform
    assert transform(IMAGE).shape == IMAGE.shape
    with pytest.raises(PolicyError, match=f"cannot follow {name}, which is no affine map: leave it out"):
        transform(IMAGE, mask_of())


# ---- inputs ----


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
def test_tensors_keep_their_type(dtype: torch.dtype) -> None:
    image = F.to_dtype(IMAGE, dtype, scale=True)
    out = trial_of(READY["randaugment"]).transform(image)
    assert (out.shape, out.dtype, type(out)) == (image.shape, dtype, tv_tensors.Image)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_stay_pictures_and_their_targets_follow(mode: str) -> None:
    transform = trial_of(policy_tree(apply("hflip"))).transform
    picture = F.to_pil_image(photographs(1, height=32, width=48)[0]).convert(mode)
    label, numbers = torch.tensor(3), torch.arange(4)
    target = {"boxes": boxes([[1, 2, 5, 9]]), "label": label, "more": (numbers, "a")}
    out, moved = transform(picture, target)
    assert isinstance(out, Image.Image)
    assert torch.equal(F.pil_to_tensor(out), F.pil_to_tensor(picture).flip(2))
    assert moved["boxes"].tolist() == [[43, 2, 47, 9]]
    assert isinstance(moved["boxes"], tv_tensors.BoundingBoxes)
    assert (moved["label"], moved["more"]) == (label, (numbers, "a"))


def test_a_transform_among_others() -> None:
    trial = trial_of(policy_tree(apply("hflip")))
    whole = v2.Compose([v2.ToImage(), trial.transform, v2.SanitizeBoundingBoxes(), v2.ToDtype(torch.float32)])
    out = whole({"image": F.to_pil_image(IMAGE), "boxes": boxes([[1, 2, 5, 9], [3, 3, 3, 3]]), "labels": torch.ones(2)})
    assert out["boxes"].tolist() == [[43, 2, 47, 9]]
    assert out["labels"].tolist() == [1]


# ---- masks and boxes ----

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
    transform = trial_of(Fixed(tree, compose=compose)).transform
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


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.matrix])
@pytest.mark.parametrize("strength", [-0.9, 0.37])
def test_boxes_and_masks_are_those_of_torchvision(name: str, strength: float, rng: Generator) -> None:
    amount = strength * (OPS[name].most or 0)
    transform = trial_of(policy_tree(apply(name, strength, mirror=False))).transform
    given = boxes([[3.0, 2.0, 20.0, 11.0], [40.0, 5.0, 47.5, 30.0], [0.0, 0.0, 48.0, 32.0]])
    labels = tv_tensors.Mask(torch.randint(5, (32, 48), generator=rng).repeat_interleave(4, 0)[:32])
    _, found, mask = transform(IMAGE, given, labels)
    torch.testing.assert_close(found, F.affine(given, **movement(name, amount)), atol=1e-3, rtol=0)
    assert (mask != F.affine(labels, **movement(name, amount))).float().mean() < 0.01  # where two values are as near


def test_a_rotated_box_by_hand() -> None:
    transform = trial_of(policy_tree(apply("rotate", 1.0, mirror=False))).transform  # by 30 degrees
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
    transform = trial_of(policy_tree(apply("hflip"))).transform
    given = F.convert_bounding_box_format(boxes([[2, 4, 8, 10], [40, 0, 48, 32]]), new_format=format)
    _, out = transform(IMAGE, given)
    assert (out.format, out.canvas_size, out.dtype) == (given.format, given.canvas_size, torch.int64)
    assert F.convert_bounding_box_format(out, new_format="XYXY").tolist() == [[40, 4, 46, 10], [0, 0, 8, 32]]


def test_a_box_that_leaves_is_empty_and_no_box_stays_none() -> None:
    tree = policy_tree(sequence([apply("translate_x", 1.0, mirror=False), apply("translate_x", -1.0, mirror=False)]))
    transform = trial_of(tree).transform
    _, out = transform(IMAGE, boxes([[40.0, 1.0, 44.0, 9.0]]))
    assert out[0, 2] - out[0, 0] == pytest.approx(0)  # it does not come back, and neither does the image
    assert transform(IMAGE, boxes(torch.zeros(0, 4)))[1].shape == (0, 4)
    together_ = trial_of(Fixed(tree, compose=True)).transform(IMAGE, boxes([[40.0, 1.0, 44.0, 9.0]]))[1]
    torch.testing.assert_close(together_[0].as_subclass(Tensor), torch.tensor([40.0, 1.0, 44.0, 9.0]))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32], ids=str)
@pytest.mark.parametrize("leading", [(), (1,), (3,), (0,)], ids=str)
def test_masks_keep_their_values(dtype: torch.dtype, leading: tuple[int, ...], rng: Generator) -> None:
    values = torch.randint(2, (*leading, 32, 48), generator=rng) * (2**40 + 1 if dtype == torch.int64 else 1)
    mask = tv_tensors.Mask(values.to(dtype))
    _, out = trial_of(policy_tree(apply("rotate", 0.7))).transform(IMAGE, mask)
    assert (out.shape, out.dtype, type(out)) == (mask.shape, dtype, tv_tensors.Mask)
    assert set(out.unique().tolist()) <= {0, *mask.unique().tolist()}


def test_colours_leave_masks_and_boxes() -> None:
    names = [name for name, op in OPS.items() if not (op.matrix or op.moves or op.bends)]
    mask = tv_tensors.Mask(square()[0])
    _, out, box = trial_of(policy_tree(sequence([apply(name) for name in names]))).transform(
        IMAGE, mask, boxes([SQUARE])
    )
    assert torch.equal(out, mask)
    assert box.tolist() == [list(SQUARE)]
