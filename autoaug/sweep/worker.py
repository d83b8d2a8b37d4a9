"""The worker runs one trial and writes everything about it straight into the storage."""

import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import optuna
import torch
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from autoaug.checkpoint import Checkpoint
from autoaug.learners import DEPLOYS
from autoaug.policy import Fixed
from autoaug.record import LEADERBOARD, Record, State
from autoaug.seeding import derive_seed
from autoaug.store import Store
from autoaug.study import Setup, Study, set_up
from autoaug.sweep.job import Event, Job, Listen, me
from autoaug.sweep.options import Options
from autoaug.train import train

BEAT_SECONDS = 10.0
"""How often a worker renews the lease of its trial."""


class Stopped(Exception):
    """The trial is no longer ours: cancelled in the dashboard, or given to another worker."""


class Cut(Exception):
    """The trial ends early as PRUNED; the message says why."""


def work(study: Study, job: Job, store: Store, options: Options, listen: Listen) -> None:
    """Run one trial to its end. An error inside it becomes its state and reason; the study goes on.

    Raises:
        KeyboardInterrupt: after the trial was queued again, to resume from its checkpoint.
    """
    listen(Event(job, state="RUNNING"))
    folder = job.folder(options.artifacts, study.name)
    if job.attempt == 1:
        shutil.rmtree(folder, ignore_errors=True)  # left by an archived or deleted study of the same name
    try:
        with lease(store, job.trial_id):
            store.annotate(job.trial_id, **provenance(study, job))
            last = run_trial(study, job, store, options, listen)
    except KeyboardInterrupt:
        search = store.leaderboard(study.name) if job.final else store.open(study.name, job.strategy, study.direction)
        store.requeue(search, job.trial_id, "interrupted")
        raise
    except Stopped as stop:
        listen(Event(job, state="FAIL", reason=str(stop)))
        return
    except Cut as cut:
        end(study, job, store, TrialState.PRUNED, str(cut), listen)
    except Exception as error:
        end(study, job, store, TrialState.FAIL, explain(error), listen)
    else:
        finish(study, job, store, last, listen)
    shutil.rmtree(folder, ignore_errors=True)


def run_trial(study: Study, job: Job, store: Store, options: Options, listen: Listen) -> Record:
    """Train, and write every epoch as it is measured; returns the last one."""
    setup = set_up(study, job.strategy, job.point)
    prune = pruner(study, job, store)
    for epoch in train_from_checkpoint(study, job, options, setup):
        record = sign(epoch, study, job, options.gpus_per_trial or 1.0)
        keep(record, study, job, store, listen)
        if not job.final and record.epoch < setup.task.total_epochs:
            prune(record)
    if job.final and setup.learner:
        for name in study.deploy:
            record = deploy(name, record, study, job, store, options, listen)
    return record


def train_from_checkpoint(study: Study, job: Job, options: Options, setup: Setup, name: str = "") -> Iterator[Record]:
    """Train with the job's seed, from the checkpoint of the latest attempt that left one."""
    folder = job.folder(options.artifacts, study.name) / name
    earlier = (folder / f"{attempt}.pt" for attempt in range(job.attempt - 1, 0, -1))
    checkpoint = Checkpoint(folder / f"{job.attempt}.pt", next((path for path in earlier if path.exists()), None))
    rng = torch.Generator().manual_seed(seed_of(study, job))
    return train(setup.task, setup.policy, setup.mix, setup.learner, rng, checkpoint, test=job.final)


def keep(record: Record, study: Study, job: Job, store: Store, listen: Listen) -> None:
    """Report and store an epoch, unless the trial was ended from outside."""
    if not store.report(job.trial_id, record.epoch, record.metrics[study.metric]):
        raise Stopped("cancelled, or taken over by another worker")
    store.write_epoch(job.trial_id, record)
    listen(Event(job, record=record))


def deploy(name: str, last: Record, study: Study, job: Job, store: Store, options: Options, listen: Listen) -> Record:
    """Train from scratch with the policy that a final run learned; its metrics are added under `<name>_`.

    Same initial weights and data order as the run that learned it, nothing else of it.
    """
    mine = [r for r in store.epochs(study.name) if r.final and (r.strategy, r.seed) == (job.strategy, last.seed)]
    setup = set_up(study, job.strategy, job.point)
    scratch = replace(setup, policy=Fixed(DEPLOYS[name](mine)), learner=None)
    record = last
    for epoch in train_from_checkpoint(study, job, options, scratch, name):
        renamed = {f"{name}_{metric}": value for metric, value in epoch.metrics.items()}
        epoch = replace(epoch, epoch=last.epoch + epoch.epoch, metrics={**last.metrics, **renamed})
        record = sign(epoch, study, job, options.gpus_per_trial or 1.0)
        keep(record, study, job, store, listen)
    return record


def pruner(study: Study, job: Job, store: Store) -> Any:
    """`record -> None`, raising Cut where the trial is not worth, or cannot pay for, another epoch."""
    rule = study.strategies[job.strategy].pruner
    limit = study.budget.gpu_seconds
    search = None if isinstance(rule, NopPruner) else load_search(study, job, store)

    def prune(record: Record) -> None:
        if limit is not None and store.spent(study.name, job.strategy) >= limit:
            raise Cut(f"the budget of {limit:g} seconds was spent after epoch {record.epoch}")
        if search is not None and rule.prune(search, store.optuna.get_trial(job.trial_id)):
            raise Cut(f"pruned after epoch {record.epoch} by {type(rule).__name__}")

    return prune


def load_search(study: Study, job: Job, store: Store) -> optuna.Study:
    # a sampler that samples nothing: workers only read
    return optuna.load_study(study_name=f"{study.name}/{job.strategy}", storage=store.optuna, sampler=RandomSampler())


def sign(record: Record, study: Study, job: Job, share: float) -> Record:
    """Say whose epoch it is. On a GPU it costs the share of the GPU that the trial has."""
    return replace(
        record,
        gpu_seconds=record.gpu_seconds * (share if record.device == "cuda" else 1.0),
        study=study.name,
        strategy=job.strategy,
        trial=job.number,
        attempt=job.attempt,
        seed=seed_of(study, job),
        final=job.final,
    )


def seed_of(study: Study, job: Job) -> int:
    """The seed of a training. Strategies share it trial by trial and final run by final run: comparisons are paired."""
    return derive_seed(study.seed, LEADERBOARD if job.final else "search", job.final_seed if job.final else job.root)


def finish(study: Study, job: Job, store: Store, last: Record, listen: Listen) -> None:
    """End a trial as COMPLETE, with the value of its last epoch."""
    values = [last.metrics[study.metric]]
    if job.final:
        store.note_test_read(job.trial_id, last, job.final_seed or 0)
        done = store.work_on(job.trial_id)
        assert done, "its last epoch was stored"
        values = [last.metrics["test_accuracy"], done.gpu_seconds]
    end(study, job, store, TrialState.COMPLETE, "", listen, values)


def end(
    study: Study,
    job: Job,
    store: Store,
    state: TrialState,
    reason: str,
    listen: Listen,
    values: list[float] | None = None,
) -> None:
    done = store.work_on(job.trial_id)
    attributes: dict[str, Any] = {"reason": reason} if reason else {}
    if done:
        unit = "gpu_seconds" if done.device == "cuda" else "cpu_seconds"
        attributes |= {unit: round(done.gpu_seconds, 3), "epochs": done.epochs, "images": done.images}
        attributes |= {name: round(value, 6) for name, value in done.metrics.items()}
    if store.finish(job.trial_id, state, values, **attributes):
        listen(Event(job, state=cast(State, state.name), reason=reason))
    else:
        listen(Event(job, state="FAIL", reason="cancelled, or taken over by another worker"))


def explain(error: Exception) -> str:
    """One line for the database: what went wrong, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"[:1000]


def provenance(study: Study, job: Job) -> dict[str, Any]:
    """What one needs to know to make the number again."""
    return {
        "seed": seed_of(study, job),
        "attempt": job.attempt,
        "root": job.root,
        "worker": me(),
        "versions": versions(),
        "git_commit": git_commit(),
    }


@cache
def versions() -> dict[str, str]:
    names = ("autoaug", "torch", "torchvision", "optuna", "ray")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


@cache
def git_commit() -> str:
    """The commit of the project that the study is run from, with a `+` where it has uncommitted changes."""
    try:
        commit = run_git("rev-parse", "HEAD")
        return commit[:12] + ("+" if run_git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "none"


def run_git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@contextmanager
def lease(store: Store, trial_id: int, every: float = BEAT_SECONDS) -> Iterator[None]:
    """Say again and again that somebody works on a trial, for as long as the block runs."""
    over = threading.Event()

    def renew() -> None:
        while True:
            store.beat(trial_id, me())
            if over.wait(every):
                return

    thread = threading.Thread(target=renew, name=f"lease-{trial_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
