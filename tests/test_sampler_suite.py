"""Optuna's public test suite for samplers, on the samplers of our own and on SeededByTrial around them."""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from autoaug.strategies import SAMPLERS, SeededByTrial
from autoaug.strategies.samplers._controller import Ppo
from autoaug.strategies.samplers._ppo import PPOSampler

Make = Callable[[], BaseSampler]


class TestPPO(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: PPOSampler(0, Ppo(batch=2, passes=2))


class TestCmaEs(BasicSamplerTestCase, SingleOnlySamplerTestCase):
    """Not the relative cases: they ask it for categorical dimensions, which it leaves to the random sampler."""

    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: SAMPLERS["cmaes"](0)

    test_numbers = RelativeSamplerTestCase.test_sample_relative_numerical
    test_threads = RelativeSamplerTestCase.test_trial_relative_params


class TestGrid(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: SAMPLERS["grid"](0)


class TestCappedGP(BasicSamplerTestCase):
    """Not the relative cases: before the tenth trial it proposes at random."""

    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: SAMPLERS["gp"](0)


INNER: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=0, multivariate=True),
    "ppo": SAMPLERS["ppo"],
}


@pytest.mark.parametrize("inner", INNER)
class TestSeededByTrial(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, inner: str) -> Make:
        return lambda: SeededByTrial(INNER[inner], "suite")
