"""The worker runs one trial and writes everything about it straight into the storage."""

import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from optuna.trial import TrialState

from autoaug.checkpoint import Checkpoint
from autoaug.data import Data, train_on_val
from autoaug.execution._job import Event, Job, Listen, process_name
from autoaug.execution._lease import Hung, interruptible, lease
from autoaug.execution._limits import Cut, Limits, metered
from autoaug.execution._pending_writes import spool_of
from autoaug.execution._provenance import device_name, fingerprint, peak_memory, provenance, reset_peak_memory
from autoaug.learners import DEPLOYS
from autoaug.options import Options
from autoaug.policy import Fixed
from autoaug.record import FULL, LEADERBOARD, Record, State
from autoaug.seeding import derive_seed
from autoaug.store import Loss, Store, Unreachable, settle
from autoaug.study import Setup, Study, applied, set_up, unapplied
from autoaug.text import read, shown
from autoaug.train import Diverged, NullLearner, Task, pick_device, train


class Stopped(Exception):
    """The trial is no longer ours: cancelled in the dashboard, or given to another worker."""


def work(
    study: Study,
    job: Job,
    store: Store,
    options: Options,
    listen: Listen,
    end_process: Callable[[], None] | None = None,
) -> None:
    """Run one trial to its end. An error inside it becomes its state and reason; the study goes on.

    What cannot be written because the storage is away is kept in a file until it is back.

    Args:
        end_process: how to end a training that hangs, where it has a process of its own. Elsewhere it is interrupted.

    Raises:
        KeyboardInterrupt: after the trial was queued again, to resume from its checkpoint.
    """
    store.spool = spool_of(store, options)
    listen(Event(job, state="RUNNING"))
    try:
        folder = job.folder(options.artifacts, study.name)
    except ValueError as error:
        end(job, store, TrialState.FAIL, str(error), listen)
        return
    if job.attempt == 1:
        shutil.rmtree(folder, ignore_errors=True)  # left by an archived or deleted study of the same name
    objectives = [study.metric]
    hung, fate = f"hung: no step for {options.hang_seconds:g} s", list[State]()
    try:
        with interruptible(hung) as interrupt:

            def give_up() -> None:
                fate.append(queue_again(study, job, store, hung, "own"))
                (end_process or interrupt)()

            with lease(store, job.trial_id, options.lease_seconds, options.hang_seconds, give_up) as step:
                store.annotate(job.trial_id, **provenance(study, job, seed_of(study, job)))
                if job.final:
                    note_test_read(study, job, store)
                    objectives = store.final_objectives(study.name)
                run_in_memory(study, job, store, options, listen, step)
    except KeyboardInterrupt:
        queue_again(study, job, store, "interrupted", "foreign")
        raise
    except Hung:
        listen(Event(job, state=fate[0], reason=hung))
        return
    except Stopped as stop:
        listen(Event(job, state="FAIL", reason=str(stop)))
        return
    except Unreachable as away:  # it cannot go on; its lease ends, and the next attempt goes on from its checkpoint
        listen(Event(job, state="WAITING", reason=str(away)))
        return
    except Cut as cut:
        ended = end(job, store, TrialState.PRUNED, str(cut), listen)
    except Exception as error:
        end(job, store, TrialState.FAIL, explain(error), listen)
        ended = False
    else:
        ended = end(job, store, TrialState.COMPLETE, "", listen, objectives)
    if settled(store, job.trial_id) and ended:  # or else the next attempt goes on from what lies there
        shutil.rmtree(folder, ignore_errors=True)


def note_test_read(study: Study, job: Job, store: Store) -> None:
    """Keep that the test split is about to be read, before it is: a run that dies after it has read it too.

    Raises:
        PermissionError: another final run of the same strategy and seed has read it.
    """
    seed = job.final_seed or 0
    if not store.note_test_read(job.trial_id, study.name, job.strategy, seed, job.root, process_name(), job.retest):
        raise PermissionError(f"final run {seed} of {job.strategy} has read the test split before: ask with --retest")


def queue_again(study: Study, job: Job, store: Store, reason: str, loss: Loss) -> State:
    """Give the trial to whoever comes next. Where the storage is away, the lease that ends does it.

    Returns:
        FAIL where it was given up: this was one loss too many.
    """
    with suppress(Unreachable):
        trials = store.leaderboard(study.name) if job.final else store.open(study.name, job.place, study.direction)
        if store.requeue(trials, job.trial_id, reason, loss) == TrialState.FAIL:
            return "FAIL"
    return "WAITING"


def settled(store: Store, trial_id: int) -> bool:
    """Whether all that a trial found is in the storage; waits for one that is away as long as patience lasts."""
    if store.spool is None or not store.spool.holds(trial_id):
        return True
    store.retry_policy.gave_up = False
    try:
        settle(store, trial_id)
    except Unreachable:
        store.spool.release(trial_id)
        return False
    return True


def run_in_memory(
    study: Study, job: Job, store: Store, options: Options, listen: Listen, step: Callable[[], None]
) -> Record:
    """Train; if the memory of the device does not suffice, once more with half as many images at a time.

    The gradients of a minibatch are then summed over its parts, so the effective batch stays what the task says.
    """
    try:
        return run_trial(study, job, store, options, listen, step)
    except torch.OutOfMemoryError:
        task = set_up(study, job.strategy, job.point, search=not (job.final or job.rerun)).task
        half = max(1, min(task.micro_batch or task.batch_size, task.batch_size) // 2)
    # out here the error is gone, and with it the tensors that its traceback held
    torch.cuda.empty_cache()
    store.annotate(job.trial_id, micro_batch=half)
    smaller = replace(job, point={**job.point, "task.micro_batch": half})
    return run_trial(study, smaller, store, options, listen, step)


def run_trial(
    study: Study, job: Job, store: Store, options: Options, listen: Listen, step: Callable[[], None]
) -> Record:
    """Train, and write every epoch as it is measured; returns the last one."""
    setup = set_up(study, job.strategy, job.point, search=not (job.final or job.rerun))
    note_applied(study, job, store, setup)
    device = pick_device(setup.task.device)
    reset_peak_memory(device)
    limits = Limits(study, job, store, device.type)
    with suppress(Unreachable):
        limits.refuse_overdraft()
    in_learner = 0.0
    for record in signed_epochs(study, job, store, options, setup, step):
        in_learner += record.metrics.get("hyper_seconds", 0.0)
        keep(record, study, job, store, listen)
        if not job.final and record.epoch < setup.task.total_epochs:
            with suppress(Unreachable):  # what the others have spent or reached is read after the next epoch
                limits.check(record)
    store.annotate(job.trial_id, learner_seconds=round(in_learner, 3), **peak_memory(device))
    if job.final and setup.learner.moves_policy:
        for name in study.deploy:
            deploy(name, study, job, store, options, listen, step)
    return record


def note_applied(study: Study, job: Job, store: Store, setup: Setup) -> None:
    """Keep what is trained, and which values that were asked for cannot be seen in it."""
    search = not (job.final or job.rerun)
    store.annotate(job.trial_id, applied=applied(setup, study.task))
    if missing := unapplied(study, job.strategy, job.point, search=search):
        store.annotate(job.trial_id, unapplied=missing)


def signed_epochs(
    study: Study, job: Job, store: Store, options: Options, setup: Setup, step: Callable[[], None], training: str = ""
) -> Iterator[Record]:
    """The epochs of a training. What was spent on one that an error cut off is stored."""
    share = options.gpus_per_trial or 1.0

    def signed(record: Record) -> Record:
        return replace(sign(record, study, job, share), training=training)

    epochs = train_from_checkpoint(study, job, store, options, setup, step, training)
    device = pick_device(setup.task.device).type
    for record in metered(epochs, device, lambda lost: store.write_epoch(job.trial_id, signed(lost))):
        yield signed(record)


def train_from_checkpoint(
    study: Study, job: Job, store: Store, options: Options, setup: Setup, step: Callable[[], None], name: str = ""
) -> Iterator[Record]:
    """Train with the job's seed, from the checkpoint of the latest attempt that left one."""
    folder = job.folder(options.artifacts, study.name) / name
    files = [folder / f"{attempt}.pt" for attempt in range(job.attempt, 0, -1)]
    checkpoint = Checkpoint(files[0], files[1:], options.checkpoint_seconds, which_training(study, job, store))
    rng, warning = torch.Generator().manual_seed(seed_of(study, job)), ""
    on_both = job.final and study.final_data == "train+val" and not setup.learner.moves_policy
    data = data_of(setup.task, job, on_both)
    device = device_name(pick_device(setup.task.device))
    given = {"data": data.fingerprint, "val_images": len(data.scored), "standard": asdict(data.standard)}
    store.annotate(job.trial_id, device=device, **given)
    for record in train(
        setup.task,
        setup.policy,
        setup.mix,
        setup.learner,
        rng,
        checkpoint,
        test=job.final,
        validate=not on_both,
        data=data,
        pulse=step,
    ):
        yield record
        said = "; ".join(filter(None, (checkpoint.passed_over, checkpoint.trouble)))
        if said not in ("", warning):
            warning = said
            store.annotate(job.trial_id, warning=warning)


def which_training(study: Study, job: Job, store: Store) -> str:
    """What a checkpoint must say of itself: folders of artifacts are copied, and shared by storages."""
    point = {name: value for name, value in job.point.items() if name != "task.micro_batch"}  # memory may decide that
    return fingerprint([store.identity, study.name, job.place, job.strategy, job.root, seed_of(study, job), point])


def data_of(task: Task, job: Job, on_both: bool) -> Data:
    """What a trial may see: the test split in final runs only, and the validation images to train on if `on_both`."""
    data = task.load(test=job.final)
    return train_on_val(data) if on_both else data


def keep(record: Record, study: Study, job: Job, store: Store, listen: Listen) -> None:
    """Report and store an epoch, unless the trial was ended from outside."""
    if not report(record, study, job, store):
        raise Stopped("cancelled, or taken over by another worker")
    store.write_epoch(job.trial_id, record)
    listen(Event(job, record=record))


def report(record: Record, study: Study, job: Job, store: Store) -> bool:
    """Report an epoch to Optuna; False where the trial is no longer ours.

    One of a retraining is not reported: it belongs to another network, and to another curve. Nor is one without
    validation scores: on the page its training loss would stand as one.
    """
    if not record.training and study.metric in record.metrics:
        return store.report(job.trial_id, record.epoch, record.metrics[study.metric])
    with suppress(Unreachable):
        return store.is_running(job.trial_id)
    return True


def deploy(
    name: str,
    study: Study,
    job: Job,
    store: Store,
    options: Options,
    listen: Listen,
    step: Callable[[], None],
) -> None:
    """Train from scratch with the policy that a final run learned, as the training `name` of that run.

    Same initial weights and data order as the run that learned it, nothing else of it.
    """
    attempts = {each.trial for each in store.outcomes(study.name) if each.final and each.root == job.root}
    mine = [record for record in store.epochs(study.name) if record.final and record.trial in attempts]
    setup = set_up(study, job.strategy, job.point)
    policy = Fixed(DEPLOYS[name](mine), compose=getattr(setup.policy, "compose", False))
    scratch = replace(setup, policy=policy, learner=NullLearner())
    for record in signed_epochs(study, job, store, options, scratch, step, name):
        keep(record, study, job, store, listen)


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
        rerun=job.rerun,
    )


def seed_of(study: Study, job: Job) -> int:
    """The seed of a training. Strategies share it trial by trial and final run by final run: comparisons are paired.

    Re-runs, of which the best is chosen, share one.
    """
    if job.rerun:
        return derive_seed(study.seed, FULL)
    return derive_seed(study.seed, LEADERBOARD if job.final else "search", job.final_seed if job.final else job.root)


def end(job: Job, store: Store, state: TrialState, reason: str, listen: Listen, objectives: Sequence[str] = ()) -> bool:
    """End a trial, unless somebody else has; returns whether we did."""
    ended = store.conclude(job.trial_id, state, reason, objectives)
    if ended:
        listen(Event(job, state=cast(State, state.name), reason=reason))
    else:
        listen(Event(job, state="FAIL", reason="cancelled, or taken over by another worker"))
    return ended


def explain(error: Exception) -> str:
    """One line for the database: what went wrong, and where, unless that is said."""
    if isinstance(error, Diverged):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return shown(f"{type(error).__name__}: {read(error)} ({Path(where.filename).name}:{where.lineno})")
