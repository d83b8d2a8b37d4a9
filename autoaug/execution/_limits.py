"""What ends a trial before its last epoch: the budget of its strategy, or a pruner."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler

from autoaug.execution._job import Job
from autoaug.record import Record
from autoaug.store import Store
from autoaug.study import Study, unit


class Cut(Exception):
    """The trial ends early as PRUNED; the message says why."""


class Limits:
    """Raises Cut where a trial is not worth, or its strategy cannot pay for, another epoch. Final runs have none."""

    def __init__(self, study: Study, job: Job, store: Store, device: str) -> None:
        self.study, self.job, self.store, self.device = study, job, store, device
        # pruners keep what they have seen: each trial judges by the storage alone
        self.rule = deepcopy(study.strategies[job.strategy].pruner)
        judged = not (job.final or job.rerun or isinstance(self.rule, NopPruner))
        self.search = load_search(study, job, store) if judged else None

    def refuse_overdraft(self, epoch: int = 0) -> None:
        """Nothing is trained that the budget cannot pay for, not even the first epoch of an attempt that goes on."""
        for name, limit in {} if self.job.final else self.study.budget.seconds.items():
            if self.store.spent(self.study.name, self.job.strategy, name) >= limit:
                when = f"after epoch {epoch}" if epoch else "before its next epoch"
                raise Cut(f"the budget of {limit:g} {unit(name, self.device)} was spent {when}")

    def check(self, record: Record) -> None:
        """After an epoch that is not the last."""
        self.refuse_overdraft(record.epoch)
        if self.search is not None and self.rule.prune(self.search, self.store.optuna.get_trial(self.job.trial_id)):
            raise Cut(f"pruned after epoch {record.epoch} by {type(self.rule).__name__}")


def load_search(study: Study, job: Job, store: Store) -> optuna.Study:
    # a sampler that samples nothing: workers only read
    return optuna.load_study(study_name=f"{study.name}/{job.strategy}", storage=store.optuna, sampler=RandomSampler())


def metered(epochs: Iterator[Record], device: str, lose: Callable[[Record], object]) -> Iterator[Record]:
    """The same epochs. What was spent on one that an error cut off is given to `lose`, as a record of epoch 0."""
    while True:
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            record = next(epochs)
        except StopIteration:
            return
        except BaseException:
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            seconds = wall if device == "cuda" else cpu
            lose(Record(epoch=0, phase="augment", gpu_seconds=seconds, wall_seconds=wall, device=device))
            raise
        yield record
