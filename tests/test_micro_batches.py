"""Losses in parts: the same numbers as of the whole, with one graph at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_problems import OPS, SMALL, TASK, Brightened, Noisy, batch, network, seeded, spread
from torch import Tensor, nn
from torch.nn import functional as F

from autoaug.hypergrad import (
    Hypergrad,
    ModelLoss,
    Parts,
    conjugate_gradient,
    gauss_newton_cg,
    identity,
    neumann,
    running,
    unrolled,
)
from autoaug.learners import Bilevel, Problem, Updates
from autoaug.learners._estimators import pathwise, score
from autoaug.mixing import MIXES
from autoaug.policy import Choices, Relaxed
from autoaug.train import train

ALL: dict[str, Callable[[], Hypergrad]] = {
    "identity": identity,
    "neumann": lambda: neumann(5, 0.1),
    "conjugate_gradient": lambda: conjugate_gradient(5, 1.0),
    "gauss_newton_cg": lambda: gauss_newton_cg(5, 1.0),
    "running": lambda: running(0.1),
    "unrolled": lambda: unrolled(2, 0.1, momentum=0.9),
}


def normalised() -> nn.Module:
    layers = nn.Conv2d(1, 2, 3, stride=2), nn.BatchNorm2d(2), nn.GELU(), nn.Flatten(), nn.Linear(18, 10)
    return nn.Sequential(*layers)


def problem(kind: Any = None, size: int = 11, micro_batch: int | None = None) -> Problem:
    double = torch.float64
    model = (network(kind) if kind else network()).double()
    return Problem(
        Brightened().double(), model, batch(size, 1, double), batch(9, 2, double), seeded(), micro_batch=micro_batch
    )


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("micro_batch", [1, 4])
@pytest.mark.parametrize("hypergrad", ALL.values(), ids=ALL)
def test_without_batch_statistics_the_parts_are_the_whole(hypergrad: Callable[[], Any], micro_batch: int) -> None:
    whole, parts = (pathwise(hypergrad(), problem(micro_batch=size)) for size in (None, micro_batch))
    assert whole["factor"].abs() > 1e-6
    assert relative(parts["factor"], whole["factor"]) < 1e-10


@pytest.mark.parametrize("hypergrad", ALL.values(), ids=ALL)
def test_with_batch_statistics_they_are_the_sum_of_the_losses_of_the_parts(hypergrad: Callable[[], Any]) -> None:
    """In one graph, which `Parts` never holds."""
    given = problem(normalised, micro_batch=4)

    def part(rows: slice) -> ModelLoss:
        def outputs(weights: Any, hyper: Any) -> tuple[Tensor, Tensor]:
            return given.predict(weights, given.train.images[rows] * hyper["factor"]), given.train.targets[rows]

        return ModelLoss(outputs, F.cross_entropy)

    train_loss = given.by_parts(given.train, part)
    assert isinstance(train_loss, Parts)

    def together(weights: Any, hyper: Any) -> tuple[Any, ...]:
        logits = [loss.logits(weights, hyper)[0] for loss in train_loss.losses]  # type: ignore[attr-defined]
        return torch.cat(logits), given.train.targets

    one = ModelLoss(together, F.cross_entropy)
    seen = given.outer
    found = hypergrad()(train_loss, seen, given.weights, given.hyper)["factor"]
    wanted = hypergrad()(one, lambda w, h: seen(w, h), given.weights, given.hyper)["factor"]
    assert relative(found, wanted) < 1e-10
    whole = pathwise(hypergrad(), problem(normalised))["factor"]
    assert relative(whole, wanted) > 1e-3, "batch statistics of the whole are others"


def test_the_score_of_parts_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = spread(Relaxed(OPS)).double()
    drawn, found = policy.sample(11, seeded(5)), []
    for micro_batch in (None, 4):
        at = [0]

        def sample(count: int, rng: Any, at: list[int] = at) -> Choices:
            at[0] += count
            return Choices(*(each[:, at[0] - count : at[0]] for each in drawn))

        monkeypatch.setattr(policy, "sample", sample)
        found.append(score(neumann(3, 0.1), replace(problem(micro_batch=micro_batch), policy=policy)))
        assert at == [11]
    for name, slope in found[0].items():
        assert slope.abs().max() > 1e-6
        assert relative(found[1][name], slope) < 1e-10


def test_parts_are_about_equal_and_draw_differently() -> None:
    given = problem(size=11, micro_batch=4)
    assert given.parts(given.train) == [slice(0, 3), slice(3, 7), slice(7, 11)]
    assert problem(size=11, micro_batch=11).parts(given.train) == [slice(0, 11)]
    draws = [torch.rand(3, generator=given.repeat(first)) for first in (0, 3, 0, 3)]
    assert torch.equal(draws[0], draws[2])
    assert torch.equal(draws[1], draws[3])
    assert not torch.equal(draws[0], draws[1])


@pytest.mark.parametrize("hypergrad", [identity(), neumann(3, 0.1), gauss_newton_cg(2, 1.0)])
def test_no_more_than_a_part_goes_through_the_network_at_once(hypergrad: Hypergrad) -> None:
    sizes: list[int] = []
    given = problem(size=20, micro_batch=6)
    given.logits = lambda images, net: (sizes.append(len(images)), net(images))[1]  # type: ignore[func-returns-value]
    pathwise(hypergrad, given)
    assert max(sizes) == 5
    assert sum(sizes[:2]) == 9, "the validation images, in two parts"


@pytest.mark.parametrize("estimator", ["pathwise", "score"])
def test_updates_in_parts_touch_nothing_and_record_the_loss_of_all(estimator: str) -> None:
    model, policy = network(Noisy), Relaxed(OPS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learner = Bilevel(policy, neumann(2, 0.01), Updates(estimator=estimator, micro_batch=8))
    learner.update(model, batch(20, 1), batch(30, 2), seeded())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert 2 < learner.metrics()["hyper_val_loss"] < 4, "about log 10, the mean over the parts and not the sum"
    assert policy.tree() != Relaxed(OPS).tree()


def test_the_trainer_passes_the_size_of_the_parts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []
    for updates, task in ((SMALL, replace(TASK, micro_batch=25)), (replace(SMALL, micro_batch=7), TASK), (SMALL, TASK)):
        policy = Relaxed()
        learner = Bilevel(policy, updates=updates)
        monkeypatch.setattr(learner, "advance", lambda problem, optimiser: seen.append(problem.micro_batch))
        list(train(replace(task, epochs=1), policy, MIXES["none"](), learner, seeded()))
    assert seen == [25] * 2 + [7] * 2 + [None] * 2


def test_a_size_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Updates.micro_batch is 1: give a whole number of at least 2"):
        Updates(micro_batch=1)


def test_products_are_noted_once_per_part() -> None:
    """Identity takes one backward graph per part; each product of the series makes them again."""
    calls: list[int] = []
    given = problem(size=12, micro_batch=4)
    given.logits = lambda images, net: (calls.append(1), net(images))[1]  # type: ignore[func-returns-value]
    for steps, passes in ((0, 3), (2, 9)):
        calls.clear()
        pathwise(neumann(steps, 0.01, guard_steps=0), given)
        assert len(calls) == passes + 3, "and three parts of nine validation images"
