"""Laws of a mix that needs the training around its minibatch."""

import pickle
from collections.abc import Callable
from contextlib import nullcontext, suppress
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.mixing import Mixed, TrainingBatch, TrainingMix

IMAGES, CLASSES, SIDE = 48, 3, 8
"""Training images of noise, their classes, which take turns, and their height and width."""


class Noise:
    """Stands for the training images, which are the same in all tests."""


SPLIT = Noise()


def seeded(seed: int = 0) -> Generator:
    """Return a generator on the CPU."""
    return Generator().manual_seed(seed)


def small_network(seed: int = 0) -> nn.Module:
    """Return a network in training mode with a stem, three stages and a head, with statistics and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stages = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(3)]
        head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * SIDE * SIDE, CLASSES))
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *stages, head)


def training_batch(count: int = 16, seed: int = 0, **changed: Any) -> TrainingBatch:
    """Return a minibatch of a training on noise, whose images are seen as they are; `changed` replaces fields."""
    pool = torch.rand(IMAGES, 3, SIDE, SIDE, generator=seeded(1))
    classes = torch.arange(IMAGES) % CLASSES
    soft = F.one_hot(classes, CLASSES).float()
    chosen = torch.randperm(IMAGES, generator=seeded(2))[:count]
    model = changed.pop("model", None) or small_network()

    def losses(images: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(model(images), targets, reduction="none")

    given: dict[str, Any] = {
        "images": pool[chosen],
        "targets": soft[chosen],
        "chosen": chosen,
        "model": model,
        "losses": losses,
        "others": lambda indices: (pool[indices], soft[indices]),
        "split": SPLIT,
        "all_images": lambda: pool,
        "all_targets": classes,
        "rng": seeded(seed),
    }
    return TrainingBatch(**given | changed)


def seen(mixed: Mixed, batch: TrainingBatch) -> Tensor:
    """Return the logits of the network in evaluation for what a mix made, [B, K], through its own mixing too."""
    network = deepcopy(batch.model).eval()  # a copy, which keeps the training flags as they are
    with mixed.hidden(network) if mixed.hidden else nullcontext():
        return network(mixed.images)


class TrainingMixTestCase:
    """Test the laws of a mix that needs the training. Override the fixture `mix`."""

    @pytest.fixture
    def mix(self) -> Callable[..., TrainingMix]:
        """Override: return what makes the mix from `alpha` and `probability`, as a row of `MIXES` does."""
        raise NotImplementedError

    def test_shapes_stay_and_what_it_is_given_too(self, mix: Callable[..., TrainingMix]) -> None:
        for dtype in (torch.float32, torch.bfloat16):
            batch = training_batch()
            images = batch.images.to(dtype)
            batch = training_batch(images=images, targets=batch.targets.to(dtype), model=batch.model)
            before = pickle.dumps((images, batch.targets, batch.model.state_dict()))
            with torch.no_grad():
                mixed = mix(alpha=1.0).mix_in_training(batch)
            assert pickle.dumps((images, batch.targets, batch.model.state_dict())) == before, "something was moved"
            assert all(module.training for module in batch.model.modules()), "it leaves the network in another mode"
            assert all(weight.grad is None for weight in batch.model.parameters()), "it leaves gradients"
            assert (mixed.images.shape, mixed.images.dtype) == (images.shape, dtype)
            assert (mixed.targets.shape, mixed.targets.dtype) == (batch.targets.shape, dtype)

    @pytest.mark.parametrize("count", [1, 7, 16])
    def test_targets_stay_on_the_simplex_and_pixels_in_range(self, mix: Callable[..., TrainingMix], count: int) -> None:
        images, targets, _ = mix(alpha=1.0).mix_in_training(training_batch(count))
        torch.testing.assert_close(targets.sum(1), torch.ones(count))
        assert targets.min() >= 0
        assert images.min() >= 0
        assert images.max() <= 1

    def test_the_generator_decides_everything(self, mix: Callable[..., TrainingMix]) -> None:
        before = torch.random.get_rng_state()
        results = []
        for seed in (1, 1, 2):
            batch = training_batch(seed=seed)
            mixed = mix(alpha=1.0).mix_in_training(batch)
            results.append((seen(mixed, batch), mixed.targets))
        assert torch.equal(before, torch.random.get_rng_state()), "it draws from the global generator"
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])
        assert not torch.equal(results[0][0], results[2][0])

    @pytest.mark.parametrize("off", [{"alpha": 0.0}, {"alpha": 1.0, "probability": 0.0}], ids=["alpha", "probability"])
    def test_alpha_zero_and_probability_zero_change_nothing_and_draw_nothing(
        self, mix: Callable[..., TrainingMix], off: dict[str, float]
    ) -> None:
        batch = training_batch()
        mixed = mix(**off).mix_in_training(batch)
        assert torch.equal(mixed.images, batch.images)
        assert torch.equal(mixed.targets, batch.targets)
        assert mixed.hidden is None
        assert torch.equal(batch.rng.get_state(), seeded().get_state())

    def test_the_network_is_as_before_once_a_pass_ends_or_fails(self, mix: Callable[..., TrainingMix]) -> None:
        batch = training_batch()
        hidden = mix(alpha=1.0).mix_in_training(batch).hidden or (lambda network: nullcontext())
        network = batch.model.eval()
        before = network(batch.images)
        with suppress(ZeroDivisionError), hidden(network):
            network(batch.images)
            raise ZeroDivisionError
        assert torch.equal(network(batch.images), before)

    def test_a_gradient_reaches_what_the_images_are_made_of(self, mix: Callable[..., TrainingMix]) -> None:
        brightness = torch.tensor(0.9, requires_grad=True)
        model, given = small_network(), training_batch()

        def others(indices: Tensor) -> tuple[Tensor, Tensor]:
            images, targets = given.others(indices)
            return images * brightness, targets

        batch = training_batch(images=given.images * brightness, others=others, model=model)
        logits = seen(mix(alpha=1.0).mix_in_training(batch), batch)
        first = torch.autograd.grad(logits.square().sum(), brightness, create_graph=True)[0]
        assert first != 0
        assert torch.autograd.grad(first, brightness)[0].isfinite()

    def test_it_can_be_weakened_until_nothing_is_mixed(self, mix: Callable[..., TrainingMix]) -> None:
        whole: Any = mix(alpha=1.0)
        assert seen_after(whole.weakened(1.0)).equal(seen_after(whole))
        assert (whole.mixes, whole.weakened(0.0).mixes) == (True, False)
        off = training_batch()
        assert torch.equal(whole.weakened(0.0).mix_in_training(off).targets, off.targets)
        assert torch.equal(off.rng.get_state(), seeded().get_state())
        assert not seen_after(whole.weakened(0.5)).equal(seen_after(whole)), "half of it is all of it"
        assert not seen_after(whole.weakened(0.5)).equal(seen_after(whole.weakened(0.0))), "half of it is nothing"
        for share in (-0.1, 1.1):
            with pytest.raises(ValueError, match=f"share={share}"):
                whole.weakened(share)

    def test_it_travels_to_workers(self, mix: Callable[..., TrainingMix]) -> None:
        arrived = pickle.loads(pickle.dumps(mix(alpha=0.4)))  # what was dumped in this line, nothing from outside
        assert seen_after(arrived).equal(seen_after(mix(alpha=0.4)))


def seen_after(mix: Any) -> Tensor:
    """Return the logits of a few minibatches after a mix."""
    batches = [training_batch(seed=seed) for seed in range(3)]
    with torch.no_grad():
        return torch.cat([seen(mix.mix_in_training(batch), batch) for batch in batches])
