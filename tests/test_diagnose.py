"""What diagnostics measure, each against an answer that is known exactly."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug import Task
from autoaug.data import Split, as_float
from autoaug.diagnose import (
    DIAGNOSTICS,
    Subject,
    cross_entropies,
    fgsm,
    gradient_products,
    in_between,
    input_gradients,
    iterated_fgsm,
    loss_gradients,
    misses,
    normalised,
    subject_of,
    zoomed,
)
from autoaug.diagnose._subject import images_of, sample
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.seeding import derive_seed
from autoaug.train import TrainingRun, spawn, train

SHAPE = (2, 4, 3)
CLASSES = 3


class Linear:
    """Logits W x: everything that is measured of it is known in closed form."""

    def __init__(self, rng: Generator, classes: int = CLASSES) -> None:
        self.weight = torch.randn(classes, math.prod(SHAPE), generator=rng)

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


@pytest.fixture
def linear(rng: Generator) -> Linear:
    return Linear(rng)


def photos(count: int, rng: Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(count, *SHAPE, generator=rng)


def classes_of(count: int, rng: Generator) -> Tensor:
    return torch.randint(CLASSES, (count,), generator=rng)


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert cross_entropies(logits, torch.tensor([0])).item() == pytest.approx(math.log(4))
    soft = torch.tensor([[0.25, 0.75]])
    by_hand = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    assert cross_entropies(logits, soft).item() == pytest.approx(by_hand)


def test_an_attack_on_two_classes_goes_against_the_difference_of_their_weights(rng: Generator) -> None:
    """CE = log(1 + exp((w_other - w_own) x)), so the sign of its gradient is that of w_other - w_own, wherever x is."""
    network, images, classes = Linear(rng, 2), photos(5, rng), torch.tensor([0, 1, 1, 0, 1])
    away = (network.weight[1 - classes] - network.weight[classes]).sign().view(-1, *SHAPE)
    torch.testing.assert_close(fgsm(network, images, classes, 0.1), (images + 0.1 * away).clamp(0, 1))
    torch.testing.assert_close(iterated_fgsm(network, images, classes, 0.1, 7), (images + 0.1 * away).clamp(0, 1))


def test_the_gradient_of_a_linear_networks_loss_is_that_of_the_textbook(linear: Linear, rng: Generator) -> None:
    """(softmax(W x) - one_hot(y)) W."""
    images, classes = photos(6, rng), classes_of(6, rng)
    expected = (linear(images).softmax(1) - F.one_hot(classes, CLASSES)) @ linear.weight
    torch.testing.assert_close(loss_gradients(linear, images, classes).flatten(1), expected)


def curved(images: Tensor) -> Tensor:
    """Logits whose gradients turn from step to step."""
    flat = images.flatten(1)
    return torch.stack([(9 * flat).sin().sum(1), (flat**2 * 8).cos().sum(1), flat.prod(1)], dim=1)


@pytest.mark.parametrize("epsilon", [4 / 255, 0.3])
def test_attacked_images_stay_images_and_near(epsilon: float, rng: Generator) -> None:
    images, classes = photos(8, rng), classes_of(8, rng)
    before, version = images.clone(), images._version
    for changed in (fgsm(curved, images, classes, epsilon), iterated_fgsm(curved, images, classes, epsilon, 10)):
        assert 0 <= changed.min() <= changed.max() <= 1
        assert (changed - images).abs().max() <= epsilon + 1e-6
        assert not changed.requires_grad
    assert torch.equal(images, before)
    assert images._version == version


def test_small_attacks_raise_every_loss_and_more_steps_raise_it_more(rng: Generator) -> None:
    images, classes = photos(8, rng, 0.2, 0.8), classes_of(8, rng)
    before = cross_entropies(curved(images), classes)
    once, often = fgsm(curved, images, classes, 0.003), iterated_fgsm(curved, images, classes, 0.003)
    assert (cross_entropies(curved(once), classes) > before).all()
    assert cross_entropies(curved(often), classes).mean() > cross_entropies(curved(once), classes).mean()


def test_one_step_of_the_iterated_attack_is_the_other() -> None:
    rng = Generator().manual_seed(1)
    images, classes = photos(4, rng), classes_of(4, rng)
    torch.testing.assert_close(iterated_fgsm(curved, images, classes, 0.2, 1), fgsm(curved, images, classes, 0.2))


def test_an_image_is_attacked_by_itself(rng: Generator) -> None:
    images, classes = photos(5, rng), classes_of(5, rng)
    together = iterated_fgsm(curved, images, classes, 0.1)
    torch.testing.assert_close(iterated_fgsm(curved, images[2:3], classes[2:3], 0.1), together[2:3])


def test_misses_in_between_by_hand() -> None:
    """Three classes along a line of one pixel: the middle one is predicted in between, and belongs to neither image."""

    def network(images: Tensor) -> Tensor:
        x = images.flatten(1)
        return -((x - torch.tensor([0.0, 0.5, 1.0])) ** 2)

    dark, light = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    shares = [0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0]
    found = in_between(network, (light, torch.tensor([2])), (dark, torch.tensor([0])), shares)
    assert found.miss.flatten().tolist() == [False, False, True, True, True, False, False]
    among = in_between(network, (light, torch.tensor([1])), (dark, torch.tensor([0])), shares)
    assert among.miss.flatten().tolist() == [False, False, False, False, False, True, True]


def test_gradients_in_between_are_those_of_the_mixed_target(linear: Linear, rng: Generator) -> None:
    first, second = (photos(4, rng), classes_of(4, rng)), (photos(4, rng), classes_of(4, rng))
    found = in_between(linear, first, second, [0.3])
    between = 0.3 * first[0] + 0.7 * second[0]
    target = 0.3 * F.one_hot(first[1], CLASSES) + 0.7 * F.one_hot(second[1], CLASSES)
    expected = ((linear(between).softmax(1) - target) @ linear.weight).norm(dim=1)
    torch.testing.assert_close(found.gradient, expected[None])


def by_brute_force(norms: Tensor, down: int, right: int) -> float:
    """Over all images and all pixels that have one at the offset."""
    images, height, width = norms.shape
    products = [
        float(norms[b, y, x] * norms[b, y + down, x + right])
        for b in range(images)
        for y in range(height)
        for x in range(width)
        if 0 <= y + down < height and 0 <= x + right < width
    ]
    return max(products, default=0.0)


@pytest.mark.parametrize("reach", [1, 2, 3, 5])
def test_products_of_gradients_are_those_of_all_pairs_of_pixels(reach: int, rng: Generator) -> None:
    images, classes = photos(3, rng), classes_of(3, rng)
    norms = input_gradients(curved, images, lambda z: z.gather(1, classes[:, None]).squeeze(1)).norm(dim=1)
    found = gradient_products(curved, images, classes, reach)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            expected = by_brute_force(norms, down, right)
            assert found[reach + down, reach + right].item() == pytest.approx(expected, rel=1e-5)
    assert normalised(found).max() == 1
    assert normalised(found)[reach, reach] == 1, "no pair of pixels is more than its larger one squared"


def test_a_network_without_gradients_has_an_empty_map() -> None:
    flat = normalised(torch.zeros(3, 3))
    assert torch.equal(flat, torch.zeros(3, 3))


def test_zoomed_out_images_are_means_over_areas_on_the_fill(rng: Generator) -> None:
    images, fill = torch.rand(2, 3, 8, 8, generator=rng), torch.tensor([0.1, 0.2, 0.3])
    small = zoomed(images, 0.5, fill)
    blocks = images.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5))
    torch.testing.assert_close(small[:, :, 2:6, 2:6], blocks)
    around = small.clone()
    around[:, :, 2:6, 2:6] = fill.view(1, 3, 1, 1)
    torch.testing.assert_close(around, fill.view(1, 3, 1, 1).expand_as(around).clone())


def test_zoomed_in_images_are_the_middle(rng: Generator) -> None:
    """A plane stays a plane: of half the slope, with the same middle."""
    ramp = torch.linspace(0, 1, 8).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    large = zoomed(ramp, 2.0, torch.zeros(1))
    slopes = large[..., 1:] - large[..., :-1]
    torch.testing.assert_close(slopes[..., 1:-1], torch.full_like(slopes[..., 1:-1], 1 / 14))
    assert large.mean().item() == pytest.approx(0.5)
    images = torch.rand(2, 3, 7, 5, generator=rng)
    assert torch.equal(zoomed(images, 1.0, torch.zeros(3)), images)


def subject(network: Linear, rng: Generator, count: int = 40) -> Subject:
    train = Split(photos(count, rng), classes_of(count, rng))
    val = Split(photos(count, rng), classes_of(count, rng))
    return Subject(network=network, train=train, val=val, fill=torch.full((SHAPE[0],), 0.5))


@pytest.mark.parametrize("name", [name for name, row in DIAGNOSTICS.items() if not row.against])
def test_every_row_gives_the_same_numbers_twice_and_changes_nothing(name: str, linear: Linear, rng: Generator) -> None:
    asked = subject(linear, rng)
    versions = [part.images._version for part in (asked.train, asked.val)]
    first, second = (DIAGNOSTICS[name].measure(asked) for _ in range(2))
    assert first == second
    assert all(math.isfinite(value) for value in first.values.values())
    assert [part.images._version for part in (asked.train, asked.val)] == versions


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_every_row_says_what_it_is(name: str) -> None:
    row = DIAGNOSTICS[name]
    assert row.says[0].islower()
    assert row.source
    assert (row.measure.__doc__ or "").startswith("Measure")


def test_the_rows_by_hand(linear: Linear, rng: Generator) -> None:
    asked = subject(linear, rng)
    clean = F.cross_entropy(linear(asked.train.images), asked.train.targets)
    assert DIAGNOSTICS["cross_entropy"].measure(asked).values == {"clean": pytest.approx(clean.item())}
    white = DIAGNOSTICS["white_box"].measure(asked).values
    missed = misses(linear(fgsm(linear, asked.val.images, asked.val.targets)), asked.val.targets)
    assert white["fgsm"] == pytest.approx(missed.float().mean().item())
    assert white["clean"] == pytest.approx(misses(linear(asked.val.images), asked.val.targets).float().mean().item())
    crops = DIAGNOSTICS["crops"].measure(asked)
    assert crops.values["as they are"] == pytest.approx(1 - white["clean"])
    assert len(crops.series["accuracy"]) == len(crops.series["zoom"])


def test_an_attack_with_the_network_itself_is_the_white_one(linear: Linear, rng: Generator) -> None:
    asked = subject(linear, rng)
    against_itself = Subject(**{**vars(asked), "attacker": linear})
    white = dict(DIAGNOSTICS["white_box"].measure(asked).values)
    assert DIAGNOSTICS["black_box"].measure(against_itself).values == {k: white[k] for k in ("fgsm", "ifgsm")}
    other = Subject(**{**vars(asked), "attacker": Linear(rng)})
    assert DIAGNOSTICS["black_box"].measure(other).values["ifgsm"] < white["ifgsm"]


def test_labels_are_told_apart_by_what_was_learned() -> None:
    """A network that answers with the pixel: of the images whose learned label is another it misses all."""
    classes = torch.tensor([0, 1, 2, 0, 1, 2])
    learned = torch.tensor([0, 1, 2, 1, 2, -1])
    images = classes.view(-1, 1, 1, 1).float() / 2

    def network(x: Tensor) -> Tensor:
        return F.one_hot((x.flatten(1)[:, 0] * 2).round().long(), 3).float()

    pool = Split(images, classes, learned=learned)
    asked = Subject(network=network, train=pool, val=pool, fill=torch.zeros(1), pool=pool)
    assert DIAGNOSTICS["corrupted_labels"].measure(asked).values == {"real": 0.0, "corrupted": 1.0}

    def by_heart(x: Tensor) -> Tensor:
        return F.one_hot(torch.ones(len(x), dtype=torch.long), 3).float()

    asked = Subject(network=by_heart, train=pool, val=pool, fill=torch.zeros(1), pool=pool)
    assert DIAGNOSTICS["corrupted_labels"].measure(asked).values == {
        "real": pytest.approx(2 / 3),
        "corrupted": pytest.approx(1 / 2),
    }


def test_images_are_drawn_once_and_in_parts(rng: Generator) -> None:
    split = Split(torch.arange(50).view(-1, 1, 1, 1).to(torch.uint8), torch.arange(50))
    rows = sample(split, 20, rng)
    assert len(rows.unique()) == 20
    assert torch.equal(rows, rows.sort().values)
    parts = list(images_of(split, rows, 8))
    assert [len(classes) for _, classes in parts] == [8, 8, 4]
    assert torch.equal(torch.cat([classes for _, classes in parts]), rows)
    torch.testing.assert_close(torch.cat([images for images, _ in parts]).flatten() * 255, rows.float())
    assert len(sample(split, 100, rng)) == 50


def test_a_training_is_seen_as_its_steps_see_it_and_is_left_as_it_is() -> None:
    task = Task(data="digits:reduced=20", model="convnet", epochs=1, refine_epochs=1, batch_size=20, device="cpu")
    run = TrainingRun(task, Fixed(ready.none()), MIXES["mixup"](1.0), None, Generator().manual_seed(0), task.load())
    run.epoch = 1
    before = {name: stream.get_state() for name, stream in run.streams.items()}
    indices = torch.arange(20)
    logits, targets = trained_of(subject_of(run, 3))(indices)
    mix = spawn(Generator().manual_seed(derive_seed(3, "diagnose", "trained", "augment")))["mix"]
    images, classes = run.data.train.taken(indices)
    mixed, soft = MIXES["mixup"](1.0)(as_float(images), F.one_hot(classes, 10).float(), mix)
    assert torch.equal(targets, soft)
    with torch.no_grad():
        assert torch.equal(logits, run.logits(mixed, run.evaluated))
    assert all(torch.equal(run.streams[name].get_state(), state) for name, state in before.items())
    run.epoch = 2
    _, plain = trained_of(subject_of(run, 3))(indices)
    assert torch.equal(plain, F.one_hot(classes, 10).float()), "nothing is mixed while refining"


def test_a_training_is_watched_after_each_epoch_before_its_record_is_given() -> None:
    task = Task(data="digits:reduced=20", model="convnet", epochs=2, refine_epochs=1, batch_size=90, device="cpu")
    seen = list[str]()
    policy, mix = Fixed(ready.none()), MIXES["none"]()
    for record in train(task, policy, mix, watched=lambda run: seen.append(f"{run.epoch} {run.phase}")):
        seen.append(f"record {record.epoch}")
    expected = ["1 augment", "record 1", "2 augment", "record 2", "3 refine", "record 3"]
    assert seen == expected


def trained_of(asked: Subject) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    assert asked.trained is not None
    return asked.trained
