"""What a study will do and what that should cost, without doing any of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoaug.study._definition import Study, most_epochs
from autoaug.study._predict import Prediction


@dataclass(frozen=True)
class Line:
    """What a plan says of one strategy."""

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


def plan(study: Study, predictions: Mapping[str, Prediction] | None = None) -> list[Line]:
    """What a study will do, and what its strategies cost by what `predict` measured."""
    return [line(study, name, (predictions or {}).get(name)) for name in study.strategies]


def line(study: Study, name: str, found: Prediction | None) -> Line:
    return Line(
        strategy=name,
        dimensions=tuple(study.space_of(name)),
        trials=study.trials_of(name),
        epochs=most_epochs(study, name, search=True),
        reruns=study.reruns_of(name),
        final_runs=study.seeds,
        search_seconds=round(found.search(study, name), 3) if found else None,
        final_seconds=round(found.finals(study), 3) if found else None,
        unit=found.unit if found else "",
    )


def by_the_clock(lines: Sequence[Line], at_once: int = 1, share: float = 1.0) -> float | None:
    """Seconds that a whole plan takes, where its cost is known; with several trials at once, each with its share."""
    costs = [(line.search_seconds, line.final_seconds) for line in lines]
    if not costs or any(search is None or finals is None for search, finals in costs):
        return None
    return sum((search or 0.0) + (finals or 0.0) for search, finals in costs) / (at_once * share)
