"""What a bilevel training refuses, warns of, and survives."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from small_problems import OPS, SMALL, TASK, Brightened, batch, network, seeded
from torch import Tensor, nn

from autoaug import Budget, Study
from autoaug.hypergrad import identity, unrolled
from autoaug.learners import Bilevel, HypergradientError, Updates
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, Relaxed, Warp, ready
from autoaug.strategies import Strategy
from autoaug.study import preflight
from autoaug.train import train


def refused(message: str, learner: Callable[[Relaxed], Bilevel], **task: Any) -> None:
    policy = Relaxed()
    with pytest.raises(ValueError, match=message):
        list(train(replace(TASK, **task), policy, MIXES["none"](), learner(policy), seeded()))


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
    rare = Updates(every=3, optimiser=partial(torch.optim.RMSprop, lr=1e-2))
    often = Updates(every=1)
    [caution] = Bilevel(Relaxed(), updates=rare).cautions(TASK, 400)
    assert caution.startswith("8 updates at learning rate 0.01 cannot move a logit by 3")
    assert Bilevel(Relaxed(), updates=often).cautions(TASK, 400) == []
    assert Bilevel(Warp(), updates=replace(rare, estimator="pathwise")).cautions(TASK, 400) == [], "it has no logits"

    def learner(policy: Relaxed, updates: Updates = rare) -> Bilevel:
        return Bilevel(policy, updates=updates)

    strategies = {"rare": Strategy(policy=Relaxed, space={}, within=learner)}
    study = Study(name="x", task=TASK, strategies=strategies, budget=Budget(trials=1))
    with pytest.warns(UserWarning, match=r"8 updates at learning rate 0.01 cannot move a logit by 3") as shown:
        preflight(study)
    assert len(shown) == 1
    preflight(replace(study, strategies={"often": strategies["rare"]._replace(within=partial(learner, updates=often))}))


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
        learner.update(hidden, batch(8, 1), batch(8, 2), seeded())


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
        return found if next(calls) % every == 0 else {name: grad * math.nan for name, grad in found.items()}

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


def test_a_look_ahead_through_an_optimiser_that_is_not_followed_is_refused() -> None:
    model = network()
    learner = Bilevel(Relaxed(), unrolled(1, 0.1))
    with pytest.raises(ValueError, match=r"looks ahead through SGD or AdamW of torch.optim, not Adam"):
        learner.update(model, batch(8, 1), batch(8, 2), seeded(), optimiser=torch.optim.Adam(model.parameters()))


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
