"""The spatial transformer, and the learner that trains it by the training loss."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.data import load_data
from autoaug.learners import Joint
from autoaug.mixing import MIXES
from autoaug.policy import AppliedAtTest, Fixed, SpatialTransformer, load_policy, ready
from autoaug.record import Record
from autoaug.strategies import stn
from autoaug.testing import LearnerTestCase, PolicyTestCase
from autoaug.train import Task, TrainingRun, train

TASK = Task(data="digits-rotated", model="convnet", epochs=2, batch_size=50, lr=0.2, device="cpu")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def run(task: Task = TASK, seed: int = 0, lr: float = 0.01, **more: Any) -> tuple[list[Record], SpatialTransformer]:
    policy = SpatialTransformer(8)
    return list(train(task, policy, MIXES["none"](), Joint(policy, lr), seeded(seed), **more)), policy


class TestSpatialTransformer(PolicyTestCase):
    @pytest.fixture
    def policy(self) -> Any:
        return partial(SpatialTransformer, 8)

    def runs_its_tree(self, policy: Any) -> bool:
        return False


class TestJoint(LearnerTestCase):
    def policy(self) -> Any:
        return SpatialTransformer(8)

    def learner(self, policy: Any) -> Joint:
        return Joint(policy)


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (17, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_image_is_moved_a_little_at_the_start(size: tuple[int, int], channels: int) -> None:
    policy, images = SpatialTransformer(8), torch.rand(6, channels, *size, generator=seeded())
    assert policy(images, seeded()).shape == images.shape
    identity = torch.eye(2, 3).expand(6, 2, 3)
    torch.testing.assert_close(policy.matrix(images, seeded()), identity, atol=0.1, rtol=0)


def test_the_movement_depends_on_the_image_and_on_the_noise() -> None:
    policy, images = SpatialTransformer(8).eval(), torch.rand(4, 1, 8, 8, generator=seeded())
    same = images[:1].repeat(4, 1, 1, 1)
    assert len(policy.matrix(same, seeded()).flatten(1).unique(dim=0)) == 4
    first, second = policy.matrix(images, seeded()), policy.matrix(images.flip(0), seeded())
    assert not torch.equal(first, second)


def test_it_is_as_large_as_published() -> None:
    policy = SpatialTransformer()
    assert [tuple(layer.weight.shape) for layer in (*policy.hidden, policy.last)] == [(1024, 4096), (32, 1024), (6, 32)]
    assert [layer.weight.shape[0] for layer in policy.body] == [64, 128, 256]
    assert policy.spread.weight.shape[:2] == (100, 32)
    assert policy.look.weight.shape[0] == 32


def test_its_gradient_agrees_with_finite_differences() -> None:
    policy, images = SpatialTransformer(4).double(), torch.rand(3, 1, 8, 8, generator=seeded(), dtype=torch.float64)
    weigh = torch.rand(images.shape, generator=seeded(1), dtype=torch.float64)

    def loss() -> Tensor:
        return (policy(images, seeded(2)) * weigh).sum()

    entry = policy.last.bias
    [slope] = torch.autograd.grad(loss(), [entry])
    for k in range(6):
        step = torch.zeros(6, dtype=torch.float64).index_fill(0, torch.tensor([k]), 1e-6)
        with torch.no_grad():
            entry.add_(step)
            above = loss().item()
            entry.sub_(2 * step)
            below = loss().item()
            entry.add_(step)
        assert slope[k].item() == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-5)


def test_its_first_weights_follow_from_the_seed_alone() -> None:
    dice = torch.random.get_rng_state()
    first, same, other = (SpatialTransformer(8, seed) for seed in (0, 0, 1))
    assert torch.equal(dice, torch.random.get_rng_state())
    assert torch.equal(first.look.weight, same.look.weight)
    assert not torch.equal(first.look.weight, other.look.weight)


def test_the_tree_says_what_the_last_batch_met(tmp_path: Path) -> None:
    policy, images = SpatialTransformer(8), torch.rand(50, 1, 8, 8, generator=seeded())
    with torch.no_grad():
        policy.last.weight.zero_()
        policy.last.bias.copy_(torch.tensor([0.0, 0.0, 0.2, 0.0, 0.0, 0.0]))  # looked up at the right
    moved = policy(images, seeded())
    policy.save(tmp_path / "policy.json")
    again = load_policy(tmp_path / "policy.json")
    assert again.tree() == policy.tree()
    assert policy.statistics()["translate_x"]["mean"] == pytest.approx(-0.1)
    torch.testing.assert_close(again(images, seeded()), moved.detach(), atol=1e-5, rtol=0)


def test_one_image_alone_has_a_spread_of_zero_and_none_change_nothing() -> None:
    policy, images = SpatialTransformer(8), torch.rand(1, 1, 8, 8, generator=seeded())
    with torch.no_grad():
        policy.last.weight.zero_()
        policy.last.bias.copy_(torch.tensor([0.0, 0.0, 0.2, 0.0, 0.0, 0.0]))
    policy(images, seeded())
    wanted = {"mean": -0.1, "std": 0.0, "low": -0.1, "high": -0.1}
    assert policy.statistics()["translate_x"] == pytest.approx(wanted)
    before = policy.tree()
    assert policy(images[:0], seeded()).shape == (0, 1, 8, 8)
    assert policy.tree() == before


def test_it_descends_the_gradient_of_the_training_loss_on_the_same_batch() -> None:
    """One step of training, and what both networks' gradients must be by a forward pass of our own."""

    class Linear(nn.Module):
        def __init__(self, classes: int, channels: int) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images)

    class Watched(Joint):
        def step(self, run: Any) -> None:
            grads.update({name: value.grad.clone() for name, value in policy.named_parameters()})
            super().step(run)

    class Remembering(SpatialTransformer):
        def forward(self, images: Tensor, rng: Generator) -> Tensor:
            given.append((images, rng.get_state()))
            return super().forward(images, rng)

    given: list[tuple[Tensor, Tensor]] = []
    grads: dict[str, Tensor] = {}
    policy = Remembering(8)
    task = replace(TASK, data="digits-100", model=Linear, epochs=1, batch_size=100)
    before = {name: value.detach().clone() for name, value in policy.named_parameters()}
    list(train(task, policy, MIXES["none"](), Watched(policy, lr=0.5), seeded()))
    [(images, state)] = given
    after = dict(policy.named_parameters())
    for name, grad in grads.items():
        torch.testing.assert_close(after[name].detach(), before[name] - 0.5 * grad)

    fresh = SpatialTransformer(8)
    rng = seeded()
    rng.set_state(state)
    data = load_data("digits-100")
    run = TrainingRun(task, fresh, MIXES["none"](), None, seeded(), data)
    drawn = (images[:, None] == data.train.images[None]).flatten(2).all(2).float().argmax(1)
    loss = F.cross_entropy(run.logits(fresh(images, rng)), data.train.targets[drawn])
    wanted = torch.autograd.grad(loss, list(fresh.parameters()))
    for (name, _), slope in zip(fresh.named_parameters(), wanted, strict=True):
        torch.testing.assert_close(grads[name], slope, rtol=1e-4, atol=1e-7)


def test_no_other_learner_has_the_policy_differentiated() -> None:
    class Spy(nn.Module):
        def forward(self, images: Tensor, rng: Generator) -> Tensor:
            grads.append(torch.is_grad_enabled())
            return images

        def tree(self) -> Any:
            return ready.none()

        def at(self, epoch: int) -> None: ...

    grads: list[bool] = []
    list(train(replace(TASK, epochs=1), Spy(), MIXES["none"](), None, seeded()))  # type: ignore[arg-type]
    assert not any(grads)


def test_training_lowers_the_loss_that_it_shares() -> None:
    """The augmenter alone, against a fixed classifier: what it descends is the training loss."""
    policy, images = SpatialTransformer(8), torch.rand(64, 1, 8, 8, generator=seeded())
    classifier = torch.rand(10, 64, generator=seeded(1)) - 0.5
    targets = torch.randint(10, (64,), generator=seeded(2))
    learner, losses = Joint(policy, lr=0.01), []
    for k in range(40):
        loss = F.cross_entropy(F.linear(policy(images, seeded(k)).flatten(1), classifier), targets)
        loss.backward()
        learner.step(None)  # type: ignore[arg-type]
        losses.append(loss.item())
    assert sum(losses[-10:]) < sum(losses[:10]) - 0.2


def test_a_point_reaches_the_learner_and_a_policy_without_parameters_is_refused() -> None:
    strategy = stn(width=8)
    policy = strategy.policy()
    assert strategy.within is not None
    assert strategy.within(policy, lr=0.3).optimiser.param_groups[0]["lr"] == 0.3
    with pytest.raises(ValueError, match="a Fixed has no parameters to train"):
        Joint(Fixed(ready.none()))
    with pytest.raises(ValueError, match="width 3 of SpatialTransformer: give an even number"):
        SpatialTransformer(3)


# ---- when testing too ----


@pytest.fixture(scope="module")
def both_forms() -> dict[bool, tuple[list[Record], TrainingRun]]:
    """The same training, applied at test or not: its records, and itself after the last one."""
    forms = {}
    for at_test in (False, True):
        policy, ends = SpatialTransformer(4, at_test=at_test), []
        learner = Joint(policy, lr=0.1)
        records = list(train(TASK, policy, MIXES["none"](), learner, seeded(), test=True, finished=ends.append))
        forms[at_test] = records, ends[0]
    return forms


def test_only_the_scores_tell_whether_it_is_applied_at_test(
    both_forms: dict[bool, tuple[list[Record], TrainingRun]],
) -> None:
    (plain, plain_run), (moved, moved_run) = both_forms[False], both_forms[True]
    for one, other in zip(plain, moved, strict=True):
        assert one.metrics["train_loss"] == other.metrics["train_loss"]
        assert one.metrics["val_nll"] != other.metrics["val_nll"]
    assert plain[-1].metrics["test_nll"] != moved[-1].metrics["test_nll"]
    for name, value in plain_run.state_dict()["policy"].items():
        assert torch.equal(value, moved_run.state_dict()["policy"][name])


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("at_test", [False, True])
@torch.no_grad()
def test_a_score_is_that_of_one_movement_of_each_image(
    both_forms: dict[bool, tuple[list[Record], TrainingRun]], at_test: bool, split: str
) -> None:
    """By noise of the stream for it, without dropout; in the form for training alone that of the images as they are."""
    records, run = both_forms[at_test]
    samples = getattr(run.data, split)
    policy = SpatialTransformer(4)
    policy.load_state_dict(run.policy.state_dict())
    rng = Generator()
    rng.set_state(run.streams["evaluate"].get_state())
    images = samples.images.float() / 255 if samples.images.dtype == torch.uint8 else samples.images
    if at_test:
        grid = F.affine_grid(policy.eval().matrix(images, rng), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, align_corners=False)
    nll = F.cross_entropy(run.model.eval()((images - run.mean) / run.std), samples.targets)
    assert records[-1].metrics[f"{split}_nll"] == pytest.approx(nll.item(), rel=1e-4)


def test_an_evaluation_changes_nothing_of_the_transformer_and_has_no_dropout() -> None:
    policy, images = SpatialTransformer(8, at_test=True), torch.rand(6, 1, 8, 8, generator=seeded())
    policy(images, seeded())
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    seen = policy.evaluated(images, seeded(3))
    assert policy.training
    assert not seen.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert not torch.equal(policy(images, seeded(3)), seen), "in training half of the features are dropped"
    assert torch.equal(policy.eval()(images, seeded(3)), seen)


def test_while_refining_it_is_off_when_testing_as_in_training() -> None:
    task = replace(TASK, epochs=1, refine_epochs=1)
    run = TrainingRun(task, SpatialTransformer(4, at_test=True), MIXES["none"](), None, seeded(), task.load())
    images = torch.rand(3, 1, 8, 8, generator=seeded())
    run.epoch = 1
    assert not torch.equal(run.shown(images, seeded()), images)
    run.epoch = 2
    assert run.shown(images, seeded()) is images


def test_a_resumed_run_has_the_scores_of_the_uninterrupted_one(
    tmp_path: Path, both_forms: dict[bool, tuple[list[Record], TrainingRun]]
) -> None:
    whole = both_forms[True][0]

    def again(seed: int, checkpoint: Checkpoint) -> Iterator[Record]:
        policy = SpatialTransformer(4, at_test=True)
        learner = Joint(policy, lr=0.1)
        return train(TASK, policy, MIXES["none"](), learner, seeded(seed), test=True, resume=checkpoint)

    begun = again(0, Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
    next(begun), next(begun)
    begun.close()
    (rest,) = again(9, Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"]))
    assert (rest.metrics, rest.policy) == (whole[1].metrics, whole[1].policy)


def test_a_seed_has_noise_of_its_own_and_all_epochs_share_it(
    both_forms: dict[bool, tuple[list[Record], TrainingRun]],
) -> None:
    run, images = both_forms[True][1], torch.rand(3, 1, 8, 8, generator=seeded())
    data = run.loaded
    other = TrainingRun(TASK, SpatialTransformer(4, at_test=True), MIXES["none"](), None, seeded(1), data)
    fresh = TrainingRun(TASK, SpatialTransformer(4, at_test=True), MIXES["none"](), None, seeded(0), data)
    assert torch.equal(run.streams["evaluate"].get_state(), fresh.streams["evaluate"].get_state()), "after two epochs"
    assert not torch.equal(
        other.shown(images, other.streams["evaluate"]), fresh.shown(images, fresh.streams["evaluate"])
    )


def test_what_is_trained_anew_is_tested_without_and_the_tree_says_so() -> None:
    plain, moved = (stn(4, at_test).policy().tree().provenance["approximation"] for at_test in (False, True))
    assert moved == f"{plain}; images are not moved when testing"
    assert not isinstance(Fixed(stn(4, at_test=True).policy().tree()), AppliedAtTest)


def test_a_loop_of_ones_own_evaluates_by_itself() -> None:
    policy = SpatialTransformer(4, at_test=True)
    with pytest.raises(ValueError, match="at_test=True: a loop of train= evaluates by itself"):
        Joint(policy).learn(None)  # type: ignore[arg-type]
