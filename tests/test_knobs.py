"""The proof of the knobs: dimensions that change nothing are named, those that change something are not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor

from autoaug import Budget, Study, Task, strategies
from autoaug.cli._project import load_study, shipped_root
from autoaug.learners import Bilevel
from autoaug.policy import Fixed, Relaxed, ready
from autoaug.strategies import (
    Strategy,
    autoaugment,
    madao,
    none,
    one_epoch_top_k,
    online_score,
    randaugment,
    truncated,
)
from autoaug.strategies._online import SEARCHABLE
from autoaug.strategies._truncated import SEARCHABLE as OF_TRUNCATED
from autoaug.study import Knob, Loader, knob_warnings, knobs

TASK = Task(data="digits", model="convnet", epochs=3, batch_size=50, device="cpu")
CONSTRUCTORS = [name for name in strategies.__all__ if name[0].islower()]
RATE: dict[str, BaseDistribution] = {"learner.lr": FloatDistribution(0.1, 0.4)}


@pytest.fixture(scope="module")
def load() -> Loader:
    """The data, read once."""
    return Loader()


def asked(strategy: Strategy, space: dict[str, BaseDistribution] | None = None, **task: Any) -> Study:
    return Study(
        name="s",
        task=replace(TASK, **task),
        strategies={"x": strategy},
        space=space or {},
        budget=Budget(trials=5),
    )


def proof(study: Study, load: Loader, seconds: float = 1000.0) -> dict[str, Knob]:
    """What is said of each dimension; with time enough for the slowest machine."""
    return {knob.dimension: knob for knob in knobs(study, load=load, seconds=seconds)}


# What is live


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_all_dimensions_of_a_shipped_strategy_are_live(name: str, load: Loader) -> None:
    found = proof(asked(getattr(strategies, name)()), load)
    assert {dimension: knob.effect for dimension, knob in found.items()} == dict.fromkeys(found, True)


@pytest.mark.parametrize(
    "strategy",
    [madao(search=tuple(SEARCHABLE)), truncated(search=tuple(OF_TRUNCATED)), autoaugment("ppo")],
    ids=["madao", "truncated", "autoaugment"],
)
def test_what_can_be_searched_of_a_shipped_strategy_is_live(strategy: Strategy, load: Loader) -> None:
    found = proof(asked(strategy, epochs=20), load)
    assert set(found) == set(strategy.space)
    assert {dimension for dimension, knob in found.items() if not knob.effect} == set()


@pytest.mark.parametrize("path", sorted((shipped_root() / "studies").glob("*.py")), ids=lambda path: path.stem)
def test_all_dimensions_of_a_shipped_study_are_live(path: Any) -> None:
    study = load_study(str(path)).study
    found = knobs(study, seconds=1000.0)
    assert found
    assert knob_warnings(found) == []


LIVE: dict[str, BaseDistribution] = {
    "task.model": CategoricalDistribution(["convnet", "small-resnet"]),
    "task.epochs": IntDistribution(2, 4),
    "task.refine_epochs": IntDistribution(0, 2),
    "task.refine_lr": FloatDistribution(1e-3, 1e-1, log=True),
    "task.batch_size": CategoricalDistribution([50, 100]),
    "task.lr": FloatDistribution(0.05, 0.2),
    "task.momentum": FloatDistribution(0.0, 0.95),
    "task.nesterov": CategoricalDistribution([True, False]),
    "task.weight_decay": FloatDistribution(1e-5, 1e-3),
    "task.schedule": CategoricalDistribution(["cosine", "linear", "step", "constant"]),
    "task.warmup": FloatDistribution(0.0, 0.5),
    "task.warmup_from": FloatDistribution(0.0, 0.5),
    "task.milestones": FloatDistribution(0.3, 0.8),
    "task.step_factor": FloatDistribution(0.1, 0.5),
    "task.final_lr": FloatDistribution(0.01, 0.1),
    "task.loss": CategoricalDistribution(["cross-entropy", "binary-cross-entropy"]),
    "task.label_smoothing": FloatDistribution(0.0, 0.2),
    "task.balanced": CategoricalDistribution(["none", "sample", "loss"]),
    "task.dropout": FloatDistribution(0.0, 0.5),
    "task.precision": CategoricalDistribution(["float32", "bfloat16"]),
    "task.standard": CategoricalDistribution(["none", "crop"]),
    "mix.kind": CategoricalDistribution(["none", "hmix", "mixup-or-cutmix"]),
    "mix.alpha": FloatDistribution(0.1, 1),
    "mix.probability": FloatDistribution(0, 1),
    "mix.ratio": FloatDistribution(0, 1),
    "mix.switch": FloatDistribution(0, 1),
    "mix.per": CategoricalDistribution(["sample", "batch"]),
}


def test_whatever_can_be_set_of_a_task_and_a_mix_is_live_at_a_point_that_uses_it(load: Loader) -> None:
    """A conditional dimension is varied around points at which its deciders let it matter."""
    found = proof(asked(none(), LIVE), load)
    assert set(found) == set(LIVE)
    assert {dimension for dimension, knob in found.items() if knob != Knob("x", dimension, True)} == set()


# What is not


@pytest.mark.parametrize(
    ("space", "task", "saying"),
    [
        (
            {"task.refine_lr": FloatDistribution(1e-3, 1e-1)},
            {},
            "task.refine_lr has no effect: refine_epochs is 0",
        ),
        (
            {"task.nesterov": CategoricalDistribution([True, False])},
            {"momentum": 0.0},
            "task.nesterov has no effect: momentum is 0",
        ),
        (
            {"task.warmup": FloatDistribution(0.0, 0.1)},
            {"epochs": 1, "batch_size": 100},
            "task.warmup has no effect: whatever its value, what is trained is the same bit for bit",
        ),
        (
            {"task.warmup_from": FloatDistribution(0.0, 0.5)},
            {"warmup": 0},
            "task.warmup_from has no effect: warmup is 0",
        ),
        (
            {"task.final_lr": FloatDistribution(0.01, 0.1)},
            {"schedule": "step"},
            "task.final_lr has no effect: schedule 'step' takes no final_lr",
        ),
        (
            {"task.step_factor": FloatDistribution(0.1, 0.2)},
            {"schedule": abs},
            "task.step_factor has no effect: the function in Task.schedule takes no step_factor",
        ),
        (
            {"task.precision": CategoricalDistribution(["auto", "float32"])},
            {},
            "task.precision has no effect: 'auto' is float32 on a CPU",
        ),
    ],
)
def test_a_field_that_another_switches_off_is_named_with_the_reason(
    space: dict[str, BaseDistribution], task: dict[str, Any], saying: str, load: Loader
) -> None:
    assert knob_warnings(knobs(asked(none(), space, **task), load=load, seconds=1000.0)) == [saying]


def test_what_changes_nothing_by_design_says_so(load: Loader) -> None:
    found = proof(asked(none(), {"task.micro_batch": CategoricalDistribution([None, 50])}), load)
    assert found["task.micro_batch"].effect is False
    assert "it saves memory and changes nothing else" in found["task.micro_batch"].why


def deaf_policy(n: int, m: float) -> Fixed:
    """Forgets m."""
    return Fixed(ready.randaugment(n, 0.3))


class Deaf(Fixed):
    """Says in its tree that it has a strength, and works without it."""

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        return images


def deaf_learner(policy: Any, lr: float = 0.2) -> Bilevel:
    """Forgets lr."""
    return Bilevel(policy)


NEVER_HEARD = "has no effect: whatever its value, what is trained is the same bit for bit"


@pytest.mark.parametrize(
    ("strategy", "dimension"),
    [
        (Strategy(deaf_policy, randaugment().space), "policy.m"),
        (Strategy(lambda m: Deaf(ready.randaugment(1, m)), {"policy.m": FloatDistribution(0, 1)}), "policy.m"),
        (Strategy(lambda: Relaxed(stages=1), RATE, within=deaf_learner), "learner.lr"),
    ],
    ids=["policy", "tree", "learner"],
)
def test_a_planted_knob_that_nobody_hears_is_found(strategy: Strategy, dimension: str, load: Loader) -> None:
    assert knob_warnings(knobs(asked(strategy), load=load, seconds=1000.0)) == [f"{dimension} {NEVER_HEARD}"]


def test_the_temperature_of_a_selection_that_is_only_drawn_is_neither_asked_for_nor_silent(load: Loader) -> None:
    study = asked(online_score(search=("policy.temperature",)), epochs=20)
    knob = proof(study, load)["policy.temperature"]
    assert f"{knob}" == "policy.temperature has no effect: estimator='score' draws operations without it"
    assert study.point_of("x", {"policy.temperature": 0.5}) == {}
    assert study.trials_of("x") == 1


def test_what_a_proxy_hides_from_the_search_is_said(load: Loader) -> None:
    found = proof(asked(one_epoch_top_k(), {"task.refine_epochs": IntDistribution(0, 2)}), load)
    assert found["policy.m"] == Knob("x", "policy.m", True)
    assert f"{found['task.refine_epochs']}" == (
        "task.refine_epochs has an effect in re-runs and final runs only: the search's proxy has none"
    )


# What cannot be told


def broken(m: float) -> Fixed:
    raise RuntimeError("no such file")


class Restless(Fixed):
    """Draws from somewhere else than the generator that it is given."""

    count = 0

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        Restless.count += 1
        return images + Restless.count


@pytest.mark.parametrize(
    ("policy", "effect", "why"),
    [
        (broken, None, "RuntimeError: no such file"),
        (lambda m: Restless(ready.none()), False, "whatever its value, what is trained is the same bit for bit"),
    ],
    ids=["broken", "restless"],
)
def test_a_difference_that_is_chance_proves_nothing(
    policy: Callable[..., Any], effect: bool | None, why: str, load: Loader
) -> None:
    found = proof(asked(Strategy(policy, {"policy.m": FloatDistribution(0, 1)})), load)
    assert (found["policy.m"].effect, found["policy.m"].why) == (effect, why)


def test_where_time_is_up_nothing_is_claimed(load: Loader) -> None:
    found = proof(asked(randaugment()), load, seconds=-1.0)
    assert {knob.effect for knob in found.values()} == {None}
    assert f"{found['policy.n']}".startswith("policy.n was not proved: ")


def test_strategies_are_named_where_others_differ() -> None:
    found = [Knob("a", "x", False, "r"), Knob("b", "x", True), Knob("a", "y", False, "r"), Knob("b", "y", False, "r")]
    assert knob_warnings(found) == ["x has no effect: r (a)", "y has no effect: r"]


def test_a_dimension_of_one_value_is_nothing_to_prove(load: Loader) -> None:
    assert proof(asked(none(), {"task.lr": FloatDistribution(0.1, 0.1)}), load) == {}
