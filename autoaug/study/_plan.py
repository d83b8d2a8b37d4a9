"""What a study will do and what that should cost, without doing any of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.study._middle import middle
from autoaug.study._most_epochs import LENGTHS, least_epochs, most_epochs
from autoaug.study._observer import Rehearsal
from autoaug.study._predict import Prediction
from autoaug.study._rehearse import kept_rehearsal
from autoaug.trial import Command


@dataclass(frozen=True)
class Line:
    """Hold what a plan says of one strategy."""

    strategy: str
    dimensions: tuple[str, ...]
    trials: int | None
    """None: as many as the budget buys."""
    epochs: int | None
    """Of one trial at most; None where the loop of a study says that itself, and nobody has asked it."""
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
    """What there is to say of settings that follow the length of the training, and of a cost that nobody knows."""
    final_epochs: int | None = None
    """Of one final run at most; None as for `epochs`."""


def plan(study: Study, predictions: Mapping[str, Prediction] | None = None, load: Loader | None = None) -> list[Line]:
    """Return what a study will do, one line for each strategy, and what that costs by what `predict` measured.

    Args:
        predictions: by the name of the strategy; without one its costs are None.
        load: counts the training images, on which the notes depend, and has kept what `predict` saw of a loop of the
            user's own; without it there are no notes, and nobody knows how many epochs such a loop makes.
    """
    return [line(study, name, (predictions or {}).get(name), load) for name in study.strategies]


def line(study: Study, name: str, prediction: Prediction | None, load: Loader | None = None) -> Line:
    """Return what a plan says of one strategy."""
    return Line(
        strategy=name,
        dimensions=tuple(study.space_of(name)),
        trials=study.trials_of(name),
        epochs=epochs_of(study, name, load, search=True),
        reruns=study.reruns_of(name),
        final_runs=study.seeds,
        search_seconds=round(prediction.search(study, name), 3) if prediction else None,
        final_seconds=round(prediction.finals(study), 3) if prediction else None,
        unit=prediction.unit if prediction else "",
        notes=(*length_notes(study, name), *(notes if study.train is None else loop_notes)(study, name, load))
        if load
        else (),
        final_epochs=epochs_of(study, name, load),
    )


def epochs_of(study: Study, name: str, load: Loader | None, *, search: bool = False) -> int | None:
    """Return the epochs of the longest trial that a strategy can propose; None where only its loop knows.

    Args:
        search: of its search, which may run on a proxy.
    """
    most = most_epochs(study, name, search=search)
    if study.train is None:
        return most
    seen = seen_of(study, name, load, search) if load else None
    if seen is None or seen.augmented_epochs is None or seen.total_epochs is None:
        return None
    asked = study.task_of(name) if search else study.full_task_of(name)
    longest = "task.epochs" in study.space_of(name)
    return most if longest else most - asked.epochs + seen.augmented_epochs


def seen_of(study: Study, name: str, load: Loader, search: bool) -> Rehearsal | None:
    """Return what was seen of the loop at the middle of a space, where anybody looked."""
    on_proxy = search and bool(study.strategies[name].proxy)
    return kept_rehearsal(study, name, middle(study.space_of(name)), load, search=on_proxy)


def length_notes(study: Study, name: str) -> tuple[str, ...]:
    """Return a warning where trials of a strategy, or it and the baseline, train for different totals."""
    least, most = (ends := lengths_of(study, name))
    names = [f"task.{each}" for each in LENGTHS if f"task.{each}" in study.space_of(name)]
    if least != most:
        fix = f"fix Task(total_epochs={most}) and search task.refine_share or task.refine_epochs within it"
        if names != ["task.refine_epochs"]:
            fix = "give all of them the same Task(total_epochs=...)"
        return (
            f"trials train for {least} to {most} epochs by {' and '.join(names)}, and may win by the length: {fix}",
        )
    first = lengths_of(study, study.baseline_name)
    if ends == first or first[0] != first[1]:
        return ()
    return (f"it trains for {most} epochs, and {study.baseline_name!r}, which it is compared with, for {first[1]}",)


def lengths_of(study: Study, name: str) -> tuple[int, int]:
    """Return the epochs of the shortest and of the longest trial of a strategy, in full."""
    return least_epochs(study, name), most_epochs(study, name)


def loop_notes(study: Study, name: str, load: Loader) -> tuple[str, ...]:
    """Return what a loop would have to say of itself for its cost to be predicted."""
    seen = seen_of(study, name, load, search=True)
    if isinstance(study.train, Command):
        return ("what a command costs is known when a trial of it has ended",)
    if seen is None or seen.step_seconds is None:
        return ()
    step = f"{seen.step_seconds:.3g} s per step of the loop"
    if seen.total_epochs is None:
        return (f"{step}; write `for epoch in trial.epochs(...)` to have the cost predicted",)
    if seen.steps_per_epoch is None:
        return (f"{step}; give trial.epochs(..., steps=len(loader)) to have the cost predicted",)
    return ()


def notes(study: Study, name: str, load: Loader) -> tuple[str, ...]:
    """Return what a strategy notes on the study's task, and on its proxy where that is said differently."""
    strategy = study.strategies[name]
    full, search = (
        tuple(strategy.notes(task, len(load(task).train))) for task in (study.full_task_of(name), study.task_of(name))
    )
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
