"""What happens to a trial that lost its worker, or failed: it is queued again, as one more attempt at the same point.

Whether one more attempt follows, or the trial is given up, is decided by `Store.requeue` and the count of losses that
it keeps (`store/_losses.py`); that it happens once, however many drivers see it, by `SharedStorage.replace`.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import optuna
from optuna.trial import FrozenTrial, TrialState

from autoaug.execution._job import Job
from autoaug.execution._pending_writes import write_pending_of
from autoaug.execution._watch import Watch
from autoaug.processes import is_gone, process_name, short_name
from autoaug.record import Outcome, State, TrialKind, last_attempts
from autoaug.store import Lease, Loss, Store, Unreachable, id_of_trial, running
from autoaug.study import Study

EXPIRY_SECONDS = 60.0
"""A lease that gets older and is not renewed is over, and its trial is given to somebody else."""

LEASE_SECONDS = 10.0
"""Between two signs of life of a worker."""

RECONCILE_SECONDS = 5.0
"""How often an idle scheduler looks for workers that died; more often where they beat more often."""


class Recovery:
    """Queues again the trials of workers that died, among the Optuna studies of one scheduler."""

    def __init__(
        self,
        store: Store,
        studies: Mapping[str, optuna.Study],
        expiry: float = EXPIRY_SECONDS,
        lease: float = LEASE_SECONDS,
    ) -> None:
        """Watch some Optuna studies, given by their names below that of the study.

        Args:
            expiry: a lease that is older, in seconds, is over, unless it is renewed before the next look.
            lease: seconds between two signs of life of a worker.
        """
        self.store, self.studies, self.expiry = store, studies, expiry
        self.watch, self.every = Watch(expiry, lease), min(RECONCILE_SECONDS, lease)
        self.looked = -RECONCILE_SECONDS

    def lost(self, job: Job, reason: str, loss: Loss = "foreign") -> TrialState | None:
        """Queue the trial of a worker that is gone, to resume from its checkpoint, unless the trial had ended.

        Returns:
            What became of the trial, as `Store.requeue` has it.
        """
        return requeue(self.store, self.studies[job.substudy], job.trial_id, reason, loss)

    def reconcile(self) -> None:
        """Queue the trials that nobody works on any more, unless that was looked for a moment ago."""
        if time.monotonic() - self.looked < self.every:
            return
        self.looked = time.monotonic()
        leases = self.store.leases()
        runs = {
            id_of_trial(trial): (study, trial)
            for study in self.studies.values()
            for trial in running(self.store, study)
        }
        # while the storage was away nobody could renew a lease
        fair = self.looked - self.store.retry_policy.last_failure > self.expiry
        over = self.watch.look({trial_id: leases.get(trial_id) for trial_id in runs}, self.looked, fair)
        for trial_id, (study, trial) in runs.items():
            lease = leases.get(trial_id)
            if trial_id in over or is_dead(lease, trial):
                # without a lease, the driver that asked for it may have died before it could sign
                who, age = (short_name(lease.owner), lease.age) if lease else ("its driver", 0.0)
                reason = f"lost: no sign of {who} for {over.get(trial_id, age):.0f} s"
                self.take_back(study, trial, lease, reason)

    def take_back(self, study: optuna.Study, trial: FrozenTrial, lease: Lease | None, reason: str) -> None:
        """Queue a trial whose lease is over, unless its worker has signed meanwhile, or another driver takes it back.

        The lease is this process's from now on: nobody else takes the trial while it writes what the worker left.
        """
        if self.store.take_lease(id_of_trial(trial), process_name(), lease):
            requeue(self.store, study, id_of_trial(trial), reason, whose_loss(trial))


def requeue(store: Store, study: optuna.Study, trial_id: int, reason: str, loss: Loss) -> TrialState | None:
    """Queue a trial again, as `Store.requeue`, once what its worker could not write has been written.

    What was measured is not measured again, and a trial that had ended does not begin again.
    """
    write_pending_of(store, trial_id)
    return store.requeue(study, trial_id, reason, loss)


def is_dead(lease: Lease | None, trial: FrozenTrial) -> bool:
    """Whether nobody works on a trial any more and nobody else will report it: a living driver hears of its worker."""
    return lease is not None and is_gone(lease.owner) and is_gone(trial.user_attrs.get("driver") or lease.owner)


def whose_loss(trial: FrozenTrial) -> Loss:
    """Return whose loss it is that a lease has ended. What had not begun, or had a driver, is not the trial's.

    A driver that lives reports itself what became of its worker.
    """
    worker = trial.user_attrs.get("worker")
    alone = worker is not None and trial.user_attrs.get("driver", worker) == worker
    return "unseen" if alone else "foreign"


def give_back(study: Study, store: Store, job: Job, reason: str, loss: Loss) -> State:
    """Queue the trial of a worker that ends now. Where the storage is away, the lease that ends does it.

    Returns:
        FAIL where the trial was given up: this was one loss too many. WAITING otherwise.
    """
    with suppress(Unreachable):
        finals = job.kind is TrialKind.FINAL
        trials = store.leaderboard(study.name) if finals else store.open(study.name, job.substudy, study.direction)
        if requeue(store, trials, job.trial_id, reason, loss) == TrialState.FAIL:
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
