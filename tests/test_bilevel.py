"""The learner: what an update leaves alone, in the trainer and in one's own loop."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from small_problems import OPS, SMALL, TASK, Brightened, Noisy, batch, network, seeded
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug.data import Source, Split, Standard, load_data
from autoaug.hypergrad import neumann, running, unrolled
from autoaug.learners import Bilevel, Problem, Updates
from autoaug.learners import _diagnose as diagnose
from autoaug.learners._bilevel import with_optimiser_state
from autoaug.learners._estimators import ESTIMATORS, pathwise
from autoaug.mixing import MIXES
from autoaug.models import build
from autoaug.policy import PolicyTree, Relaxed, Warp
from autoaug.record import Record
from autoaug.testing import LearnerTestCase
from autoaug.train import Task, train


class TestScore(LearnerTestCase):
    updates = Updates(every=2, hyper_batch=20, val_batch=20)

    def policy(self) -> Any:
        return Relaxed(OPS)

    def learner(self, policy: Any) -> Bilevel:
        return Bilevel(policy, running(0.1), self.updates)

    def impossible(self) -> list[tuple[Task, int, int]]:
        one_step = replace(self.task(), epochs=1, batch_size=40)  # where every second one moves the policy
        return [(one_step, 40, 30), (self.task(), 40, 0)]

    def pointless(self) -> list[Task]:
        return [replace(self.task(), epochs=1)]


class TestPathwise(LearnerTestCase):
    def policy(self) -> Any:
        return Relaxed(OPS)

    def learner(self, policy: Any) -> Bilevel:
        return Bilevel(policy, running(0.1), replace(TestScore.updates, estimator="pathwise"))


class TestOfTheTrainingStepItself(LearnerTestCase):
    """Asks for the graph of a training step instead of making one of its own."""

    def policy(self) -> Any:
        return Warp("translation", "range")

    def learner(self, policy: Any) -> Bilevel:
        return Bilevel(policy, unrolled(1, 0.1), Updates(every=2, val_batch=20, reuse_graph=True, estimator="pathwise"))

    def impossible(self) -> list[tuple[Task, int, int]]:
        return [(replace(self.task(), optimiser="adam"), 40, 30)]


# What an update leaves alone


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_an_update_touches_nothing_but_the_policy(estimator: str) -> None:
    model, policy = network(Noisy), Relaxed()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images, targets = batch(40, 1)
    with torch.random.fork_rng(devices=[]):
        F.cross_entropy(model(images), targets).backward()
    optimiser.step()
    before = copy.deepcopy((model.state_dict(), optimiser.state_dict(), [p.grad for p in model.parameters()]))
    start = copy.deepcopy(policy.state_dict())
    world = torch.random.get_rng_state()
    given = (images.clone(), targets.clone())
    Bilevel(policy, unrolled(1, 0.1), Updates(estimator=estimator)).update(
        model, (images, targets), batch(40, 2), seeded(), optimiser=optimiser
    )
    after = (model.state_dict(), optimiser.state_dict(), [p.grad for p in model.parameters()])
    assert str(before) == str(after)
    for one, two in zip(
        [*before[0].values(), *before[2]],
        [*after[0].values(), *after[2]],
        strict=True,  # type: ignore[list-item]
    ):
        assert torch.equal(one, two)  # type: ignore[arg-type]
    assert torch.equal(world, torch.random.get_rng_state())
    assert torch.equal(images, given[0])
    assert all(not torch.equal(start[name], value) for name, value in policy.state_dict().items())
    assert all(parameter.grad is None for parameter in policy.parameters())


def flipped_and_cropped(root: Path) -> Source:
    """Noise with a standard augmentation, which draws too."""
    train, val = (Split(*batch(size, size)) for size in (200, 100))
    return Source(train=train, val=val, test=val, classes=tuple("0123456789"), standard=Standard(pad=0.125, flip=True))


def test_the_network_trains_the_same_until_the_policy_first_moves() -> None:
    """Hyper steps at a learning rate of nothing change nothing at all of the training."""
    still = Updates(every=3, hyper_batch=50, val_batch=50, optimiser=partial(torch.optim.SGD, lr=0.0))
    policy, task = Relaxed(), replace(TASK, data=flipped_and_cropped)
    learners = (None, Bilevel(policy, None, still))
    plain, moved = (list(train(task, policy, MIXES["mixup"](), learner, seeded())) for learner in learners)
    for one, two in zip(plain, moved, strict=True):
        assert all(two.metrics[name] == value for name, value in one.metrics.items())
    assert moved[-1].metrics["hyper_updates"] == 4


# In the trainer


def run_it(learner: Callable[[Relaxed], Bilevel], task: Task = TASK, seed: int = 0, **more: Any) -> list[Record]:
    policy = Relaxed()
    return list(train(task, policy, MIXES["none"](), learner(policy), seeded(seed), **more))


def test_each_record_holds_the_policy_and_what_the_updates_measured() -> None:
    records = run_it(lambda policy: Bilevel(policy, updates=replace(SMALL, warmup=1)), replace(TASK, refine_epochs=1))
    assert [record.metrics["hyper_updates"] for record in records] == [0, 2, 4, 4]
    assert "hypergradient_norm" not in records[0].metrics
    assert records[0].metrics["hyper_seconds"] == 0 == records[3].metrics["hyper_seconds"]
    for record in records[1:3]:
        assert record.metrics["hypergradient_norm"] > 0
        assert record.metrics["hyper_val_loss"] > 0
        assert record.metrics["hyper_seconds"] > 0
        assert record.metrics["hyper_skipped"] == 0
    trees = [PolicyTree.model_validate(record.policy) for record in records]
    assert trees[0] == Relaxed().tree() != trees[1] != trees[2] == trees[3]


def test_diagnosis_is_recorded_on_request_and_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "DIRECTIONS", 2)
    plain, looked = (
        run_it(lambda policy, n=n: Bilevel(policy, updates=replace(SMALL, diagnose=n)), replace(TASK, epochs=1))[0]
        for n in (0, 2)
    )
    assert -1 <= looked.metrics["hypergradient_cosine"] <= 1
    assert "hypergradient_cosine" not in plain.metrics
    assert plain.policy == looked.policy
    assert plain.metrics["train_loss"] == looked.metrics["train_loss"]


def test_an_exact_hypergradient_is_aligned_with_differences_and_a_turned_one_is_not() -> None:
    """Two full-batch steps of a policy without randomness, of which the unrolled derivative is exact."""
    policy = Brightened(20)
    problem = Problem(policy, network(), batch(20, 1), batch(20, 2), seeded(3))
    optimiser = torch.optim.SGD(problem.model.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    found = pathwise(with_optimiser_state(unrolled(2, 0.0), problem.weights, optimiser), problem)
    assert diagnose.alignment(found, problem, optimiser, steps=2, reach=0.01) > 0.99
    turned = {name: -grad for name, grad in found.items()}
    assert diagnose.alignment(turned, problem, optimiser, steps=2, reach=0.01) < -0.99


# In one's own loop


def test_one_loop_of_ones_own(rng: Generator) -> None:
    data = load_data("digits-rotated")
    policy, model = Relaxed(), build("convnet", 10, 1, rng)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    learner = Bilevel(policy, neumann(5, 0.1))
    for rows in torch.randperm(400, generator=rng).split(100):
        images, targets = data.train.images[rows], data.train.targets[rows]
        with torch.no_grad():
            augmented = policy(images, rng)
        optimiser.zero_grad()
        F.cross_entropy(model(augmented), targets).backward()
        optimiser.step()
        learner.update(model, (images, targets), (data.val.images, data.val.targets), rng)
    assert learner.metrics()["hyper_updates"] == 4
    assert policy.tree() != Relaxed().tree()


def test_images_go_through_the_given_normalisation() -> None:
    images, seen = batch(20, 1), []

    def logits(images: Tensor, net: Callable[[Tensor], Tensor]) -> Tensor:
        seen.append(len(images))
        return net(2 * images - 1)

    learner = Bilevel(Relaxed())
    learner.advance(Problem(learner.policy, network(), images, batch(30, 2), seeded(), logits))
    assert sorted(seen) == [20, 30]


def test_a_step_draws_the_batches_it_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    policy = Relaxed()
    learner = Bilevel(policy, updates=replace(SMALL, hyper_batch=5000, val_batch=None, every=8))

    def advance(problem: Problem, optimiser: torch.optim.Optimizer) -> None:
        seen.append((len(problem.train.targets), len(problem.val.targets)))

    monkeypatch.setattr(learner, "advance", advance)
    list(train(TASK, policy, MIXES["none"](), learner, seeded()))
    assert seen == [(400, 600)] * 3
