"""The transform of a trial: draws that depend on seed, epoch and index alone, and what goes with an image."""

import copy
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
from transforms_for_tests import IMAGE, boxes, mask_of, trial_with

from autoaug.policy import PolicyError, Warp, apply, choice, policy_tree, schedule, sequence
from autoaug.testing import eight_bit, photographs
from autoaug.train import NullLearner
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


def shown(loader: DataLoader[Any]) -> list[Tensor]:
    """The images of an epoch, in the order of their index."""
    pairs = [(int(k), image) for images, indices in loader for image, k in zip(images, indices, strict=True)]
    return [image for _, image in sorted(pairs, key=lambda pair: pair[0])]


def epochs_of(loader: DataLoader[Any], trial: Trial, total: int = 2) -> Tensor:
    return torch.stack([torch.stack(shown(loader)) for _ in trial.epochs(total)])


def loaded(data: type[Pictures] = Pictures, wrapped: bool = True, seed: int = 1, **how: Any) -> Tensor:
    """The images of two epochs by index, [2, N, 1, 4, 4], read by a DataLoader."""
    trial = trial_with(BRIGHTNESS, seed=seed)
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
    images = torch.cat([loaded(), loaded(seed=2)])
    assert len(images.flatten(2)[..., 0].unique()) > 40  # of 48 draws on 8-bit levels


def test_an_item_has_one_number_however_it_is_asked_for() -> None:
    trial = trial_with(BRIGHTNESS)
    data = trial.dataset(Pictures(trial.transform))
    image, _ = data[3]
    assert torch.equal(image, data[torch.tensor(3)][0])
    assert torch.equal(image, data[-9][0])
    assert torch.equal(image, Subset(data, [7, 3])[1][0])
    assert not torch.equal(image, data[4][0])


def test_two_views_of_an_item_differ_and_are_repeated() -> None:
    trial = trial_with(BRIGHTNESS)
    views = v2.Lambda(lambda image: torch.stack([trial.transform(image), trial.transform(image)]))
    data = trial.dataset(Pictures(views))
    first, second = data[3][0]
    assert not torch.equal(first, second)
    assert torch.equal(data[3][0], torch.stack([first, second]))


def test_all_operations_are_drawn_as_often_whatever_the_index_and_the_epoch() -> None:
    names = ("rotate", "invert", "hflip", "equalize", "solarize", "color")
    trial = trial_with(policy_tree(choice([(1.0, apply(name)) for name in names])))
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
    trial = trial_with(policy_tree(apply("invert")), refine_epochs=1)
    image, box = IMAGE, boxes([[1, 1, 2, 2]])
    for _ in trial.epochs(1):
        out, _ = trial.transform(image, box)
        assert torch.equal(out, image if trial.refining else 1 - image)
        assert (out is image) == trial.refining


@FEW_CORES
def test_a_schedule_and_refinement_reach_workers_that_live_on() -> None:
    trial = trial_with(policy_tree(schedule([(1, sequence()), (2, apply("invert"))])), refine_epochs=1)
    loader = DataLoader(Pictures(trial.transform, 2), generator=Generator(), num_workers=1, persistent_workers=True)
    levels = [int(shown(loader)[0].max()) for _ in trial.epochs(3)]
    assert levels == [100, 155, 155, 100]


@FEW_CORES
def test_an_epoch_that_is_left_early_leaves_nothing_to_the_next() -> None:
    trial, alone = trial_with(BRIGHTNESS), trial_with(BRIGHTNESS)
    data = trial.dataset(Pictures(trial.transform))
    loader = DataLoader(data, 2, generator=Generator(), num_workers=1, prefetch_factor=2, persistent_workers=True)
    first = [next(iter(loader))[0][0] for _ in trial.epochs(3)]
    wanted = [alone.dataset(Pictures(alone.transform))[0][0] for _ in alone.epochs(3)]
    assert torch.equal(torch.stack(first), torch.stack(wanted))


def test_a_resumed_trial_goes_on_in_the_same_epoch() -> None:
    whole, late = trial_with(BRIGHTNESS), trial_with(BRIGHTNESS)
    seen = [torch.stack(shown(DataLoader(Pictures(whole.transform), generator=Generator()))) for _ in whole.epochs(3)]
    transform = late.transform
    late.begin(3, None, {})
    late.epoch = 1  # as a checkpoint leaves it
    late.enter_epoch()
    assert torch.equal(torch.stack(shown(DataLoader(Pictures(transform), generator=Generator()))), seen[1])


def test_a_loop_that_counts_its_epochs_itself_has_draws_of_each() -> None:
    trial = trial_with(BRIGHTNESS)

    def loop(trial: Trial) -> Iterator[Mapping[str, float]]:
        for _ in range(3):
            levels.append(trial.dataset(Pictures(trial.transform))[0][0].max().item())
            yield {"val_accuracy": 0.5}

    levels: list[float] = []
    assert [record.epoch for record in records(loop, trial)] == [1, 2, 3]
    assert len(set(levels)) == 3


def test_it_can_be_pickled_and_a_copy_hears_of_epochs() -> None:
    trial = trial_with(BRIGHTNESS)
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
        _ = trial_with(BRIGHTNESS, within=lambda policy: Learning()).transform


def test_a_policy_that_no_tree_says_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no tree says all that a Warp does: call trial\.augment"):
        _ = trial_with(Warp("affine+color")).transform


def test_the_policy_is_applied_once() -> None:
    images, targets = photographs(2), torch.tensor([0, 1])
    first, second = trial_with(BRIGHTNESS), trial_with(BRIGHTNESS)
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
        trial_with(BRIGHTNESS).dataset(iter([1]) and (k for k in range(3)))  # type: ignore[arg-type]


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
        trial_with(policy_tree(apply("rotate"))).transform(*inputs)


@pytest.mark.parametrize("name", ["elastic", "perspective"])
def test_an_operation_that_bends_lines_is_refused_where_something_follows(name: str) -> None:
    transform = trial_with(policy_tree(sequence([apply("rotate"), apply(name, probability=0.0)]))).transform
    assert transform(IMAGE).shape == IMAGE.shape
    with pytest.raises(PolicyError, match=f"cannot follow {name}, which is no affine map: leave it out"):
        transform(IMAGE, mask_of())


# ---- inputs ----


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
def test_tensors_keep_their_type(dtype: torch.dtype) -> None:
    image = F.to_dtype(IMAGE, dtype, scale=True)
    out = trial_with(READY["randaugment"]).transform(image)
    assert (out.shape, out.dtype, type(out)) == (image.shape, dtype, tv_tensors.Image)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_stay_pictures_and_their_targets_follow(mode: str) -> None:
    transform = trial_with(policy_tree(apply("hflip"))).transform
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
    trial = trial_with(policy_tree(apply("hflip")))
    whole = v2.Compose([v2.ToImage(), trial.transform, v2.SanitizeBoundingBoxes(), v2.ToDtype(torch.float32)])
    out = whole({"image": F.to_pil_image(IMAGE), "boxes": boxes([[1, 2, 5, 9], [3, 3, 3, 3]]), "labels": torch.ones(2)})
    assert out["boxes"].tolist() == [[43, 2, 47, 9]]
    assert out["labels"].tolist() == [1]
