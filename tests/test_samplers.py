"""Samplers know nothing but the stored trials: any process goes on where another stopped. And they learn."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from scipy import stats

from autoaug.strategies import SAMPLERS, SeededByTrial
from autoaug.strategies.samplers import _gaussian as gaussian
from autoaug.strategies.samplers import _ppo as ppo
from autoaug.strategies.samplers._controller import Controller, ControllerTraining, Ppo
from autoaug.strategies.samplers._grid import next_cell, ravel, unravel
from autoaug.strategies.samplers._scale import LEVELS, from_unit, levels, nearest_level, to_unit
from autoaug.testing import SamplerTestCase

SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}


def value(point: Mapping[str, float]) -> float:
    return -((point["x"] - 0.3) ** 2) - point["y"]


def propose(study: optuna.Study, trials: int, space: Mapping[str, BaseDistribution] = SPACE) -> None:
    for _ in range(trials):
        trial = study.ask(dict(space))
        study.tell(trial, value(trial.params))


def seeded(make: Any, *name: object, first: Any = ()) -> SeededByTrial:
    return SeededByTrial(make, *name, first=first)


def search(sampler: SeededByTrial, storage: InMemoryStorage | None = None) -> optuna.Study:
    kept = storage or InMemoryStorage()
    return optuna.create_study(direction="maximize", storage=kept, study_name="x", sampler=sampler, load_if_exists=True)


def points(study: optuna.Study) -> list[dict[str, float]]:
    return [trial.params for trial in study.trials]


MAKES = SAMPLERS | {
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=5),
    "ppo": lambda seed: ppo.PPOSampler(seed, Ppo(batch=4)),
}


class TestEverySampler(SamplerTestCase):
    @pytest.fixture(params=MAKES.values(), ids=MAKES)
    def sampler(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def forget(self) -> None:
        ppo.states.clear()


def test_a_sampler_that_is_only_rebuilt_repeats_its_first_points() -> None:
    """What SeededByTrial is for: the plain sampler fails the test above."""
    storage = InMemoryStorage()
    first = optuna.create_study(storage=storage, study_name="x", sampler=TPESampler(seed=0))
    propose(first, 3)
    second = optuna.load_study(storage=storage, study_name="x", sampler=TPESampler(seed=0))
    propose(second, 3)
    assert points(second)[:3] == points(second)[3:]


def test_searches_of_different_names_propose_different_points() -> None:
    one, other = (search(seeded(MAKES["tpe"], "s", name)) for name in "ab")
    propose(one, 1)
    propose(other, 1)
    assert points(one) != points(other)


def test_drivers_that_ask_at_once_get_different_points_and_each_first_point_once() -> None:
    storage = InMemoryStorage()
    first = ({"x": 0.5, "y": 0.5}, {"x": 0.25, "y": 0.5})
    drivers = [search(seeded(MAKES["random"], "s", first=first), storage) for _ in range(2)]
    asked = [driver.ask(SPACE) for _ in range(3) for driver in drivers]
    assert [trial.params["x"] for trial in asked[:2]] == [0.5, 0.25]
    assert len({trial.params["x"] for trial in asked}) == 6


def test_a_repeated_attempt_takes_no_first_point_from_another_trial() -> None:
    first = ({"x": 0.5, "y": 0.5}, {"x": 0.25, "y": 0.5})
    study = search(seeded(MAKES["random"], "s", first=first))
    trial = study.ask(SPACE)
    study.tell(trial, state=TrialState.FAIL)
    study.enqueue_trial(trial.params, user_attrs={"root": 0, "attempt": 2})
    assert [study.ask(SPACE).params["x"] for _ in range(2)] == [0.5, 0.25]


def test_first_points_are_trials_like_others_to_the_sampler() -> None:
    """What the first points taught is what TPE proposes by: the low values of y were the good ones."""
    first = [{"x": 0.1 * k, "y": 0.1 * k} for k in range(10)]
    proposed = []
    for seed in range(40):
        study = search(seeded(MAKES["tpe"], "s", seed, first=first))
        propose(study, 10)
        proposed.append(study.ask(SPACE).params["y"])
    assert stats.ttest_1samp(proposed, 0.5, alternative="less").pvalue < 0.01


# Scales

RULES: list[BaseDistribution] = [
    FloatDistribution(-1, 3),
    FloatDistribution(1e-5, 10, log=True),
    FloatDistribution(0, 1, step=0.1),
    IntDistribution(1, 3),
    IntDistribution(0, 1000),
    IntDistribution(1, 500, log=True),
    IntDistribution(3, 9, step=2),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_unit_interval_covers_a_distribution_and_nothing_else(rule: Any) -> None:
    shares = np.linspace(0, 1, 201)
    found = [from_unit(rule, share) for share in shares]
    assert all(rule._contains(rule.to_internal_repr(each)) for each in found)
    assert (found[0], found[-1]) == (rule.low, pytest.approx(rule.high))
    assert found == sorted(found)
    assert all(from_unit(rule, to_unit(rule, each)) == pytest.approx(each) for each in found)


def test_values_with_steps_have_equal_shares() -> None:
    shares = np.linspace(0, 1, 3001)[1:-1]
    counts = np.unique([from_unit(IntDistribution(1, 3), share) for share in shares], return_counts=True)[1]
    assert counts / len(shares) == pytest.approx([1 / 3] * 3, abs=0.01)


@pytest.mark.parametrize("rule", [*RULES, CategoricalDistribution(("a", "b"))], ids=str)
def test_levels_are_few_distinct_and_find_themselves(rule: Any) -> None:
    known = levels(rule)
    assert len(set(known)) == len(known) <= LEVELS
    assert [nearest_level(rule, level) for level in known] == list(range(len(known)))
    if not isinstance(rule, CategoricalDistribution):
        assert (known[0], known[-1]) == (rule.low, pytest.approx(rule.high))


# The grid


@pytest.mark.parametrize("sizes", [[1], [7], [2] * 6, [3, 11], [14, 11, 11]])
def test_the_walk_visits_every_cell_once_in_every_round(sizes: list[int]) -> None:
    size, visits = math.prod(sizes), Counter[int]()
    for step in range(min(2 * size, 200)):
        cell = next_cell(visits, size)
        assert ravel(unravel(cell, sizes), sizes) == cell
        assert visits[cell] == step // size
        visits[cell] += 1


def test_a_grid_that_is_cut_short_has_been_everywhere_a_little() -> None:
    study = search(seeded(SAMPLERS["grid"], "s"))
    space: dict[str, BaseDistribution] = {"n": IntDistribution(1, 3), "m": FloatDistribution(0, 1)}
    for _ in range(11):
        study.tell(study.ask(space), 0.0)
    assert {trial.params["n"] for trial in study.trials} == {1, 2, 3}
    found = sorted(trial.params["m"] for trial in study.trials)
    assert max(np.diff([0.0, *found, 1.0])) <= 0.31


# CMA-ES and the Gaussian process


@pytest.mark.parametrize("name", ["cmaes", "tpe"])
def test_it_is_better_than_random_on_a_bowl(name: str) -> None:
    space: dict[str, BaseDistribution] = {f"x{k}": FloatDistribution(0, 1) for k in range(3)}

    def last(make: Any, seed: int) -> float:
        study = search(seeded(make, "bowl", seed))
        for _ in range(40):
            trial = study.ask(space)
            study.tell(trial, -sum((each - 0.8) ** 2 for each in trial.params.values()))
        return float(np.mean([trial.value for trial in study.trials[-10:]]))

    searched, random = ([last(SAMPLERS[each], seed) for seed in range(6)] for each in (name, "random"))
    assert stats.ttest_ind(searched, random, alternative="greater", equal_var=False).pvalue < 0.01


def test_a_gaussian_process_gives_way_when_trials_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "MOST", 3)
    study = search(seeded(SAMPLERS["gp"], "s"))
    propose(study, 4)
    with pytest.warns(RuntimeWarning, match="more than 3 trials are too many for a Gaussian process: TPE proposes"):
        propose(study, 1)


# The controller


def test_a_controller_that_has_learned_nothing_decides_evenly() -> None:
    controller = Controller([3, 14, 11])
    rng = torch.Generator().manual_seed(0)
    drawn = np.array([controller.sample(rng) for _ in range(2000)])
    for d, size in enumerate((3, 14, 11)):
        counts = np.bincount(drawn[:, d], minlength=size)
        assert len(counts) == size
        assert stats.chisquare(counts).pvalue > 0.001


def test_the_steps_of_sampling_have_the_probabilities_that_training_uses() -> None:
    training = ControllerTraining([2, 3], Ppo(batch=4))
    taken = torch.tensor([[0, 1], [1, 2], [0, 2], [1, 0]])
    training.update(taken, torch.tensor([1.0, 0.0, 0.5, -1.0]))
    every = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    logits = training.controller(every).log_softmax(2)
    wanted = logits.gather(2, every[:, :, None]).sum((1, 2)).double().exp().detach().numpy()
    assert wanted.sum() == pytest.approx(1, abs=1e-5)
    rng = torch.Generator().manual_seed(0)
    drawn = [tuple(training.controller.sample(rng)) for _ in range(3000)]
    counts = [drawn.count(tuple(row)) for row in every.tolist()]
    assert stats.chisquare(counts, 3000 * wanted / wanted.sum()).pvalue > 0.001


def test_equal_rewards_teach_nothing() -> None:
    training = ControllerTraining([3, 3], Ppo())
    training.update(torch.tensor([[0, 1], [2, 2]]), torch.tensor([0.5, 0.5]))
    assert training.controller(torch.zeros(1, 2, dtype=torch.long)).unique().numel() == 1


def planted(make: Any, seed: int, trials: int = 100) -> float:
    """How good the last proposals are where 2 of 8 operations help, at a middling strength; values are noisy."""
    slots = range(4)
    space: dict[str, BaseDistribution] = {f"op{k}": CategoricalDistribution("abcdefgh") for k in slots}
    space |= {f"strength{k}": FloatDistribution(0, 1) for k in slots}
    rng = np.random.default_rng(seed)

    def worth(point: Mapping[str, Any]) -> float:
        good = [point[f"op{k}"] in "ab" for k in slots]
        return float(np.mean([(1 - abs(point[f"strength{k}"] - 0.5)) * (1.0 if good[k] else -0.3) for k in slots]))

    study = search(seeded(make, "planted", seed))
    for _ in range(trials):
        trial = study.ask(space)
        study.tell(trial, worth(trial.params) + 0.05 * rng.normal())
    return float(np.mean([worth(trial.params) for trial in study.trials[-20:]]))


@pytest.mark.slow
def test_the_controller_learns_planted_operations() -> None:
    seeds = range(4)
    learned, random = ([planted(SAMPLERS[name], seed) for seed in seeds] for name in ("ppo", "random"))
    assert stats.ttest_ind(learned, random, alternative="greater", equal_var=False).pvalue < 0.01
    assert np.mean(learned) > np.mean(random) + 0.1
