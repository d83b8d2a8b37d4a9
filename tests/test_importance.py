"""The importance of dimensions, on searches whose answer is planted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoaug.compare import Importance, importances

SPACE: dict[str, BaseDistribution] = {
    "policy.m": FloatDistribution(0, 1),
    "mix.alpha": FloatDistribution(0.01, 1, log=True),
    "mix.kind": CategoricalDistribution(["none", "mixup", "cutmix"]),
}


def search(
    value: Callable[[dict[str, Any]], float], trials: int = 60, seed: int = 0, low: float = 0.0, high: float = 1.0
) -> list[FrozenTrial]:
    """Random trials, policy.m between `low` and `high`."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        point = {
            "policy.m": float(rng.uniform(low, high)),
            "mix.alpha": float(10 ** rng.uniform(-2, 0)),
            "mix.kind": str(rng.choice(["none", "mixup", "cutmix"])),
        }
        score = value(point) + float(rng.normal(0, 0.02))
        found.append(create_trial(params=point, distributions=SPACE, value=score))
    return found


def by_magnitude(point: dict[str, Any]) -> float:
    return float(point["policy.m"])


def by_alpha(point: dict[str, Any]) -> float:
    return float(np.log10(point["mix.alpha"])) / 2


@pytest.mark.parametrize("sign", [1, -1])
def test_the_dimension_that_matters_is_found(sign: int) -> None:
    found = importances({"ra": search(lambda point: sign * by_magnitude(point))}, maximize=sign > 0)
    shares = found.strategies["ra"]
    assert next(iter(shares)) == "policy.m"
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["policy.m"] > 0.8
    assert shares["policy.m"] > 3 * found.chance["ra"]
    assert max(shares["mix.alpha"], shares["mix.kind"]) < 0.02


def test_a_choice_by_name_counts_too() -> None:
    shares = importances({"ra": search(lambda point: float(point["mix.kind"] == "cutmix"))}, True).strategies["ra"]
    assert shares["mix.kind"] > 0.8


def test_of_pure_noise_few_dimensions_pass_for_important() -> None:
    """Chance is the best of nine: each of three dimensions that do nothing beats it in about one search of ten."""
    passed = 0
    for seed in range(15):
        found = importances({"ra": search(lambda _: 0.0, trials=30, seed=seed)}, True)
        passed += sum(share > found.chance["ra"] for share in found.strategies["ra"].values())
    assert passed / 45 < 0.25


def test_pooling_does_not_mistake_a_better_strategy_for_a_better_region() -> None:
    """Simpson's paradox: `high` is better than `low` and has tried larger magnitudes, which do not matter within
    either. Alpha does."""
    low = search(by_alpha, seed=1, low=0.0, high=0.5)
    high = search(lambda point: by_alpha(point) + 5, seed=2, low=0.5, high=1.0)
    found = importances({"low": low, "high": high}, maximize=True)
    assert found.pooled["mix.alpha"] > 0.8
    assert found.pooled["policy.m"] < 0.05
    naive = importances({"one": [*low, *high]}, maximize=True).strategies["one"]
    assert naive["policy.m"] > 0.3, "by their values alone, magnitude would seem to matter"


def test_pooling_finds_what_matters_within_each_strategy_whatever_their_spread() -> None:
    loud = search(lambda point: 100 * by_magnitude(point), trials=20, seed=3)
    quiet = search(by_magnitude, trials=60, seed=4)
    assert importances({"loud": loud, "quiet": quiet}, True).pooled["policy.m"] > 0.8


def test_only_shared_dimensions_are_pooled() -> None:
    own = {"policy.n": FloatDistribution(0, 1)}
    rng = np.random.default_rng(5)
    other = [
        create_trial(
            params={"mix.alpha": trial.params["mix.alpha"], "policy.n": float(rng.uniform())},
            distributions=own | {"mix.alpha": SPACE["mix.alpha"]},
            value=by_alpha(trial.params),
        )
        for trial in search(by_alpha, seed=6)
    ]
    found = importances({"ra": search(by_alpha), "other": other, "none": [create_trial(value=0.5)] * 20}, True)
    assert list(found.pooled) == ["mix.alpha"]
    assert set(found.strategies) == {"ra", "other"}, "what has nothing to search has no importances"


def test_too_few_complete_trials_say_nothing() -> None:
    trials = search(by_magnitude, trials=9)
    cut = create_trial(state=TrialState.PRUNED, params=trials[0].params, distributions=SPACE)
    assert importances({"ra": [*trials, cut, cut]}, True) == Importance()
    assert importances({}, True) == Importance()
    assert set(importances({"ra": search(by_magnitude, trials=10)}, True).strategies) == {"ra"}


def test_the_same_trials_have_the_same_importance() -> None:
    trials = search(by_magnitude, trials=30)
    assert importances({"ra": trials}, True) == importances({"ra": trials}, True)


def test_of_many_trials_a_random_part_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoaug.compare._importance.MOST_TRIALS", 40)
    trials = sorted(search(by_magnitude, trials=400), key=lambda trial: trial.value or 0)
    assert importances({"ra": trials}, True).strategies["ra"]["policy.m"] > 0.8


def test_equal_values_depend_on_nothing() -> None:
    trials = search(by_magnitude, trials=20)
    for trial in trials:
        trial.value = 0.5
    assert importances({"ra": trials, "rb": trials}, True) == Importance()


def test_a_dimension_that_only_some_points_have_is_shown_too() -> None:
    """Refinement's rate decides everything where there is refinement; the other points lack it."""
    rng, trials = np.random.default_rng(0), []
    for k in range(80):
        rate = float(rng.uniform(0, 1))
        point = {"policy.m": float(rng.uniform()), **({"task.refine_lr": rate} if k % 4 else {})}
        rules = {name: FloatDistribution(0, 1) for name in point}
        value = (rate if k % 4 else 0.5) + float(rng.normal(0, 0.02))
        trials.append(create_trial(params=point, distributions=rules, value=value))
    found = importances({"one": trials, "two": trials}, maximize=True)
    for shares in (*found.strategies.values(), found.pooled):
        assert set(shares) == {"policy.m", "task.refine_lr"}
        assert shares["task.refine_lr"] > 0.8
