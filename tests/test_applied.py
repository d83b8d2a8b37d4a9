"""What a worker applied is stored beside what was asked, and a value that nothing shows is a warning."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from studies_for_tests import tiny
from test_knobs import CONSTRUCTORS, LIVE, RATE, deaf_learner, deaf_policy

from autoaug import Budget, Study, Task, strategies
from autoaug.compare import legend, stored_comparison
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.learners import Bilevel, Updates
from autoaug.policy import Fixed, Relaxed, ready
from autoaug.store import Store
from autoaug.strategies import Strategy, madao, none, one_epoch_top_k, online_score, randaugment
from autoaug.strategies._online import SEARCHABLE
from autoaug.study import applied, lowest, set_up, unapplied


def alone(strategy: Strategy, space: dict[str, BaseDistribution] | None = None, **more: Any) -> Study:
    return tiny(strategies={"x": strategy}, space=space or {}, **more)


def points(study: Study) -> list[dict[str, Any]]:
    return [study.point_of("x", point) for point in (lowest(study.space_of("x")), *study.first_of("x"))]


# What is told


def test_what_is_applied_is_told_by_what_was_made() -> None:
    space = {"task.lr": FloatDistribution(0.01, 1), "mix.alpha": FloatDistribution(0, 1)}
    study = alone(online_score(search=("learner.lr",)), space)
    point = {"task.lr": 0.05, "mix.alpha": 0.25, "learner.lr": 0.3}
    told = applied(set_up(study, "x", point), study.task)
    assert told["task"] == {"lr": 0.05}
    assert (told["mix"]["kind"], told["mix"]["mask"], told["mix"]["alpha"]) == ("PairMix", "mixup_mask", 0.25)
    assert told["learner"]["optimiser"]["lr"] == 0.3
    assert told["learner"]["updates"]["every"] == 5
    assert told["policy"]["kind"] == "Relaxed"
    assert "rotate" in json.dumps(told["policy"]["tree"])


def test_in_a_search_on_a_proxy_that_is_what_is_told() -> None:
    study = alone(one_epoch_top_k(), {"task.refine_epochs": IntDistribution(0, 3)})
    point = {"policy.n": 1, "policy.m": 0.5, "task.refine_epochs": 3}
    told = [applied(set_up(study, "x", point, search=search), study.task)["task"] for search in (True, False)]
    assert told == [{"epochs": 1}, {"refine_epochs": 3}]
    assert unapplied(study, "x", point, search=True) == []


def test_settings_that_follow_the_length_of_a_training_are_told_as_they_were_in_it(
    store: Store, options: Options
) -> None:
    task = Task(data="digits-rotated", model="convnet", epochs=2, batch_size=50, device="cpu")
    study = tiny(strategies={"madao": madao()}, task=task, space={}, budget=Budget(trials=1), seeds=1)
    run(study, store, options=options)
    (trial,) = store.trials("tiny", "madao")
    updates = trial.user_attrs["applied"]["learner"]["updates"]
    assert (updates["every"], updates["warmup"]) == (1, 0)
    assert trial.user_attrs["notes"][0].startswith("an update every 1 step (paper: 60), warm-up 0 of 2 epochs")


# What is compared


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_value_of_a_shipped_strategy_is_seen(name: str) -> None:
    study = alone(getattr(strategies, name)())
    assert [unapplied(study, "x", point) for point in points(study)] == [[]] * len(points(study))


def test_every_value_of_madao_a_task_and_a_mix_is_seen() -> None:
    for study in (alone(madao(search=tuple(SEARCHABLE))), alone(none(), LIVE)):
        assert [unapplied(study, "x", point) for point in points(study)] == [[]] * len(points(study))


def hidden_in_a_function(m: float) -> Fixed:
    """Keeps its parameter where only a function sees it."""
    policy = Fixed(ready.none())
    policy.forward = lambda images, rng: images * m  # type: ignore[method-assign]
    return policy


@pytest.mark.parametrize(
    ("strategy", "missing"),
    [
        (Strategy(deaf_policy, randaugment().space), ["policy.m"]),
        (Strategy(lambda: Relaxed(stages=1), RATE, within=deaf_learner), ["learner.lr"]),
        (Strategy(hidden_in_a_function, {"policy.m": FloatDistribution(0, 1)}), []),
        (Strategy(lambda m: Fixed(ready.none()), {"policy.m": FloatDistribution(1, 1)}), []),
    ],
    ids=["policy", "learner", "closure", "one value"],
)
def test_a_value_that_nothing_shows_is_named(strategy: Strategy, missing: list[str]) -> None:
    study = alone(strategy)
    assert unapplied(study, "x", lowest(study.space_of("x"))) == missing


def test_a_value_beside_which_no_other_is_possible_was_looked_at() -> None:
    study = alone(none(), {"task.warmup": CategoricalDistribution([0.1, 1.0])})
    assert unapplied(study, "x", {"task.warmup": 0.1}) == []


def test_both_are_stored_and_the_leaderboard_says_what_was_in_vain(store: Store, options: Options) -> None:
    def learner(policy: Any, lr: float = 0.2) -> Bilevel:
        return Bilevel(policy, updates=Updates(every=1, optimiser=partial(torch.optim.Adam, lr=1.0)))

    deaf = Strategy(lambda: Relaxed(stages=1), RATE, within=learner)
    task = Task(data="digits-rotated", model="convnet", epochs=1, batch_size=100, device="cpu")
    study = tiny(
        strategies={"none": none().mixed("cutmix", alpha=0.5), "deaf": deaf},
        space={"task.lr": FloatDistribution(0.2, 0.4)},
        task=task,
        seeds=1,
    )
    study = replace(study, budget=replace(study.budget, trials=2))
    run(study, store, options=options)
    for trial in store.trials("tiny", "none"):
        assert trial.user_attrs["applied"]["task"] == {"lr": trial.params["task.lr"]}
        mix = trial.user_attrs["applied"]["mix"]
        assert (mix["mask"], mix["alpha"]) == ("cutmix_mask", 0.5)
        assert "unapplied" not in trial.user_attrs
    assert {each.unapplied for each in store.outcomes("tiny") if each.strategy == "deaf"} == {("learner.lr",)}
    said = [line for line in legend(stored_comparison([(store, "tiny")])) if line.startswith("warning")]
    assert said == ["warning: learner.lr of deaf is not seen in what 3 trials applied: its value does nothing"]
