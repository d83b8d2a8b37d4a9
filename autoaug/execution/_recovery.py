"""What happens to a trial that lost its worker, or failed: it is queued again, as one more attempt at the same point.

Whether one more attempt follows, or the trial is given up, is decided by `Store.requeue` and the count of losses that
it keeps (`store/_losses.py`); that it happens once, however many drivers see it, by `SharedStorage.replace`.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from autoaug.execution._job import Job, is_gone
from autoaug.record import Outcome, State, TrialKind, last_attempts
from autoaug.store import Loss, Store, Unreachable, id_of_trial, running
from autoaug.study import Study

EXPIRY_SECONDS = 60.0
"""A lease older than this is dead, and its trial is given to somebody else."""

RECONCILE_SECONDS = 5.0
"""How often an idle scheduler looks for workers that died."""


class Recovery:
    """Queues again the trials of workers that died, among the Optuna studies of one scheduler."""

    def __init__(self, store: Store, studies: Mapping[str, optuna.Study], expiry: float = EXPIRY_SECONDS) -> None:
        """Watch some Optuna studies, given by their names below that of the study.

        Args:
            expiry: a lease that is older, in seconds, is dead.
        """
        self.store, self.studies, self.expiry = store, studies, expiry
        self.looked = -RECONCILE_SECONDS

    def lost(self, job: Job, reason: str, loss: Loss = "foreign") -> TrialState | None:
        """Queue the trial of a worker that is gone, to resume from its checkpoint, unless the trial had ended.

        Returns:
            What became of the trial, as `Store.requeue` has it.
        """
        return self.store.requeue(self.studies[job.substudy], job.trial_id, reason, loss)

    def reconcile(self) -> None:
        """Queue the trials that nobody works on any more, unless that was looked for a moment ago."""
        if time.monotonic() - self.looked < RECONCILE_SECONDS:
            return
        self.looked = time.monotonic()
        leases = self.store.leases()
        # while the storage was away nobody could renew a lease
        fair = self.looked - self.store.retry_policy.last_failure > self.expiry
        for study in self.studies.values():
            for trial in running(self.store, study):
                # without a lease, the driver that asked for it may have died before it could sign
                owner, age = leases.get(id_of_trial(trial), ("its driver", seconds_since(trial.datetime_start)))
                if (age > self.expiry and fair) or is_dead(owner, trial):
                    reason = f"lost: no sign of {owner} for {age:.0f} s"
                    self.store.requeue(study, id_of_trial(trial), reason, whose_loss(trial))


def is_dead(owner: str, trial: FrozenTrial) -> bool:
    """Whether nobody works on a trial any more and nobody else will report it: a living driver hears of its worker."""
    return is_gone(owner) and is_gone(trial.user_attrs.get("driver") or owner)


def whose_loss(trial: FrozenTrial) -> Loss:
    """Return whose loss it is that a lease has ended. What had not begun, or had a driver, is not the trial's.

    A driver that lives reports itself what became of its worker.
    """
    worker = trial.user_attrs.get("worker")
    alone = worker is not None and trial.user_attrs.get("driver", worker) == worker
    return "unseen" if alone else "foreign"


def seconds_since(start: datetime | None) -> float:
    """Return how long ago Optuna noted a time, in seconds; 0 where it noted none."""
    return (datetime.now() - start).total_seconds() if start else 0.0  # Optuna gives local times without a zone


def give_back(study: Study, store: Store, job: Job, reason: str, loss: Loss) -> State:
    """Queue the trial of a worker that ends now. Where the storage is away, the lease that ends does it.

    Returns:
        FAIL where the trial was given up: this was one loss too many. WAITING otherwise.
    """
    with suppress(Unreachable):
        finals = job.kind is TrialKind.FINAL
        trials = store.leaderboard(study.name) if finals else store.open(study.name, job.substudy, study.direction)
        if store.requeue(trials, job.trial_id, reason, loss) == TrialState.FAIL:
            return "FAIL"
    return "WAITING"


def failed(study: Study, store: Store, only: Sequence[str] = ()) -> list[Outcome]:
    """Return the trials, re-runs and final runs of a study whose last attempt failed, with the reason of each."""
    names = set(only or study.strategies)
    ends = last_attempts(store.outcomes(study.name))
    return [outcome for outcome in ends if outcome.state == "FAIL" and outcome.strategy in names]


def retry_failed(study: Study, store: Store, only: Sequence[str] = ()) -> list[Outcome]:
    """Queue what failed, because somebody asked for it, and return it.

    Each is one more attempt: the same point and seed, from its checkpoint where there is one. A final run that has
    read the test split reads it as the same run.
    """
    return [outcome for outcome in failed(study, store, only) if store.retry(outcome)]
