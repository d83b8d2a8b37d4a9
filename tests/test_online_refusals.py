"""What a study with a gradient-based strategy refuses when it is planned, and how one that goes wrong ends."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import IntDistribution
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from autoaug import Budget, Study, Task
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.hypergrad import Hypergrad, identity
from autoaug.models import build
from autoaug.ops import OPS, RANGES
from autoaug.store import Store
from autoaug.strategies import Strategy, madao, madao_cg, madao_first_order, none, online_score, truncated
from autoaug.strategies._online import online
from autoaug.strategies._online_score import SCORE
from autoaug.study import preflight, set_up

TASK = Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2)


def planned(strategy: Strategy, **task: Any) -> Study:
    return Study(name="one", task=replace(TASK, **task), strategies={"online": strategy}, budget=Budget(trials=1))


def refused(message: str, strategy: Strategy, **task: Any) -> None:
    """A plan names the strategy, what is wrong and what would be right, in one line."""
    with pytest.raises(ValueError, match=rf"^strategy 'online' of study 'one': {message}") as error:
        preflight(planned(strategy, **task))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("constructor", [online_score, madao, madao_cg, madao_first_order])
def test_operations_that_a_gradient_cannot_move_are_named(
    constructor: Callable[..., Strategy], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(r"op 'cutout' draws for itself.*leave it out of Relaxed\(ops=", constructor(ops=("rotate", "cutout")))
    refused(r"unknown op of Relaxed 'rotat': did you mean 'rotate'", constructor(ops=("rotat",)))
    gradient: Any = "none"
    monkeypatch.setitem(RANGES, "autoaugment", OPS | {"invert": replace(OPS["invert"], gradient=gradient)})
    refused(r"op 'invert' has no gradient: leave it out of Relaxed\(ops=", constructor())
    preflight(planned(constructor(ops=("rotate", "shear_x"))))


def test_what_relaxed_takes_reaches_it() -> None:
    learner: Any = set_up(planned(madao(ops=("rotate", "invert"), stages=3, ranges="wide")), "online", {}).learner
    assert [op.name for op in learner.policy.ops] == ["rotate", "invert"]
    assert learner.policy.selection.shape == (3, 2)
    assert learner.policy.ops[0].most == 135
    warm: Any = set_up(planned(madao(temperature=0.3)), "online", {}).learner
    assert warm.policy.temperature == 0.3


def without_validation(root: Path) -> Any:
    images, targets = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    return (images, targets), (images[:0], targets[:0])


@pytest.mark.parametrize("strategy", [madao(), truncated()], ids=["madao", "truncated"])
def test_no_validation_images(strategy: Strategy) -> None:
    with pytest.raises(ValueError, match=r"^the val images of data 'without_validation' are none"):
        preflight(planned(strategy, data=without_validation))


@pytest.mark.parametrize(
    ("strategy", "epochs", "message"),
    [
        (online_score(), 1, None),
        (madao(), 1, None),
        (truncated(every=161), 20, r"every=161 steps is longer than the training .*would never move; lower it"),
        (truncated(every=160), 20, None),
        (madao("paper"), 30, r"warmup=30 epochs of Task.epochs=30: the policy would never move; lower it"),
        (madao("paper"), 37, r"every=60 steps is longer than the training after its warm-up of 30 epochs"),
        (madao("paper"), 38, None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_a_schedule_without_any_update(strategy: Strategy, epochs: int, message: str | None) -> None:
    """160 steps are 20 epochs of 8."""
    if message:
        refused(message, strategy, epochs=epochs)
    else:
        preflight(planned(strategy, epochs=epochs))


class Doubled(nn.Module):
    """exp, whose derivative is its result, which is then overwritten."""

    inplace = True

    def forward(self, images: Tensor) -> Tensor:
        found = images.exp()
        found *= 2
        return found


def in_place(classes: int, channels: int) -> nn.Module:
    model = build("convnet", classes, channels, torch.Generator().manual_seed(0))
    return nn.Sequential(model, Doubled())


@pytest.mark.parametrize("strategy", [madao(), madao_cg(), truncated()], ids=["madao", "madao_cg", "truncated"])
def test_a_model_without_second_derivatives_is_named_with_its_module(strategy: Strategy) -> None:
    wanted = r"in_place with Bilevel fails in training on two images of 1x8x8: Sequential has no second derivative: 1\."
    refused(wanted, strategy, model=in_place)


def not_a_number() -> Hypergrad:
    """A solver that always fails."""
    return lambda *given: tree_map(lambda slope: slope * math.nan, identity()(*given))


def test_hypergradients_that_are_no_numbers_fail_the_trial_and_spare_the_other_strategies(tmp_path: Path) -> None:
    strategies = {"online": online(not_a_number, replace(SCORE, estimator="pathwise")), "none": none()}
    study = Study(name="one", task=replace(TASK, epochs=7), strategies=strategies, budget=Budget(trials=1), seeds=1)
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.warns(UserWarning, match="cannot move a logit"):
        run(study, store, options=Options(artifacts=tmp_path / "artifacts"))
    failed, *others = sorted(store.outcomes("one"), key=lambda outcome: outcome.strategy != "online")
    assert failed.state == "FAIL"
    assert failed.reason.startswith("HypergradientError: 10 hypergradients in a row have the norm nan: lower the")
    skipped = [record.metrics["hyper_skipped"] for record in store.epochs("one") if record.strategy == "online"]
    assert skipped == [1, 3, 4, 6, 8, 9], "each skipped update was counted while the training went on"
    assert [(outcome.strategy, outcome.state) for outcome in others] == [("none", "COMPLETE")] * 2


def test_a_searched_schedule_that_can_never_move_is_refused_by_its_point() -> None:
    strategy = madao(search=("learner.warmup",))._replace(space={"learner.warmup": IntDistribution(20, 30)})
    refused(r"warmup=20 epochs of Task.epochs=20.*\(tried: learner.warmup=20\)", strategy)
