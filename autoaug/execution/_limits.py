"""What ends a trial before its last epoch: the budget of its strategy, or a pruner."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from copy import deepcopy

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler

from autoaug.devices import host_seconds
from autoaug.execution._job import Job
from autoaug.record import Record, TrialKind
from autoaug.store import Store
from autoaug.study import Study, unit


class Cut(Exception):
    """The trial ends early as PRUNED; the message says why."""


class Limits:
    """What ends a trial early: its strategy pays for each epoch, and a pruner judges it. Final runs have neither."""

    def __init__(self, study: Study, job: Job, store: Store, device: str) -> None:
        self.study, self.job, self.store, self.device = study, job, store, device
        # pruners keep what they have seen: each trial judges by the storage alone
        self.rule = deepcopy(study.strategies[job.strategy].pruner)
        judged = job.kind is TrialKind.SEARCH and not isinstance(self.rule, NopPruner)
        self.search = load_search(study, job, store) if judged else None

    def refuse_overdraft(self, epoch: int = 0) -> None:
        """Refuse to train what the budget cannot pay for, even the first epoch of an attempt that goes on.

        Raises:
            Cut: the budget is spent.
        """
        for name, limit in self.study.budget.seconds.items() if self.job.kind.charged else ():
            if self.store.spent(self.study.name, self.job.strategy, name) >= limit:
                when = f"after epoch {epoch}" if epoch else "before its next epoch"
                raise Cut(f"the budget of {limit:g} {unit(name, self.device)} was spent {when}")

    def check(self, record: Record) -> None:
        """Judge a trial after an epoch that is not its last.

        Raises:
            Cut: the budget is spent, or the pruner of the strategy ends the trial.
        """
        self.refuse_overdraft(record.epoch)
        if self.search is not None and self.rule.prune(self.search, self.store.optuna.get_trial(self.job.trial_id)):
            raise Cut(f"pruned after epoch {record.epoch} by {type(self.rule).__name__}")


def load_search(study: Study, job: Job, store: Store) -> optuna.Study:
    """Return the Optuna study of a search as a pruner reads it, with a sampler that samples nothing."""
    return optuna.load_study(study_name=f"{study.name}/{job.strategy}", storage=store.optuna, sampler=RandomSampler())


def metered(
    epochs: Generator[Record, None, None], device: str, lose: Callable[[Record], object]
) -> Generator[Record, None, None]:
    """Yield the epochs as they come. What was spent on one that an error cut off goes to `lose`, as epoch 0."""
    with closing(epochs):
        while True:
            cost, wall = host_seconds(device), time.perf_counter()
            try:
                record = next(epochs)
            except StopIteration:
                return
            except BaseException:
                seconds, wall = max(0.0, host_seconds(device) - cost), time.perf_counter() - wall
                lose(Record(epoch=0, phase="augment", gpu_seconds=seconds, wall_seconds=wall, device=device))
                raise
            yield record
