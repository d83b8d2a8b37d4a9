"""A trial in a process beside the driver's: what is sent there, how it is worked on, and what a death of it means.

The same holds for the processes of the local executor and for the actors of Ray.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import cloudpickle
import torch
from optuna.trial import TrialState

from autoaug.execution import Event, Job, Listen, Options, Scheduler, end, work, write_pending
from autoaug.metrics import METRICS, own_metrics
from autoaug.record import State
from autoaug.store import Loss, Store, Unreachable, open_retrying
from autoaug.study import Study
from autoaug.text import shown
from autoaug.trial import explain


@dataclass(frozen=True)
class Errand:
    """What a worker is sent beside the trial, the same for all trials of a study. It holds no password."""

    study: bytes
    """Pickled, for its modules may have to be brought there before; with the metrics that it is measured by, for what
    made them rows of `METRICS` need not run there."""
    storage: str
    """What `Store.portable` gives."""
    options: Options


def errand(study: Study, store: Store, options: Options) -> Errand:
    """Return what the workers of a study are sent.

    Raises:
        ValueError: the study holds something that cannot leave this process.
    """
    try:
        pickled = cloudpickle.dumps((replace(study, task=study.task.anchored(), storage=None), own_metrics()))
    except Exception as error:
        raise ValueError(
            f"study {study.name!r} cannot be sent to other processes: {shown(error)}: let a function make what it "
            "holds, or run it in this process"
        ) from error
    return Errand(pickled, store.portable(), options)


def carry_out(errand: Errand, job: Job, tell: Listen, **attributes: Any) -> None:
    """Run one trial in this process, which is ended where the trial hangs.

    Args:
        tell: hears what the driver is to know.
        attributes: of the trial, noted before it begins.

    Raises:
        KeyboardInterrupt: after the trial was queued again.
    """
    options = errand.options
    torch.set_num_threads(max(1, int(options.cpus_per_trial)))  # trials share cores
    try:
        store = open_store(errand.storage, options.retry_seconds)
        write_pending(store, options)
        if attributes:
            store.annotate(job.trial_id, **attributes)
    except (ValueError, Unreachable) as away:  # its lease ends, and a scheduler takes it back
        tell(Event(job, state="WAITING", reason=str(away)))
        return
    try:
        study, metrics = cloudpickle.loads(errand.study)
    except Exception as error:
        end(job, store, TrialState.FAIL, explain(error), tell)
        return
    METRICS.update(metrics)
    work(study, job, store, options, tell, end_process=lambda: os._exit(1))


@cache
def open_store(storage_url: str, retry_seconds: float) -> Store:
    """Open a storage once per worker process: its pool of connections serves many trials."""
    return open_retrying(storage_url, retry_seconds)


def why_lost(store: Store, job: Job) -> tuple[str, Loss]:
    """Return why a trial has lost its worker, and whose loss that is, where nothing else died with it."""
    if "worker" in store.optuna.get_trial(job.trial_id).user_attrs:
        return "its worker died", "own"
    return "its worker died before it began", "unseen"


def report_lost(scheduler: Scheduler, job: Job, listen: Listen, reason: str, loss: Loss) -> None:
    """Queue a trial whose worker has died again, and say so. Where the storage is away, its lease ends instead."""
    with suppress(Unreachable):
        state = scheduler.lost(job, reason, loss)
        if state is not None:
            reason += ": queued again" if state == TrialState.WAITING else " again and again"
            listen(Event(job, state=cast(State, state.name), reason=reason))
