"""Running a study: locally or on Ray, with the same desk, the same worker and the same storage."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from autoaug.data import STANDARDS
from autoaug.lookup import lookup, suggest
from autoaug.store import Store, refuse_contradiction
from autoaug.study import DataFacts, Loader, Prediction, Study, advise, data_facts, plan, predict, preflight
from autoaug.sweep.desk import Desk
from autoaug.sweep.job import Event, Job, Listen
from autoaug.sweep.leftovers import write_leftovers
from autoaug.sweep.local import run_local
from autoaug.sweep.options import Options, refuse_more_than, refuse_remote, trials_at_once
from autoaug.sweep.retry import failed, retry_failed
from autoaug.text import LOG

__all__ = [
    "EXECUTORS",
    "Desk",
    "Event",
    "Job",
    "Listen",
    "Options",
    "check",
    "conduct",
    "failed",
    "is_over",
    "outdated",
    "retry_failed",
    "run",
    "this_machine",
    "trials_at_once",
    "write_leftovers",
]


def run_ray(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """As Ray Tune trials. Ray is imported here and no earlier: a local run does not wait for it."""
    from autoaug.sweep.ray_tune import run_ray

    run_ray(study, store, options, listen)


EXECUTORS: dict[str, Callable[[Study, Store, Options, Listen], None]] = {"local": run_local, "ray": run_ray}

BEYOND_DOUBT = 1.5
"""How many times its budget a trial must be expected to cost for a study to be refused."""


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""


def run(
    study: Study,
    store: Store,
    executor: str = "local",
    options: Options | None = None,
    listen: Listen = ignore,
) -> None:
    """Run a study to its end, or go on with one that was interrupted.

    All that is found is in the storage when this returns, and at any moment before.

    Raises:
        ValueError: the study cannot run as it is defined; nothing was written.
        KeyboardInterrupt: after the running trials were queued again.
    """
    load = Loader()
    predictions = check(study, executor, options or Options(), store.reference, load=load)
    given = data_facts(study, load, (options or Options()).only)
    for text in (text for facts in given for text in facts.warnings()):
        LOG.warning(text)
    conduct(study, store, executor, options or Options(), listen, predictions, given)


def check(
    study: Study,
    executor: str,
    options: Options,
    storage: str | None = None,
    say: Callable[[str], object] = lambda name: None,
    load: Loader | None = None,
) -> dict[str, Prediction]:
    """Refuse what cannot run, before anything is written; returns what the strategies are expected to cost.

    Nothing is expected of a cluster: it may have other devices than this machine.

    Args:
        say: is told the name of each strategy before a few steps of it are measured.
        load: keeps the data that the check reads.

    Raises:
        ValueError: it says what is wrong, where, and what would be right.
    """
    lookup(EXECUTORS, executor, "executor")
    check_only(study, options.only)
    if options.address and executor == "local":
        raise ValueError(f"--address {options.address} is of a Ray cluster: add --executor ray")
    if executor == "ray" and storage is not None:
        refuse_remote(options, storage)
    elsewhere = options.address or os.environ.get("RAY_ADDRESS")
    if not elsewhere:
        has = this_machine()
        refuse_more_than(has, options, "this machine")
        refuse_missing_device(study.task.device, int(has["GPU"]))
    refuse_unwritable(options.artifacts)
    load = load or Loader()
    preflight(study, load)
    if elsewhere:
        return {}
    torch.set_num_threads(max(1, int(options.cpus_per_trial)))
    predictions = predict(study, options.only, options.gpus_per_trial or 1.0, load, say)
    refuse_small_budget(study, predictions, load)
    return predictions


def this_machine() -> dict[str, float]:
    """How many CPUs and GPUs there are."""
    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}


def refuse_small_budget(study: Study, predictions: Mapping[str, Prediction], load: Loader) -> None:
    """A budget that does not pay for one trial finds nothing; where a smaller task would fit, it is named.

    What is measured on a busy machine is too high, so one that is only a little too small is warned of.
    """
    for name, found in predictions.items():
        least = found.least(study, name)
        what = "a trial and a re-run are" if study.reruns_of(name) else "a trial is"
        for limit, seconds in study.budget.seconds.items():
            if seconds >= least:
                continue
            message = (
                f"strategy {name!r} of study {study.name!r}: {what} expected to take {least:.3g} {found.unit}, "
                f"more than Budget({limit}={seconds:g}) pays for: give at least {1.5 * least:.2g}"
            )
            if least < BEYOND_DOUBT * seconds:
                LOG.warning("%s, unless it is less on a quiet machine", message)
                continue
            lines = [line for line in plan(study, predictions) if line.strategy in predictions]
            fits = advise(study, lines, load)
            raise ValueError(message + (f"; {fits}" if fits else ""))


def refuse_missing_device(device: str, gpus: int) -> None:
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= gpus:
        raise ValueError(f"Task.device is {device!r} and this machine has {gpus} GPUs: give 'auto' or 'cpu'")


def refuse_unwritable(folder: Path) -> None:
    """Checkpoints come late; that they cannot be kept must be said early."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"no checkpoints can be kept in {folder}: {there} is no folder to write to")


def conduct(
    study: Study,
    store: Store,
    executor: str,
    options: Options,
    listen: Listen,
    predictions: Mapping[str, Prediction] | None = None,
    given: Sequence[DataFacts] = (),
) -> None:
    """Run a study that was checked. What it was expected to cost and what was read is kept beside its definition.

    Raises:
        Unreachable: the storage did not answer for longer than `Options.patience_seconds`. What was found is kept.
    """
    store.patience.seconds = options.patience_seconds
    write_leftovers(store, options)
    if (stored := store.definition(study.name)) and "standard" not in stored["task"]:
        refuse_other_data(study)
    found = (predictions or {}).items()
    known = {
        "data": {facts.data: asdict(facts) for facts in given},
        "predicted_seconds": {name: round(each.search(study, name), 3) for name, each in found},
        "predicted_rerun_seconds": {name: round(each.full, 3) for name, each in found},
    }
    store.define(study.name, {**study.describe(), **known})
    if options.retry_failed:
        retry_failed(study, store, options.only)
    EXECUTORS[executor](study, store, options, listen)


def refuse_other_data(study: Study) -> None:
    """A study that was begun before `Task.standard` existed goes on where it would see what it saw then, or not.

    Data that brought no standard augmentation were cropped and mirrored, grey images too; and where a split is drawn
    anew in every epoch, the scores were of images that were trained on.
    """
    data = study.task.load()
    if data.selection is not None:
        raise ValueError(
            f"study {study.name!r} was begun when the scores of Task(resplit='per_epoch') were of images that it had "
            "trained on: give the study another name, or --fresh to start anew (what was run is kept)"
        )
    before = data.brought or STANDARDS["crop+flip"]
    if data.standard != before:
        raise ValueError(
            f"study {study.name!r} was begun with the standard augmentation {before}, and now has {data.standard} "
            f"({data.standard_reason}): give Task(standard={'auto' if data.brought else 'crop+flip'!r}) to go on as "
            "it was, or --fresh to start anew (what was run is kept)"
        )


def outdated(study: Study, store: Store, only: Sequence[str] = ()) -> list[str]:
    """The strategies of which a better point was found after their final runs, which stay as they were."""
    return Desk(study, store, only).outdated()


def is_over(study: Study, store: Store, only: Sequence[str] = (), reread: bool = False) -> bool:
    """Whether nothing is left to run: a finished study says so at once.

    Raises:
        ValueError: the study contradicts what was run under its name.
    """
    check_only(study, only)
    stored = store.definition(study.name)
    if stored is None:
        return False
    refuse_contradiction(study.name, stored, study.describe())
    return set(only or study.strategies) <= set(stored["spaces"]) and Desk(study, store, only, reread=reread).over()


def check_only(study: Study, only: Sequence[str]) -> None:
    for name in only:
        if name not in study.strategies:
            raise ValueError(f"unknown strategy {name!r} of study {study.name!r}: {suggest(name, study.strategies)}")
