"""What is refused before a study runs: more than a machine has, a budget for no trial, an unwritable folder."""

import os
from collections.abc import Callable, Collection, Mapping

import torch

from autoaug.artifacts import Location, place_of
from autoaug.execution import Options, check_only, refuse_misplaced, refuse_more_than, refuse_remote
from autoaug.executors._table import EXECUTORS
from autoaug.lookup import lookup
from autoaug.store import network_file_system
from autoaug.study import Loader, Prediction, Study, advise, plan, predict, preflight
from autoaug.text import LOG

BEYOND_DOUBT = 1.5
"""How many times its budget a trial must be expected to cost for a study to be refused."""


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
        say: gets the name of each strategy before a few steps of it are measured.
        load: keeps the data that the check reads.

    Raises:
        ValueError: it says what is wrong, where, and what would be right.
    """
    lookup(EXECUTORS, executor, "executor")
    check_only(study, options.only)
    refuse_for_ray_only(executor, options)
    if executor == "ray" and storage is not None:
        refuse_remote(options, storage)
    has = this_machine()
    refuse_misplaced(executor, options, study.task.device, has)
    elsewhere = executor == "ray" and (options.address or os.environ.get("RAY_ADDRESS"))
    if not elsewhere:
        refuse_more_than(has, options, "this machine")
        refuse_missing_device(study.task.device, int(has["GPU"]))
    place_of(options.artifacts, options.retry_seconds).check()
    load = load or Loader()
    preflight(study, load)
    if elsewhere:
        return {}
    torch.set_num_threads(max(1, int(options.cpus_per_trial)))
    predictions = predict(study, options.only, options.gpus_per_trial or 1.0, load, say)
    refuse_small_budget(study, predictions, load)
    return predictions


def refuse_for_ray_only(executor: str, options: Options) -> None:
    """Refuse options of a Ray cluster where there is none.

    Raises:
        ValueError: it names the option.
    """
    given = {"address": options.address, "accelerator": options.accelerator, "autoscaling": options.autoscaling}
    for name, value in given.items():
        if value and executor == "local":
            shown = "" if value is True else f" {value}"
            raise ValueError(f"--{name}{shown} is of a Ray cluster: add --executor ray")


def this_machine() -> dict[str, float]:
    """Return how many CPUs and GPUs this machine has."""
    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}


def refuse_small_budget(study: Study, predictions: Mapping[str, Prediction], load: Loader) -> None:
    """Refuse a budget that does not pay for one trial; where a smaller task would fit, it is named.

    What is measured on a busy machine is too high, so one that is only a little too small is warned of.

    Raises:
        ValueError: it says what a trial is expected to cost, and what would be enough.
    """
    for name, prediction in predictions.items():
        least = prediction.least(study, name)
        what = "a trial and a re-run are" if study.reruns_of(name) else "a trial is"
        for limit, seconds in study.budget.seconds.items():
            if seconds >= least:
                continue
            message = (
                f"strategy {name!r} of study {study.name!r}: {what} expected to take {least:.3g} {prediction.unit}, "
                f"more than Budget({limit}={seconds:g}) pays for: give at least {1.5 * least:.2g}"
            )
            if least < BEYOND_DOUBT * seconds:
                LOG.warning("%s, unless it is less on a quiet machine", message)
                continue
            lines = [line for line in plan(study, predictions) if line.strategy in predictions]
            fits = advise(study, lines, load)
            raise ValueError(message + (f"; {fits}" if fits else ""))


def refuse_missing_device(device: str, gpus: int) -> None:
    """Refuse a task on a GPU that this machine does not have.

    Raises:
        ValueError: it says how many there are.
    """
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= gpus:
        raise ValueError(f"Task.device is {device!r} and this machine has {gpus} GPUs: give 'auto' or 'cpu'")


def warn_of_unshared(artifacts: Location, hosts: Collection[str]) -> None:
    """Warn where trials move between hosts and their checkpoints do not.

    Args:
        hosts: those that work on the study, as far as they are known.
    """
    if isinstance(artifacts, str) or len(hosts) < 2 or network_file_system(artifacts.resolve()):
        return
    LOG.warning(
        "checkpoints in %s are of this host: a trial that goes on elsewhere begins again; give --artifacts a shared "
        "folder or URL",
        artifacts,
    )
