"""Running a study: locally or on Ray, with the same scheduler, the same worker and the same storage."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from autoaug.data import Standard
from autoaug.execution import (
    Event,
    Listen,
    Options,
    complete_gallery,
    process_name,
    refuse_displaced,
    retry_failed,
    spool_of,
    write_pending,
)
from autoaug.executors._check import check, warn_of_unshared
from autoaug.executors._table import EXECUTORS
from autoaug.store import Store, running_trials, usual_storage
from autoaug.study import DataFacts, Loader, Prediction, Study, complete_definition, data_facts
from autoaug.text import LOG

if TYPE_CHECKING:
    from autoaug.compare import Comparison


def ignore(event: Event) -> None:
    """Do nothing: the listener of those who do not listen."""


def run(
    study: Study,
    store: Store | None = None,
    executor: str = "local",
    options: Options | None = None,
    listen: Listen = ignore,
) -> "Comparison":
    """Run a study to its end, or go on with one that was interrupted, and return what it has shown.

    All results are in the storage when this returns, and at any moment before. The comparison that is returned counts
    as a look at them, as any does (`stored_comparison`); in a notebook it is the leaderboard.

    Args:
        study: to run.
        store: None opens that of `Study.storage`, else of AUTOAUG_STORAGE, else autoaug.db in this folder.
        executor: a row of `EXECUTORS`.
        options: of the run, not of the study; None is the usual ones.
        listen: hears of each epoch, and of each trial that begins or ends.

    Raises:
        ValueError: the study cannot run as it is defined; nothing was written.
        KeyboardInterrupt: after the running trials were queued again.
    """
    from autoaug.compare import stored_comparison  # with scipy, which no process that trains needs

    store = store or Store(study.storage or usual_storage())
    load = Loader()
    predictions = check(study, executor, options or Options(), store.storage_url, load=load)
    facts = data_facts(study, load, (options or Options()).only)
    for text in (text for each in facts for text in each.warnings()):
        LOG.warning(text)
    conduct(study, store, executor, options or Options(), listen, predictions, facts)
    return stored_comparison([(store, study.name)], with_importance=False)


def conduct(
    study: Study,
    store: Store,
    executor: str,
    options: Options,
    listen: Listen,
    predictions: Mapping[str, Prediction] | None = None,
    facts: Sequence[DataFacts] = (),
) -> None:
    """Run a study that was checked.

    Args:
        predictions: what each strategy is expected to cost, kept beside the definition of the study.
        facts: what was read of the data, kept there too.

    Raises:
        ValueError: what an earlier run kept is for another storage, which lay where this one does.
        Unreachable: the storage did not answer for longer than `Options.retry_seconds`. What was measured is kept.
        Moved: the storage is not what was opened any more; what was measured since is kept.
        Unwritable: there was no room for so long; what could not be kept is trained again.
    """
    options = options.anchored()
    store.retry_policy.seconds, store.spool = options.retry_seconds, spool_of(store, options)
    refuse_displaced(store.storage_url, options, store.identity)
    write_pending(store, options)
    if (stored := store.definition(study.name)) and "standard" in complete_definition(stored)["unrecorded"]:
        refuse_other_data(study, is_known="standard" in complete_definition(stored)["task"])
    expected = (predictions or {}).items()
    known = {
        "data": {each.data: asdict(each) for each in facts},
        "predicted_seconds": {name: round(each.search(study, name), 3) for name, each in expected},
        "predicted_rerun_seconds": {name: round(each.full, 3) for name, each in expected},
    }
    store.define(study.name, {**study.describe(), **known}, complete_definition)
    if options.retry_failed:
        retry_failed(study, store, options.only)
    warn_of_unshared(options.artifacts, hosts_at_work(study, store))
    EXECUTORS[executor](study, store, options, listen)
    complete_gallery(study, store, options)


def hosts_at_work(study: Study, store: Store) -> set[str]:
    """Return this host, and those that hold the trials of a study at this moment."""
    owners = [process_name()]
    if not store.is_file:
        running = running_trials(store, study.name)
        owners += [lease.owner for trial_id, lease in store.leases().items() if trial_id in running]
    return {owner.partition(":")[0] for owner in owners}


def refuse_other_data(study: Study, is_known: bool) -> None:
    """Refuse to go on with a study whose trainings would see other images now than those before.

    Before `Task.standard` existed, data that brought no standard augmentation were cropped and mirrored, grey images
    too; and where a split is drawn anew in every epoch, the scores were of images that were trained on. Later, and
    before crops were resized, photos were padded and cropped.

    Args:
        is_known: the study was begun with `Task.standard`.

    Raises:
        ValueError: it says what the study saw, what it would see, and how to go on.
    """
    data = study.task.load()
    if data.selection is not None and not is_known:
        raise ValueError(
            f"study {study.name!r} was begun when the scores of Task(resplit='per_epoch') were of images that it had "
            "trained on: give the study another name, or --fresh to start anew (what was run is kept)"
        )
    mirrored = not is_known or replace(study.task, standard="auto").load().standard.flip
    before = data.brought or Standard(flip=mirrored)
    if data.standard != before:
        raise ValueError(
            f"study {study.name!r} was begun with the standard augmentation {before}, and now has {data.standard} "
            f"({data.standard_reason}): give Task(standard={'auto' if data.brought else before.text!r}) to go on as "
            "it was, or --fresh to start anew (what was run is kept)"
        )
