"""What is to be trained again for the diagnostics of a study, and what that should cost, before any time is spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autoaug.diagnose._table import DIAGNOSTICS
from autoaug.lookup import lookup
from autoaug.record import Outcome, Phase, TrialKind, best_complete
from autoaug.seeding import derive_seed
from autoaug.store import Diagnosis, Store, diagnoses
from autoaug.study import Loader, Study, predict, set_up
from autoaug.train import Task, spelt


@dataclass(frozen=True)
class Retraining:
    """Hold one training that is made again, and what is measured of it."""

    strategy: str
    seed: int
    """Which training of its strategy it is, counted from 0: trained as the final run of this seed was."""
    point: Mapping[str, Any]
    diagnostics: tuple[str, ...]
    """Rows of DIAGNOSTICS that were not measured of it yet."""
    attacks: bool = False
    """Whether it is the other run of the baseline, which black-box attacks are made with; nothing is measured of it."""

    def seed_of(self, study_seed: int) -> int:
        """Return the seed of the training in a study with a seed: that of the final run, or one that no run has."""
        if self.attacks:
            return derive_seed(study_seed, "diagnose", "attacker")
        return derive_seed(study_seed, *TrialKind.FINAL.seed_key(0, self.seed))

    def __str__(self) -> str:
        return f"{self.strategy}, {'the run that attacks' if self.attacks else f'seed {self.seed}'}"


@dataclass(frozen=True)
class DiagnosisPlan:
    """Hold what is to be done for the diagnostics of a study."""

    study: Study
    trainings: Sequence[Retraining]
    """In their order, the attacker first; empty where everything was measured before."""
    left_out: Mapping[str, str]
    """Diagnostics that say nothing of the study's data, each with the reason."""
    seconds: float | None = None
    """Predicted, of all trainings without the measurements; None where nobody knows."""
    unit: str = ""
    """What the seconds are of: "CPU-seconds" or "GPU-seconds"."""


def plan_diagnosis(
    study: Study,
    store: Store,
    strategies: Sequence[str] = (),
    only: Sequence[str] = (),
    seeds: int = 1,
    load: Loader | None = None,
) -> DiagnosisPlan:
    """Return what is left to train and to measure, after checking that it can be done.

    Args:
        strategies: by name; none named means all that have a complete trial.
        only: rows of DIAGNOSTICS; none named means all that say something of the data.
        seeds: trainings of each strategy.
        load: reads each dataset once.

    Raises:
        ValueError: the study trains by a loop of its own or was not run, a name is unknown, a strategy has no complete
            trial, or nothing may be written.
    """
    load = load or Loader()
    refuse(study, store, seeds)
    for name in strategies:
        lookup(study.strategies, name, "strategy")
    wanted = {name: lookup(DIAGNOSTICS, name, "diagnostic") for name in only} or DIAGNOSTICS
    points = points_of(study, store, strategies)
    reasons = {name: row.why_not(load(study.task)) for name, row in wanted.items()}
    measured = [name for name, reason in reasons.items() if not reason]
    known = diagnoses(store, study.name)
    trainings = [
        training
        for name, point in points.items()
        for seed in range(seeds)
        if (training := left_of(study, Retraining(name, seed, point, tuple(measured)), known)).diagnostics
    ]
    if any(DIAGNOSTICS[name].against for training in trainings for name in training.diagnostics):
        [point] = points_of(study, store, [study.baseline_name]).values()
        trainings.insert(0, Retraining(study.baseline_name, 0, point, (), attacks=True))
    left_out = {name: reason for name, reason in reasons.items() if reason}
    return priced(DiagnosisPlan(study, trainings, left_out), load)


def refuse(study: Study, store: Store, seeds: int) -> None:
    """Raise ValueError where a study cannot be diagnosed at all."""
    if study.train is not None:
        raise ValueError(
            f"study {study.name!r} trains by a loop of its own, {spelt(study.train)}, whose network nobody else can "
            "train again: call the functions of autoaug.diagnose on it in the loop, as docs/how-to/diagnose.md shows"
        )
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: give the number of trainings of each strategy, at least 1")
    if store.definition(study.name) is None:
        raise ValueError(f"study {study.name!r} was not run in {store.display_url}: run it, or give another --storage")
    if store.read_only:
        raise ValueError(f"nothing may be written to {store.display_url} ({store.read_only}): copy it to where you may")


def points_of(study: Study, store: Store, named: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the point of each strategy that its final runs train, or would train.

    Raises:
        ValueError: a strategy that was named, or every one, has no complete trial.
    """
    outcomes, maximize = store.outcomes(study.name), study.direction == "maximize"
    points = {}
    for name in named or study.strategies:
        if (point := winning_point([each for each in outcomes if each.strategy == name], maximize)) is not None:
            points[name] = point
        elif named:
            raise ValueError(f"no trial of {name} of study {study.name!r} is complete yet: run the study")
    if not points:
        raise ValueError(f"no trial of any strategy of study {study.name!r} is complete yet: run the study")
    return points


def winning_point(outcomes: Sequence[Outcome], maximize: bool) -> Mapping[str, Any] | None:
    """Return the point that the last complete final run of a strategy trained, or else that of its best trial."""
    finals = [each for each in outcomes if each.kind is TrialKind.FINAL and each.state == "COMPLETE"]
    chosen = finals[-1] if finals else best_complete(outcomes, maximize)
    return None if chosen is None else chosen.point


def left_of(study: Study, training: Retraining, known: Sequence[Diagnosis]) -> Retraining:
    """Return a training with what was not measured of it yet, in all its phases."""
    phases = phases_of(set_up(study, training.strategy, training.point).task)
    found = {
        (each.diagnostic, each.phase)
        for each in known
        if (each.strategy, each.seed, each.point) == (training.strategy, training.seed, dict(training.point))
    }
    left = [name for name in training.diagnostics if any((name, phase) not in found for phase in phases)]
    return replace(training, diagnostics=tuple(left))


def phases_of(task: Task) -> tuple[Phase, ...]:
    """Return the phases at whose end a training is looked at."""
    return ("augment", "refine") if task.refine_epochs else ("augment",)


def priced(plan: DiagnosisPlan, load: Loader) -> DiagnosisPlan:
    """Return a plan with what its trainings should cost, each as the planner predicts one on the study's own task."""
    if not plan.trainings:
        return plan
    found = predict(plan.study, dict.fromkeys(each.strategy for each in plan.trainings), load=load)
    costs = [found[each.strategy].full for each in plan.trainings if each.strategy in found]
    if len(costs) < len(plan.trainings):
        return plan
    return replace(plan, seconds=round(sum(costs), 3), unit=next(iter(found.values())).unit)
