"""Train the winners of a study again, and measure them at the end of each phase."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Generator

from autoaug.diagnose._measures import Logits
from autoaug.diagnose._plan import DiagnosisPlan, Retraining
from autoaug.diagnose._subject import subject_of
from autoaug.diagnose._table import DIAGNOSTICS, Measured
from autoaug.interruption import Interruption
from autoaug.store import Diagnosis, Store, note_diagnosis
from autoaug.study import Loader, set_up
from autoaug.train import Diverged, TrainingRun, train


@dataclass(frozen=True)
class DiagnosisEvent:
    """Tell an epoch that was trained, or what was found, or what failed, of one training."""

    training: Retraining
    epoch: int = 0
    epochs: int = 0
    """Of the training."""
    found: Diagnosis | None = None
    failed: str = ""
    """Why a diagnostic, or all of the training, gives nothing."""


def conduct_diagnosis(
    plan: DiagnosisPlan,
    store: Store,
    listen: Callable[[DiagnosisEvent], object] = lambda event: None,
    load: Loader | None = None,
    interruption: Interruption | None = None,
) -> None:
    """Train what a plan says, on the training images alone, and store what is found as soon as it is.

    A training that diverges, and a diagnostic that fails, are told and the others go on. The test split is not read.

    Raises:
        KeyboardInterrupt: the end was asked for; what was measured is stored.
        ValueError: the run that attacks diverges.
    """
    load, attacker = load or Loader(), None
    for training in plan.trainings:
        probe = Probe(plan, store, training, listen, attacker)
        try:
            run = trained(plan, training, probe, load, interruption)
        except Diverged as error:
            if training.attacks:
                raise ValueError(f"{training}: {error}; leave the diagnostics out that attack with it") from error
            listen(DiagnosisEvent(training, failed=str(error)))
            continue
        if training.attacks:
            attacker = subject_of(run, 0).network


def trained(
    plan: DiagnosisPlan, training: Retraining, probe: "Probe", load: Loader, interruption: Interruption | None
) -> TrainingRun:
    """Train once and return the training at its end."""
    setup, runs = set_up(plan.study, training.strategy, training.point), list[TrainingRun]()
    seed, data = training.seed_of(plan.study.seed), load(setup.task)
    given = (setup.task, setup.policy, setup.mix, setup.learner, Generator().manual_seed(seed))
    epochs = train(
        *given, validate=False, data=data, watched=probe.watch, finished=runs.append, interruption=interruption
    )
    for record in epochs:
        probe.listen(DiagnosisEvent(training, record.epoch, setup.task.last_epoch))
    return runs[0]


@dataclass(frozen=True)
class Probe:
    """Look at a training at the end of each of its phases, and store what is found."""

    plan: DiagnosisPlan
    store: Store
    training: Retraining
    listen: Callable[[DiagnosisEvent], object]
    attacker: Logits | None

    def watch(self, run: TrainingRun) -> None:
        """Measure a training where a phase of it has just ended."""
        if run.epoch in (run.task.epochs, run.task.last_epoch):
            subject = subject_of(run, self.training.seed, self.attacker)
            for name in self.training.diagnostics:
                self.measure(name, partial(DIAGNOSTICS[name].measure, subject), run)

    def measure(self, name: str, ask: Callable[[], Measured], run: TrainingRun) -> None:
        """Measure by one diagnostic, and store what it finds."""
        row, training = DIAGNOSTICS[name], self.training
        try:
            values, series = checked(ask())
        except Exception as error:  # whatever a user's function may raise
            self.listen(DiagnosisEvent(training, failed=f"{name}: {type(error).__name__}: {error}"))
            return
        found = Diagnosis(
            study=self.plan.study.name,
            strategy=training.strategy,
            seed=training.seed,
            diagnostic=name,
            phase=run.phase,
            point=dict(training.point),
            unit=row.unit,
            says=row.says,
            values=values,
            series=series,
        )
        note_diagnosis(self.store, found)
        self.listen(DiagnosisEvent(training, found=found))


def checked(measured: Measured) -> Measured:
    """Return what a diagnostic found as it is stored: floats, and lists.

    Raises:
        ValueError: a value is no finite number.
    """
    values = {str(name): float(value) for name, value in measured.values.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"its value {name!r} is {value}: give a finite number, or leave it out")
    return Measured(values, {name: list(each) for name, each in measured.series.items()})
