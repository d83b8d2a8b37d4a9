"""The worker runs one trial and writes everything about it straight into the storage."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from optuna.trial import TrialState

from autoaug.data import Data
from autoaug.execution._attempt import Attempt
from autoaug.execution._gallery import is_shown, keep_gallery
from autoaug.execution._job import Event, Job, Listen
from autoaug.execution._lease import Hung, interruptible, lease
from autoaug.execution._limits import Cut, Limits, metered
from autoaug.execution._pending_writes import spool_of
from autoaug.execution._provenance import of_attempt, of_training, peak_memory, reset_peak_memory
from autoaug.execution._recovery import give_back
from autoaug.execution._summaries import note_summary, stored_epochs
from autoaug.options import Options
from autoaug.processes import process_name
from autoaug.record import Record, State
from autoaug.store import BY_CLASS, Store, Unreachable, Unwritable, settle
from autoaug.study import Setup, Study, applied, gpu_weight, unapplied
from autoaug.text import shown
from autoaug.train import pick_device
from autoaug.trial import Command, Lost, Trial, explain, records

TAKEN = "cancelled, or taken over by another worker"
"""Why a trial goes on without its worker."""


class Stopped(Exception):
    """The trial is not this worker's any more: cancelled in the dashboard, or given to another worker."""


class Ending(NamedTuple):
    """How an attempt ended."""

    state: State
    reason: str = ""
    to_write: bool = True
    """Whether the worker is to end the trial. Otherwise somebody else has, or will."""
    objectives: Sequence[str] = ()
    """Whose values, of the last epoch of its first training, are those of the trial."""


def work(
    study: Study,
    job: Job,
    store: Store,
    options: Options,
    listen: Listen,
    end_process: Callable[[], None] | None = None,
) -> None:
    """Run one trial to its end. An error inside it becomes its state and reason; the study goes on.

    What cannot be written because the storage is away is kept in a file until it is back. `Options.interruption` is
    obeyed at the next step, when the training has been saved, and after the last one when the trial has ended.

    Args:
        end_process: how to end a training that hangs, where it has a process to itself. Elsewhere it is interrupted.

    Raises:
        KeyboardInterrupt: after the trial was queued again, to resume from its checkpoint.
    """
    store.spool = spool_of(store, options)
    with options.interruption.obeyed(lambda: give_back(study, store, job, "interrupted", "foreign")):
        work_out(Attempt(study, job, store, options, listen), end_process)


def work_out(attempt: Attempt, end_process: Callable[[], None] | None) -> None:
    """Run an attempt, end its trial, and remove its checkpoints where nobody goes on from them."""
    job, store, listen = attempt.job, attempt.store, attempt.listen
    attempt.tell("RUNNING")
    try:
        folder = attempt.folder
    except ValueError as error:
        end(job, store, TrialState.FAIL, str(error), listen)
        return
    if job.attempt == 1:
        folder.remove()  # left by an archived or deleted study of the same name
    ending = ending_of(attempt, end_process)
    if not ending.to_write:
        attempt.tell(ending.state, ending.reason)
        return
    ended = end(job, store, TrialState[ending.state], ending.reason, listen, ending.objectives)
    if settled(store, job.trial_id) and ended and ending.state != "FAIL":
        folder.remove()  # or else the next attempt goes on from what lies there


def ending_of(attempt: Attempt, end_process: Callable[[], None] | None = None) -> Ending:
    """Run an attempt under its lease, and return how it ended.

    Raises:
        KeyboardInterrupt: after the trial was queued again.
    """
    study, job, store = attempt.study, attempt.job, attempt.store
    try:
        with leased(attempt, end_process) as step:
            objectives = objectives_of(attempt)
            run(replace(attempt, step=step))
    except KeyboardInterrupt:
        give_back(study, store, job, "interrupted", "foreign")
        raise
    except Hung as hung:
        return Ending(hung.state, str(hung), to_write=False)
    except Stopped as stop:
        return Ending("FAIL", str(stop), to_write=False)
    except Unreachable as away:  # it cannot go on; the next attempt goes on from its checkpoint
        return Ending(left_behind(attempt, away), str(away), to_write=False)
    except Lost as lost:
        return Ending(give_back(study, store, job, shown(lost), "own"), shown(lost), to_write=False)
    except Cut as cut:
        return Ending("PRUNED", str(cut))
    except Exception as error:
        return Ending("FAIL", explain(error))
    return Ending("COMPLETE", objectives=objectives)


def left_behind(attempt: Attempt, away: Unreachable) -> State:
    """Give back a trial that cannot go on without its storage; where that is still away, the lease that ends does it.

    What was measured of it comes first: it is what the attempt got done. Where nothing can be kept, the storage is
    waited for once more.
    """
    if isinstance(away, Unwritable):
        attempt.store.retry_policy.gave_up = False
    if settled(attempt.store, attempt.job.trial_id):
        return give_back(attempt.study, attempt.store, attempt.job, str(away), "foreign")
    return "WAITING"


def objectives_of(attempt: Attempt) -> list[str]:
    """Return what the Optuna study of the trial takes as values."""
    return attempt.store.final_objectives(attempt.study.name) if attempt.is_final else [attempt.study.metric]


@contextmanager
def leased(attempt: Attempt, end_process: Callable[[], None] | None) -> Iterator[Callable[[], None]]:
    """Hold the lease of a trial for as long as the block runs and gets on; the block calls what it is given.

    Raises:
        Hung: the block made no step for too long, and the trial was given back.
    """
    options, states = attempt.options, list[State]()
    reason = f"hung: no step for {options.hang_seconds:g} s"
    try:
        with interruptible(reason) as interrupt:

            def give_up() -> None:
                states.append(give_back(attempt.study, attempt.store, attempt.job, reason, "own"))
                (end_process or interrupt)()

            every, hang = options.lease_seconds, options.hang_seconds
            with lease(attempt.store, attempt.job.trial_id, every, hang, give_up) as step:
                yield step
    except Hung as hung:
        hung.state = states[0]
        raise


def run(attempt: Attempt) -> None:
    """Train what the trial asks for; if the memory of the device does not suffice, with half as many images at a time.

    The gradients of a minibatch are then summed over its parts, so the effective batch stays what the task says.
    """
    attempt.store.annotate(attempt.job.trial_id, **of_attempt(attempt.study, attempt.job))
    if attempt.is_final:
        note_test_read(attempt)
    try:
        return run_trial(attempt)
    except torch.OutOfMemoryError:
        if attempt.study.train is not None:
            raise  # how many images go through the network at once is up to the loop
        task = attempt.set_up().task
        half = max(1, min(task.micro_batch or task.batch_size, task.batch_size) // 2)
    # out here the error is gone, and with it the tensors that its traceback held
    torch.cuda.empty_cache()
    attempt.store.annotate(attempt.job.trial_id, micro_batch=half)
    return run_trial(attempt.with_micro_batch(half))


def note_test_read(attempt: Attempt) -> None:
    """Keep that the test split is about to be read, before it is: a run that dies after it has read it too.

    Raises:
        PermissionError: another final run of the same strategy and seed has read it.
    """
    job, name, seed = attempt.job, attempt.study.name, attempt.job.final_seed or 0
    whose = (job.trial_id, name, job.strategy, seed, job.root, process_name())
    if not attempt.store.note_test_read(*whose, job.retest):
        raise PermissionError(f"{job.name} of {job.strategy} has read the test split before: ask with --retest")


def run_trial(attempt: Attempt) -> None:
    """Train, and write every epoch as it is measured; what was learned is then trained with from scratch."""
    setup, job, store = attempt.set_up(), attempt.job, attempt.store
    device = pick_device(setup.task.device)
    reset_peak_memory(device)
    limits = Limits(attempt.study, job, store, device.type)
    with suppress(Unreachable):
        limits.refuse_overdraft()
    in_learner, seen = 0.0, list[Record]()
    trial = trial_of(attempt, setup)
    with closing(train_signed(attempt, setup, trial)) as epochs:
        for record in epochs:
            in_learner += record.metrics.get("hyper_seconds", 0.0)
            keep(record, attempt)
            seen.append(replace(record, policy=None))
            if record.epoch != trial.total_epochs and not attempt.is_final:
                with suppress(Unreachable):  # what the others have spent or reached is read after the next epoch
                    limits.check(record)
    store.annotate(job.trial_id, learner_seconds=round(in_learner, 3), **peak_memory(device))
    if attempt.is_final and setup.learner.moves_policy:
        for name in attempt.study.deploy:
            seen += deploy(name, attempt)
    note_summary(attempt, seen)


def note_applied(attempt: Attempt, setup: Setup, data: Data | None) -> list[str]:
    """Keep what is trained, and which values that were asked for cannot be seen in it; return the latter.

    Settings of a learner that follow the length of a training are known once it was checked.
    """
    study, job = attempt.study, attempt.job
    if study.train is None and data is not None:
        setup.learner.check(setup.task, len(data.train), len(data.val))
    attempt.store.annotate(job.trial_id, applied=applied(setup, study.task))
    if missing := unapplied(study, job.strategy, job.point, search=attempt.is_search):
        attempt.store.annotate(job.trial_id, unapplied=missing)
    return missing


def note_unread(attempt: Attempt, trial: Trial, missing: Sequence[str]) -> None:
    """Keep which of its own dimensions a loop has not asked for in a whole training, beside what is `missing` else."""
    told = trial.params if isinstance(attempt.study.train, Command) else trial.read  # what a command reads nobody knows
    if unread := [f"train.{name}" for name in trial.params if name not in told]:
        attempt.store.annotate(attempt.job.trial_id, unapplied=[*missing, *unread])


def note_epochs(attempt: Attempt, trial: Trial) -> None:
    """Keep after the first epoch how many there will be, where the loop alone knows."""
    if attempt.study.train is not None and trial.epoch == 1 and trial.total_epochs is not None:
        attempt.store.annotate(attempt.job.trial_id, total_epochs=trial.total_epochs)


def deploy(name: str, attempt: Attempt) -> list[Record]:
    """Train from scratch with the policy that a final run learned, as the training `name` of that run.

    Same initial weights and data order as the run that learned it, nothing else of it. Returns its epochs.
    """
    seen = []
    setup = attempt.deployed(name, stored_epochs(attempt))
    with closing(train_signed(attempt, setup, trial_of(attempt, setup, name), name)) as epochs:
        for record in epochs:
            keep(record, attempt)
            seen.append(record)
    return seen


def train_signed(attempt: Attempt, setup: Setup, trial: Trial, training: str = "") -> Generator[Record, None, None]:
    """Return the epochs of a training, signed. What was spent on one that an error cut off is stored."""
    device = pick_device(setup.task.device).type

    def lose(record: Record) -> None:
        attempt.store.write_epoch(attempt.job.trial_id, attempt.sign(record, training))

    with closing(metered(train_from_checkpoint(attempt, setup, trial, training), device, lose)) as epochs:
        for record in epochs:
            yield attempt.sign(record, training)


def trial_of(attempt: Attempt, setup: Setup, training: str = "") -> Trial:
    """Return what the loop of one training is given; the checkpoint is that of the latest attempt that left one."""
    on_both = attempt.trains_on_both(setup)
    return Trial(
        setup.params,
        setup.policy,
        setup.mix,
        setup.learner,
        setup.task,
        attempt.seed,
        metric=attempt.study.metric,
        final=attempt.is_final,
        data=None if setup.task.data is None else attempt.data(setup.task, on_both),
        checkpoint=attempt.checkpoint(training, attempt.others_follow(setup, training)),
        validates=not on_both,
        pulse=attempt.step,
        interruption=attempt.options.interruption,
    )


def train_from_checkpoint(
    attempt: Attempt, setup: Setup, trial: Trial, training: str = ""
) -> Generator[Record, None, None]:
    """Run the loop of the study, and keep what there is to know of the training and what went wrong in it."""
    warnings, gallery = [note_training(attempt, setup, trial.data)], list[str]()
    if is_shown(attempt, training):
        trial.finished = lambda run: gallery.append(keep_gallery(attempt, setup, trial.data, run))
    missing = [] if training else note_applied(attempt, setup, trial.data)

    def note_trouble() -> None:
        trouble = "; ".join(filter(None, (warnings[0], *troubles(trial), *gallery)))
        if trouble not in ("", warnings[-1]):
            warnings.append(trouble)
            attempt.store.annotate(attempt.job.trial_id, warning=trouble)

    try:
        with closing(records(attempt.study.loop, trial)) as epochs:
            for record in epochs:
                note_epochs(attempt, trial)
                yield record
                note_trouble()
        note_trouble()  # of the gallery
        note_unread(attempt, trial, missing)
    except (KeyboardInterrupt, GeneratorExit):
        note_trouble()  # of the checkpoint that was asked for, or of a loop that was closed
        raise


def troubles(trial: Trial) -> Iterator[str]:
    """Yield what went wrong in a training without ending it."""
    if trial.checkpoint:
        yield from (trial.checkpoint.passed_over, trial.checkpoint.trouble)
    if trial.close_error:
        yield f"when the loop was closed: {explain(trial.close_error)}"


def note_training(attempt: Attempt, setup: Setup, data: Data | None) -> str:
    """Keep on what a training runs, and with which settings; return what there is to warn of, or nothing."""
    facts = of_training(data, pick_device(setup.task.device), attempt.study.train is not None)
    if data is not None and attempt.study.train is None and setup.learner.moves_policy:
        notes = attempt.study.strategies[attempt.job.strategy].notes(setup.task, len(data.train))
        facts |= {"notes": list(notes)} if notes else {}
    weight, unweighed = gpu_weight(attempt.study)
    if weight is not None:
        facts |= {"gpu_weight": weight, **({"warning": unweighed} if unweighed else {})}
    attempt.store.annotate(attempt.job.trial_id, **facts)
    return unweighed


def keep(record: Record, attempt: Attempt) -> None:
    """Report and store an epoch, and with the trial how each class was predicted where it was tested.

    Raises:
        Stopped: the trial was ended from outside.
    """
    if not report(record, attempt):
        raise Stopped(TAKEN)
    if record.by_class and not record.training:
        attempt.store.annotate(attempt.job.trial_id, **{BY_CLASS: dict(record.by_class)})
    record = replace(record, by_class=None)
    attempt.store.write_epoch(attempt.job.trial_id, record)
    attempt.listen(Event(attempt.job, record=record))


def report(record: Record, attempt: Attempt) -> bool:
    """Report an epoch to Optuna; returns False where the trial is not this worker's any more.

    One of a retraining is not reported: it belongs to another network, and to another curve. Nor is one without
    validation scores: on the page its training loss would stand as one.
    """
    store, trial_id, metric = attempt.store, attempt.job.trial_id, attempt.study.metric
    if not record.training and metric in record.metrics:
        return store.report(trial_id, record.epoch, record.metrics[metric])
    with suppress(Unreachable):
        return store.goes_on(trial_id)
    return True


def end(job: Job, store: Store, state: TrialState, reason: str, listen: Listen, objectives: Sequence[str] = ()) -> bool:
    """End a trial, unless somebody else has; returns whether this call did."""
    ended = store.conclude(job.trial_id, state, reason, objectives)
    if ended:
        listen(Event(job, state=cast(State, state.name), reason=reason))
    else:
        listen(Event(job, state="FAIL", reason=TAKEN))
    return ended


def settled(store: Store, trial_id: int) -> bool:
    """Whether all that was measured of a trial is in the storage; waits for one that is away, as it retries."""
    if store.spool is None or not store.spool.holds(trial_id):
        return True
    store.retry_policy.gave_up = False
    try:
        settle(store, trial_id)
    except Unreachable:
        store.spool.release(trial_id)
        return False
    return True
