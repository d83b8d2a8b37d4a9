"""What a training will cost: its parts are measured and scaled up to its epochs."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from autoaug.study._budget import unit
from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.study._measure import Cost, Stopwatch
from autoaug.study._measure_loop import Measure, loop_watched
from autoaug.study._middle import middle
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

    A strategy that fails there is left out, and so is one whose loop does not say how many epochs and steps it makes.

    Args:
        only: these strategies; none named means all.
        share: of a GPU, that each trial has.
        load: reads each dataset once.
        say: is called with the name of each strategy before it is measured.
        patience: how many times the usual few seconds it may take.
    """
    load, predictions = load or Loader(), {}
    measure = (watched if study.train is None else loop_watched)(study, load, patience)
    for name in list(only) or study.strategies:
        say(name)
        with suppress(Exception):  # the trials that fail in the same way will say why
            if prediction := of_strategy(study, name, share, measure):
                predictions[name] = prediction
    return predictions


def watched(study: Study, load: Loader, patience: float) -> Measure:
    """Return what measures a training by autoaug's own trainer."""
    watch = Stopwatch(patience)

    def measure(name: str, point: Mapping[str, Any], search: bool) -> Cost:
        setup = set_up(study, name, point, search=search)
        return watch(setup, load(setup.task))

    return measure


def of_strategy(study: Study, name: str, share: float, measure: Measure) -> Prediction | None:
    """Return what the trainings of one strategy cost, as measured at the middle of its space; None where nobody knows.

    Args:
        share: of a GPU, that each trial has.
        measure: of the strategy of a name at a point, in the search or in full.
    """
    point = middle(study.space_of(name))
    full = measure(name, point, False)
    trial = measure(name, point, True) if study.strategies[name].proxy else full
    if full is None or trial is None:
        return None
    paid, learns = price(study, share, full.device), set_up(study, name, point).learner.moves_policy
    deployed = len(study.deploy) * full.alone if learns else 0.0
    return Prediction(paid * trial.whole, paid * full.whole, paid * deployed, unit("gpu_seconds", full.device))
