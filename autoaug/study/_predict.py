"""What a training will cost: its parts are measured and scaled up to its epochs."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autoaug.strategies import Space
from autoaug.study._budget import unit
from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.study._measure import Stopwatch
from autoaug.study._price import price
from autoaug.study._setup import set_up


@dataclass(frozen=True)
class Prediction:
    """Hold what the trainings of a strategy are expected to cost.

    All in GPU-seconds, or in CPU-seconds where there is no GPU.
    """

    trial: float
    """One trial of the search."""
    full: float
    """One training on the study's own task."""
    deployed: float
    """All trainings from scratch that follow a final run of a strategy with a learner."""
    unit: str

    def least(self, study: Study, strategy: str) -> float:
        """Return the least that a search must be able to spend: one trial and, on a proxy, one re-run."""
        return self.trial + (self.full if study.reruns_of(strategy) else 0.0)

    def search(self, study: Study, strategy: str) -> float:
        """Return the cost of a whole search with its re-runs, or its budget where that is less."""
        trials = study.trials_of(strategy)
        whole = [] if trials is None else [trials * self.trial + study.reruns_of(strategy) * self.full]
        return min([*whole, *study.budget.seconds.values()])

    def finals(self, study: Study) -> float:
        """Return the cost of all final runs of a strategy."""
        return study.seeds * (self.full + self.deployed)


def predict(
    study: Study,
    only: Iterable[str] = (),
    share: float = 1.0,
    load: Loader | None = None,
    say: Callable[[str], Any] = lambda name: None,
    patience: float = 1.0,
) -> dict[str, Prediction]:
    """Return what a training of each strategy costs, as measured on this machine at the middle of its space.

    A strategy that fails there is left out.

    Args:
        only: these strategies; none named means all.
        share: of a GPU, that each trial has.
        load: reads each dataset once.
        say: is called with the name of each strategy before it is measured.
        patience: how many times the usual few seconds it may take.
    """
    load, watch, predictions = load or Loader(), Stopwatch(patience), {}
    if study.train is not None:
        return {}
    for name in list(only) or study.strategies:
        say(name)
        with suppress(Exception):  # the trials that fail in the same way will say why
            predictions[name] = of_strategy(study, name, share, load, watch)
    return predictions


def of_strategy(study: Study, name: str, share: float, load: Loader, watch: Stopwatch) -> Prediction:
    """Return what the trainings of one strategy cost, as measured at the middle of its space."""
    point = middle(study.space_of(name))
    setup, cheap = (set_up(study, name, point, search=search) for search in (False, True))
    full = watch(setup, load(setup.task))
    trial = watch(cheap, load(cheap.task)) if study.strategies[name].proxy else full
    paid = price(study, share, full.device)
    deployed = len(study.deploy) * full.alone if setup.learner.moves_policy else 0.0
    return Prediction(paid * trial.whole, paid * full.whole, paid * deployed, unit("gpu_seconds", full.device))


def middle(space: Space) -> dict[str, Any]:
    """Return the point in the middle of every range, and at the first of every choice."""
    return {name: midpoint(rule) for name, rule in space.items()}


def midpoint(rule: BaseDistribution) -> Any:
    """Return the middle of a range, on its scale, or the first choice."""
    if isinstance(rule, CategoricalDistribution):
        return rule.choices[0]
    low, high = rule.low, rule.high  # type: ignore[attr-defined]
    centre = (low * high) ** 0.5 if rule.log else (low + high) / 2  # type: ignore[attr-defined]
    return round(centre) if isinstance(low, int) else centre
