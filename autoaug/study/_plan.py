"""What a study will do and what that should cost, without doing any of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoaug.study._definition import Study, most_epochs
from autoaug.study._loading import Loader
from autoaug.study._predict import Prediction


@dataclass(frozen=True)
class Line:
    """Hold what a plan says of one strategy."""

    strategy: str
    dimensions: tuple[str, ...]
    trials: int | None
    """None: as many as the budget buys."""
    epochs: int
    """Of one trial at most."""
    reruns: int
    """Points that are trained again in full, where the search runs on a proxy."""
    final_runs: int
    search_seconds: float | None = None
    """Predicted, of the whole search; None where nothing was measured."""
    final_seconds: float | None = None
    """Predicted, of all final runs of the strategy."""
    unit: str = ""
    """What the seconds are of: "CPU-seconds" or "GPU-seconds"."""
    notes: tuple[str, ...] = ()
    """What there is to say of settings that follow the length of the training."""


def plan(study: Study, predictions: Mapping[str, Prediction] | None = None, load: Loader | None = None) -> list[Line]:
    """Return what a study will do, one line for each strategy, and what that costs by what `predict` measured.

    Args:
        predictions: by the name of the strategy; without one its costs are None.
        load: counts the training images, on which the notes depend; without it there are none.
    """
    return [line(study, name, (predictions or {}).get(name), load) for name in study.strategies]


def line(study: Study, name: str, prediction: Prediction | None, load: Loader | None = None) -> Line:
    """Return what a plan says of one strategy."""
    return Line(
        strategy=name,
        dimensions=tuple(study.space_of(name)),
        trials=study.trials_of(name),
        epochs=most_epochs(study, name, search=True),
        reruns=study.reruns_of(name),
        final_runs=study.seeds,
        search_seconds=round(prediction.search(study, name), 3) if prediction else None,
        final_seconds=round(prediction.finals(study), 3) if prediction else None,
        unit=prediction.unit if prediction else "",
        notes=notes(study, name, load) if load and study.train is None else (),
    )


def notes(study: Study, name: str, load: Loader) -> tuple[str, ...]:
    """Return what a strategy notes on the study's task, and on its proxy where that is said differently."""
    strategy = study.strategies[name]
    full, search = (tuple(strategy.notes(task, len(load(task).train))) for task in (study.task, study.task_of(name)))
    return full if search == full else (*full, *(f"{text} (in the search)" for text in search))


def by_the_clock(lines: Sequence[Line], at_once: int = 1, share: float = 1.0) -> float | None:
    """Return the seconds by the clock that a whole plan takes; None where a cost is unknown.

    Args:
        at_once: how many trials run at the same time.
        share: of a GPU, that each of them has.
    """
    costs = [(line.search_seconds, line.final_seconds) for line in lines]
    if not costs or any(search is None or finals is None for search, finals in costs):
        return None
    return sum((search or 0.0) + (finals or 0.0) for search, finals in costs) / (at_once * share)
