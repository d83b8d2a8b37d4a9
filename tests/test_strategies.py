"""Strategies as products, and samplers that a restart does not make repeat themselves."""

import optuna
import pytest
import torch
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from torch import Generator

from autoaug import strategies
from autoaug.strategies import SeededByTrial, Strategy, randaugment

CONSTRUCTORS = [name for name in strategies.__all__ if name[0].islower()]


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_strategy_builds_a_policy_from_a_point_of_its_own_space(name: str, rng: Generator) -> None:
    strategy: Strategy = getattr(strategies, name)()
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    for _ in range(3):
        point = study.ask(dict(strategy.space)).params
        policy = strategy.policy(**{key.removeprefix("policy."): value for key, value in point.items()})
        images = torch.rand(5, 3, 9, 8, generator=rng)
        before = images.clone()
        augmented = policy(images, rng)
        assert augmented.shape == images.shape
        assert torch.equal(images, before)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_strategy_says_where_it_comes_from(name: str) -> None:
    assert getattr(strategies, name).__doc__


def test_an_unknown_sampler_answers_with_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown sampler of randaugment 'tpee': did you mean 'tpe'"):
        randaugment(sampler="tpee")


SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}


def propose(study: optuna.Study, trials: int) -> None:
    for _ in range(trials):
        trial = study.ask(SPACE)
        study.tell(trial, -((trial.params["x"] - 0.3) ** 2) - trial.params["y"])


def seeded(*name: object) -> SeededByTrial:
    return SeededByTrial(lambda seed: TPESampler(seed=seed, n_startup_trials=5), *name)


def points(study: optuna.Study) -> list[dict[str, float]]:
    return [trial.params for trial in study.trials]


def test_a_resumed_search_proposes_the_points_of_one_that_never_stopped() -> None:
    whole = optuna.create_study(direction="maximize", sampler=seeded("s", 0))
    propose(whole, 16)
    storage = optuna.storages.InMemoryStorage()
    first = optuna.create_study(direction="maximize", storage=storage, study_name="x", sampler=seeded("s", 0))
    propose(first, 7)
    second = optuna.load_study(storage=storage, study_name="x", sampler=seeded("s", 0))
    propose(second, 9)
    assert points(second) == points(whole)
    assert len({point["x"] for point in points(whole)}) == 16


def test_a_sampler_that_is_only_rebuilt_repeats_its_first_points() -> None:
    """What SeededByTrial is for: the plain sampler fails the test above."""
    storage = optuna.storages.InMemoryStorage()
    first = optuna.create_study(storage=storage, study_name="x", sampler=TPESampler(seed=0))
    propose(first, 3)
    second = optuna.load_study(storage=storage, study_name="x", sampler=TPESampler(seed=0))
    propose(second, 3)
    assert points(second)[:3] == points(second)[3:]


def test_searches_of_different_names_propose_different_points() -> None:
    one, other = (optuna.create_study(sampler=seeded("s", name)) for name in "ab")
    propose(one, 1)
    propose(other, 1)
    assert points(one) != points(other)
