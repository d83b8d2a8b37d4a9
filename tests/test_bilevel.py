"""The learner: its two estimators against exact answers, what it leaves alone, and what it refuses."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.checkpoint import Checkpoint
from autoaug.data import Source, Split, Standard, load_data
from autoaug.hypergrad import directional, exact, gauss_newton_cg, identity, neumann, running, unrolled
from autoaug.learners import Batch, Bilevel, HypergradientError, Problem, Updates, diagnose
from autoaug.learners.bilevel import ahead
from autoaug.learners.estimators import ESTIMATORS, advantage, pathwise, score
from autoaug.learners.replay import learned, replay
from autoaug.mixing import MIXES
from autoaug.models import build
from autoaug.policy import Choices, Fixed, PolicyTree, Relaxed, ready
from autoaug.record import Record
from autoaug.train import Task, train

TASK = Task(data="digits-rotated", model="convnet", epochs=3, batch_size=50, lr=0.2)
SMALL = Updates(every=4, hyper_batch=60, val_batch=60)
OPS = ("rotate", "invert", "brightness")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def batch(size: int, seed: int, dtype: torch.dtype = torch.float32) -> Batch:
    rng = seeded(seed)
    return Batch(torch.rand(size, 1, 8, 8, generator=rng, dtype=dtype), torch.randint(10, (size,), generator=rng))


class Smooth(nn.Module):
    """A small network without batch statistics, kinks or noise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 6), nn.Linear(6, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(images.flatten(1)).tanh())


class Noisy(nn.Module):
    """A network with running statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout())
        self.last = nn.Linear(4 * 36, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.net(images))


def network(kind: Callable[[], nn.Module] = Smooth) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind()


def spread(policy: Relaxed) -> Relaxed:
    rng = seeded(7)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=rng))
    return policy


def small_problem(policy: Relaxed, size: int = 2) -> Problem:
    double = torch.float64
    return Problem(policy.double(), network().double(), batch(size, 1, double), batch(20, 2, double), seeded(3))


# The estimators against exact answers


def every_draw(policy: Relaxed, size: int) -> list[Choices]:
    """All that `sample` can give for a batch, without its signs where an operation has none."""
    stages, width = policy.selection.shape
    ranges = [range(width)] * (stages * size) + [(False, True)] * (stages * size) + [(1.0, -1.0)] * (stages * size)
    found = []
    for row in itertools.product(*ranges):
        parts = [torch.tensor(row[k * stages * size : (k + 1) * stages * size]).view(stages, size) for k in range(3)]
        choices = Choices(parts[0], parts[1], parts[2].double())
        if bool(((choices.sign > 0) | policy.signed[choices.option]).all()):
            found.append(choices)
    return found


def chance(policy: Relaxed, choices: Choices) -> Tensor:
    """Of a draw of each image, [B], signs included."""
    return policy.log_probability(choices).exp() * 0.5 ** policy.signed[choices.option].double().sum(0)


def enumerated(policy: Relaxed, problem: Problem) -> dict[str, Tensor]:
    """- d/dφ E <p, ∂train/∂w> with p = ∂val/∂w, by all draws of each image: exact, and another way of computing it."""
    names = list(problem.weights)
    weights = {name: weight.detach().requires_grad_() for name, weight in problem.weights.items()}
    pull = torch.autograd.grad(problem.val_loss(weights, None), [weights[name] for name in names])
    total = torch.zeros((), dtype=torch.float64)
    for choices in every_draw(policy, 1):
        for k in range(len(problem.train.targets)):
            images = policy(problem.train.images[k : k + 1], seeded(), choices)
            loss = F.cross_entropy(problem.predict(weights, images), problem.train.targets[k : k + 1])
            slopes = torch.autograd.grad(loss, [weights[name] for name in names], create_graph=True)
            along = sum((slope * p).sum() for slope, p in zip(slopes, pull, strict=True))
            total = total - chance(policy, choices)[0] * along / len(problem.train.targets)
    found = torch.autograd.grad(total, list(policy.parameters()))
    return dict(zip(problem.hyper, found, strict=True))


@pytest.mark.parametrize("stages", [1, 2])
def test_score_equals_the_enumeration_of_all_operations(stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of the estimate over every draw of the batch, each weighed by its probability, is the gradient."""
    size = 2 if stages == 1 else 1
    policy = spread(Relaxed(OPS if stages == 1 else OPS[1:], stages=stages))
    problem = small_problem(policy, size)
    mean = {name: torch.zeros_like(value) for name, value in problem.hyper.items()}
    monkeypatch.setattr("autoaug.learners.estimators.advantage", advantage if size > 1 else lambda credit: credit)
    total = 0.0
    for choices in every_draw(policy, size):
        monkeypatch.setattr(policy, "sample", lambda size, rng, choices=choices: choices)
        weight = chance(policy, choices).prod().item()
        total += weight
        for name, slope in score(identity(), problem).items():
            mean[name] += weight * slope
    assert total == pytest.approx(1)
    for name, wanted in enumerated(policy, problem).items():
        assert wanted.abs().max() > 1e-6
        assert torch.allclose(mean[name], wanted, rtol=1e-9, atol=1e-12), name


def test_the_credit_of_an_image_is_the_derivative_of_its_loss_along_the_solved_vector() -> None:
    policy = spread(Relaxed(OPS))
    problem = small_problem(policy, 6)
    solver, seen = neumann(3, 0.1), []

    def watched(*given: Any) -> Any:
        seen.append(solver(*given))
        return seen[0]

    found = score(watched, problem)
    choices = policy.sample(6, problem.repeat())
    images = policy(problem.train.images, seeded(), choices).detach()

    def losses(weights: dict[str, Tensor], hyper: Any) -> Tensor:
        return F.cross_entropy(problem.predict(weights, images), problem.train.targets, reduction="none")

    along = solver.solve(lambda w, h: losses(w, h).mean(), problem.val_loss, problem.weights, [])
    wanted = -directional(losses, problem.weights, [], along) / 6
    assert torch.allclose(seen[0]["weight"], wanted, rtol=1e-9)
    slopes = torch.autograd.grad(advantage(wanted) @ policy.log_probability(choices), [policy.selection])
    assert torch.allclose(found["selection"], slopes[0], rtol=1e-9)


class Brightened(nn.Module):
    """A policy without any randomness: each image times a factor."""

    def __init__(self, entries: int = 1) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(entries))

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return images * self.factor.to(images).repeat(len(images) // len(self.factor)).view(-1, 1, 1, 1)


def test_the_pathwise_look_ahead_is_the_derivative_through_a_real_step_of_the_optimiser() -> None:
    """Against differences of the validation loss after torch's own SGD took its next step."""
    policy = spread(Relaxed(("rotate", "brightness"))).double()
    problem = Problem(policy, network().double(), batch(30, 1, torch.float64), batch(30, 2, torch.float64), seeded(3))
    settings: dict[str, Any] = {"lr": 0.3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    optimiser = torch.optim.SGD(problem.model.parameters(), **settings)
    for _ in range(2):  # momentum buffers that are not empty
        optimiser.zero_grad()
        F.cross_entropy(problem.model(problem.train.images), problem.train.targets).backward()
        optimiser.step()
    optimiser.zero_grad()
    found = pathwise(ahead(unrolled(1, lr=7.0), problem.weights, optimiser), problem)

    def after(name: str, entry: tuple[int, ...], way: float) -> float:
        model = copy.deepcopy(problem.model)
        stepper = torch.optim.SGD(model.parameters(), **settings)
        stepper.load_state_dict(copy.deepcopy(optimiser.state_dict()))
        moved = {key: value.detach().clone() for key, value in policy.named_parameters()}
        moved[name][entry] += way
        images = torch.func.functional_call(policy, moved, (problem.train.images, problem.repeat()))
        F.cross_entropy(model(images), problem.train.targets).backward()
        stepper.step()
        return F.cross_entropy(model(problem.val.images), problem.val.targets).item()

    for name in ("probability", "strength"):
        for entry in itertools.product(range(2), range(2)):
            slope = (after(name, entry, 1e-6) - after(name, entry, -1e-6)) / 2e-6
            assert slope == pytest.approx(float(found[name][entry]), rel=1e-4, abs=1e-9)
            assert slope != 0


@pytest.mark.parametrize(
    "hypergrad", [exact(0.5), neumann(2, 0.1), running(0.1), gauss_newton_cg(3, 1.0), unrolled(2, lr=0.1)]
)
@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_every_hypergradient_goes_with_every_estimator(estimator: str, hypergrad: Any) -> None:
    problem = small_problem(spread(Relaxed(OPS)), 8)
    found = ESTIMATORS[estimator](hypergrad, problem)
    for name, value in problem.policy.named_parameters():
        assert found[name].shape == value.shape
        assert bool((found[name] != 0).any()), name


def test_an_estimate_repeats_its_draws_and_the_next_one_has_others() -> None:
    policy = Relaxed(OPS)
    for estimate in ESTIMATORS.values():
        first, same = (
            estimate(identity(), Problem(policy, network(Noisy), batch(30, 1), batch(30, 2), seeded(3)))
            for _ in range(2)
        )
        rng = seeded(3)
        estimate(identity(), Problem(policy, network(Noisy), batch(30, 1), batch(30, 2), rng))
        other = estimate(identity(), Problem(policy, network(Noisy), batch(30, 1), batch(30, 2), rng))
        assert all(torch.equal(first[name], same[name]) for name in first)
        assert not torch.equal(first["selection"], other["selection"])


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


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path: Path, stop: int, estimator: str) -> None:
    task = replace(TASK, model=lambda classes, channels: Noisy())

    def learner(policy: Relaxed) -> Bilevel:
        return Bilevel(policy, running(0.1), replace(SMALL, estimator=estimator))

    whole = run_it(learner, task)
    first, policy = Checkpoint(tmp_path / "1.pt", every_seconds=0), Relaxed()
    interrupted = train(task, policy, MIXES["none"](), learner(policy), seeded(), first)
    for _ in range(stop + 1):
        next(interrupted)
    interrupted.close()
    rest = run_it(learner, task, seed=99, resume=Checkpoint(tmp_path / "2.pt", read=tmp_path / "1.pt"))
    assert [record.policy for record in rest] == [record.policy for record in whole[stop:]]
    for one, two in zip(rest, whole[stop:], strict=True):
        assert {**one.metrics, "hyper_seconds": 0} == {**two.metrics, "hyper_seconds": 0}


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
    found = pathwise(ahead(unrolled(2, 0.0), problem.weights, optimiser), problem)
    assert diagnose.alignment(found, problem, optimiser, steps=2, reach=0.01) > 0.99
    turned = {name: -slope for name, slope in found.items()}
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

    Bilevel(Relaxed()).update(network(), images, batch(30, 2), seeded(), logits=logits)
    assert sorted(seen) == [20, 30]


# What cannot work


def refused(message: str, learner: Callable[[Relaxed], Bilevel], **task: Any) -> None:
    with pytest.raises(ValueError, match=message):
        run_it(learner, replace(TASK, **task))


def test_a_schedule_under_which_nothing_moves_is_refused() -> None:
    refused(r"every=25 steps is longer than the training", lambda p: Bilevel(p, updates=replace(SMALL, every=25)))
    refused(r"warmup=3 epochs of Task.epochs=3", lambda p: Bilevel(p, updates=replace(SMALL, warmup=3)))
    refused(
        r"every=7 .* after its warm-up of 2 epochs",
        lambda p: Bilevel(p, updates=replace(SMALL, every=7, warmup=2)),
        batch_size=100,
    )


def test_updates_are_counted_as_they_happen() -> None:
    for every, warmup in ((1, 0), (5, 1), (7, 2)):
        updates = replace(SMALL, every=every, warmup=warmup)
        policy = Relaxed()
        learner = Bilevel(policy, updates=updates)
        last = list(train(TASK, policy, MIXES["none"](), learner, seeded()))[-1]
        assert last.metrics["hyper_updates"] == learner.expected_updates(TASK, 400)


def test_no_validation_images_are_refused() -> None:
    learner = Bilevel(Relaxed())
    with pytest.raises(ValueError, match=r"no validation images.*Task.val_fraction"):
        learner.check(TASK, 400, 0)


def test_a_plan_whose_updates_cannot_move_a_logit_warns() -> None:
    data = load_data(TASK.data)
    learner = Bilevel(Relaxed(), updates=Updates(every=3, optimiser=partial(torch.optim.RMSprop, lr=1e-2)))
    with pytest.warns(UserWarning, match=r"8 updates at learning rate 0.01 cannot move a logit by 3"):
        learner.preflight(TASK, data, build("convnet", 10, 1, seeded()))
    Bilevel(Relaxed(), updates=Updates(every=1)).preflight(TASK, data, build("convnet", 10, 1, seeded()))


class InPlace(nn.Module):
    """`squash_` overwrites what its own derivative needs twice."""

    def __init__(self, module: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(64, 8), module or nn.Sigmoid(), nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.act(self.first(images.flatten(1)))
        return self.last(hidden.tanh().mul_(hidden))


class Doubling(nn.Module):
    inplace = True

    def forward(self, x: Tensor) -> Tensor:
        y = x.exp()
        y *= 2  # exp's derivative is its result
        return y


def test_a_module_that_works_in_place_is_named() -> None:
    model = network(lambda: InPlace(Doubling()))
    learner = Bilevel(Relaxed())
    with pytest.raises(RuntimeError, match=r"InPlace has no second derivative: act\. no hypergradient"):
        learner.update(model, batch(8, 1), batch(8, 2), seeded())
    hidden = network(InPlace)
    with pytest.raises(RuntimeError, match=r"no module says inplace=True, so look for \+=, relu_"):
        learner.preflight(replace(TASK, epochs=20), load_data(TASK.data), hidden)


def test_in_place_activations_that_do_no_harm_are_welcome() -> None:
    model = network(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(inplace=True), nn.Linear(8, 10)))
    learner = Bilevel(Relaxed())
    learner.update(model, batch(8, 1), batch(8, 2), seeded())
    assert learner.metrics()["hyper_updates"] == 1


def broken(every: int) -> Callable[..., Any]:
    """A hypergradient that is NaN but for each call that `every` divides."""
    calls = itertools.count(1)

    def hypergrad(train_loss: Any, val_loss: Any, weights: Any, hyper: Any) -> Any:
        found = identity()(train_loss, val_loss, weights, hyper)
        return found if next(calls) % every == 0 else {name: slope * math.nan for name, slope in found.items()}

    return hypergrad


def updated(learner: Bilevel, times: int) -> None:
    for k in range(times):
        learner.update(network(), batch(8, k), batch(8, 2), seeded(k))


def test_a_hypergradient_that_is_no_number_is_skipped_and_counted() -> None:
    policy = Relaxed(OPS)
    learner = Bilevel(policy, broken(10), Updates(estimator="pathwise"))
    updated(learner, 9)
    assert policy.tree() == Relaxed(OPS).tree(), "nothing moved, no NaN came in"
    updated(learner, 10)
    assert learner.metrics() | {"hyper_seconds": 0, "hyper_val_loss": 0} == {
        "hyper_updates": 1,
        "hyper_skipped": 18,
        "hyper_seconds": 0,
        "hyper_val_loss": 0,
    }


def test_ten_in_a_row_end_the_training_with_a_reason() -> None:
    learner = Bilevel(Relaxed(OPS), broken(1000), Updates(estimator="pathwise"))
    updated(learner, 9)
    with pytest.raises(HypergradientError, match=r"10 hypergradients in a row have the norm nan: lower the learning"):
        updated(learner, 1)


def test_a_policy_that_cannot_be_moved_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a Fixed has no parameters that a gradient could move"):
        Bilevel(Fixed(ready.none()))
    with pytest.raises(TypeError, match=r"a Brightened has no sample and log_probability.*use 'pathwise'"):
        Bilevel(Brightened())
    Bilevel(Brightened(), updates=Updates(estimator="pathwise"))


def test_a_look_ahead_through_an_optimiser_that_is_not_sgd_is_refused() -> None:
    model = network()
    learner = Bilevel(Relaxed(), unrolled(1, 0.1))
    with pytest.raises(TypeError, match=r"looks ahead through torch.optim.SGD, not Adam"):
        learner.update(model, batch(8, 1), batch(8, 2), seeded(), optimiser=torch.optim.Adam(model.parameters()))
    groups = [{"params": model.first.parameters()}, {"params": model.last.parameters()}]
    with pytest.raises(ValueError, match=r"one group of parameters, the optimiser has 2"):
        learner.update(model, batch(8, 1), batch(8, 2), seeded(), optimiser=torch.optim.SGD(groups, lr=0.1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every": 0}, r"Updates.every is 0: give a whole number of at least 1"),
        ({"warmup": -1}, r"Updates.warmup is -1"),
        ({"hyper_batch": 1}, r"Updates.hyper_batch is 1: give a whole number of at least 2"),
        ({"val_batch": 0}, r"Updates.val_batch is 0"),
        ({"estimator": "scor"}, r"unknown estimator of Updates 'scor': did you mean 'score'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Updates(**wrong)


# What a run leaves behind


def moving(records: int) -> list[Record]:
    policy = Relaxed(("rotate", "invert"), stages=1)
    found = []
    for epoch in range(1, records + 1):
        with torch.no_grad():
            policy.selection[0, 0] += epoch > 2
        found.append(Record(epoch=epoch, phase="augment", policy=policy.tree().model_dump(mode="json")))
    refined = Record(epoch=records + 1, phase="refine", policy=Relaxed().tree().model_dump(mode="json"))
    return [*found, refined]


def test_the_last_policy_and_the_way_to_it_can_be_run_again() -> None:
    records = moving(5)
    trees = [PolicyTree.model_validate(record.policy) for record in records]
    assert learned(records) == trees[4]
    whole = replay(records)
    assert [step.epoch for step in whole.root.steps] == [1, 3, 4, 5]  # type: ignore[union-attr]
    for epoch in range(1, 6):
        assert whole.at(epoch) == trees[epoch - 1].root
    assert whole.at(99) == trees[4].root
    policy = Fixed(whole)
    policy.at(4)
    assert torch.equal(policy(batch(8, 1).images, seeded()), Fixed(trees[3])(batch(8, 1).images, seeded()))


def test_a_long_way_is_thinned_and_keeps_its_end() -> None:
    records = moving(40)
    thin = replay(records, most=10)
    steps = thin.root.steps  # type: ignore[union-attr]
    assert steps[0].epoch == 1
    assert len(steps) <= 10
    assert thin.at(40) == learned(records).root


def test_a_run_without_a_learner_left_no_policy() -> None:
    with pytest.raises(ValueError, match=r"no record of this run holds a policy"):
        learned([Record(epoch=1, phase="augment")])


def test_a_step_draws_the_batches_it_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    policy = Relaxed()
    learner = Bilevel(policy, updates=replace(SMALL, hyper_batch=5000, val_batch=None, every=8))
    monkeypatch.setattr(
        learner, "update", lambda model, train, val, rng, **more: seen.append((len(train[1]), len(val[1])))
    )
    list(train(TASK, policy, MIXES["none"](), learner, seeded()))
    assert seen == [(400, 600)] * 3
