"""The Ray executor: trials as Ray Tune actors, several at once, on one machine or a cluster.

Tune only distributes and runs the trials. What they are comes from the scheduler, what they measure goes straight from
the worker into the storage, and nothing that Tune keeps on disk is ever read again: a restart begins a fresh Tuner.
"""

import atexit
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import ray
import ray.cloudpickle
from optuna.trial import TrialState
from ray import tune
from ray.tune.search import Searcher

from autoaug.execution import (
    ON_A_SERVER,
    Event,
    Job,
    Listen,
    Options,
    Scheduler,
    end,
    explain,
    pending_folder,
    refuse_more_than,
    wait_for_room,
    work,
    write_pending,
)
from autoaug.record import FULL, LEADERBOARD, State, TrialKind, record_of
from autoaug.store import Loss, Store, Unreachable, open_retrying
from autoaug.study import Study

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""The console is ours, Ctrl-C too: Tune's own handler would try to go on."""


def run_ray(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Run a study as trials of Ray Tune.

    Raises:
        ValueError: the cluster has less than one trial needs.
    """
    with cluster(options):
        refuse_too_much(options)
        refuse_unshared(store)
        scheduler = Scheduler(study, store, options.only, options.expiry_seconds, options.retest)
        searcher = SchedulerSearcher(
            scheduler,
            listen,
            when_idle=lambda: write_pending(store, options),
            before_each=lambda: wait_for_room(pending_folder(options), options.retry_seconds),
        )
        tuner = make_tuner(scheduler, searcher, options)
        try:
            tuner.fit()
        except KeyboardInterrupt:
            for job in searcher.running.values():
                with suppress(Unreachable):  # its lease ends, and the next driver takes it back
                    scheduler.lost(job, "interrupted")
            raise
        if searcher.away:
            raise searcher.away


def make_tuner(scheduler: Scheduler, searcher: "SchedulerSearcher", options: Options) -> tune.Tuner:
    """Return the tuner that asks the searcher for trials and runs them, as many at once as fit."""
    trainable = tune.with_parameters(
        run_on_worker,
        code=sources(options.project),
        study=ray.cloudpickle.dumps(replace(scheduler.study, task=scheduler.study.task.anchored(), storage=None)),
        storage=scheduler.store.portable(),
        options=options,
    )
    trainable = tune.with_resources(trainable, {"cpu": options.cpus_per_trial, "gpu": options.gpus_per_trial})
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=slots(options),
            trial_name_creator=trial_name,
            trial_dirname_creator=trial_name,
            reuse_actors=options.gpus_per_trial == 0,  # a fresh process is sure to have given its GPU memory back
            metric="epoch",
            mode="max",
        ),
        run_config=tune.RunConfig(
            name=f"{scheduler.study.name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
            storage_path=str((options.artifacts / "ray").absolute()),
            failure_config=tune.FailureConfig(max_failures=0),
            log_to_file=True,
            sync_config=tune.SyncConfig(sync_artifacts=True),  # a trial's log comes from its node to our folder
            verbose=0,
        ),
    )


class SchedulerSearcher(Searcher):
    """Hands the trials of a scheduler to Tune, which asks it for the next one."""

    def __init__(
        self,
        scheduler: Scheduler,
        listen: Listen,
        when_idle: Callable[[], None] = lambda: None,
        before_each: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(metric="epoch", mode="max")
        self.scheduler, self.listen, self.when_idle, self.before_each = scheduler, listen, when_idle, before_each
        self.running: dict[str, Job] = {}
        self.away: Unreachable | None = None
        """Why there is no next trial: the storage does not answer."""

    def suggest(self, trial_id: str) -> Any:
        try:
            self.away = None
            self.before_each()
            job = self.scheduler.next()
            if job is None:  # Tune asks again unless all is over: a running trial may still have to be repeated
                self.when_idle()
                return Searcher.FINISHED if self.scheduler.over() else None
        except Unreachable as away:
            self.away = away
            return None if self.running else Searcher.FINISHED  # what runs goes on, and may outlast it
        self.running[trial_id] = job
        return {"job": asdict(job)}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        event = json.loads(result["event"])
        record = record_of(event["record"]) if event["record"] else None
        self.listen(Event(self.running[trial_id], record, event["state"], event["reason"]))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        job = self.running.pop(trial_id, None)
        if job is None or not error:
            return
        with suppress(Unreachable):  # its lease ends, and a scheduler takes it back
            reason, loss = self.explain(job)
            state = self.scheduler.lost(job, reason, loss)
            if state is not None:
                reason += ": queued again" if state == TrialState.WAITING else " again and again"
                self.listen(Event(job, state=cast(State, state.name), reason=reason))

    def explain(self, job: Job) -> tuple[str, Loss]:
        """Return why a trial has lost its worker, and whose loss that is."""
        attributes = self.scheduler.store.optuna.get_trial(job.trial_id).user_attrs
        if "worker" not in attributes:
            return "its worker died before it began", "unseen"
        if attributes.get("node") not in (None, *(node["NodeID"] for node in ray.nodes() if node["Alive"])):
            return "its node died", "foreign"
        return "its worker died", "own"

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its searcher to disk, and the truth is in the storage."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Write nothing, for the same reason."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: a restart begins with a fresh searcher."""


def trial_name(trial: Any) -> str:
    """Return the name of the folder of a log: `tpe-randaugment-3`, `tpe-randaugment-3-2` for a second attempt."""
    job = Job(**trial.config["job"])
    prefix = {TrialKind.SEARCH: [], TrialKind.RERUN: [FULL], TrialKind.FINAL: [LEADERBOARD]}[job.kind]
    return "-".join([*prefix, job.strategy, str(job.number)] + ([str(job.attempt)] if job.attempt > 1 else []))


def run_on_worker(
    config: Mapping[str, Any], code: tuple[tuple[str, str], ...], study: bytes, storage: str, options: Options
) -> None:
    """Run one trial in a Ray actor. The study is unpickled only once the modules it refers to are there."""
    import torch

    torch.set_num_threads(max(1, int(options.cpus_per_trial)))  # trials share cores

    def tell(event: Event) -> None:
        plain = {"record": asdict(event.record) if event.record else None, "state": event.state, "reason": event.reason}
        tune.report({"epoch": event.record.epoch if event.record else 0, "event": json.dumps(plain)})

    job = Job(**config["job"])
    install(code)
    try:
        store = open_store(storage, options.retry_seconds)
        write_pending(store, options)
        store.annotate(job.trial_id, node=ray.get_runtime_context().get_node_id())
    except (ValueError, Unreachable) as away:  # its lease ends, and a scheduler takes it back
        tell(Event(job, state="WAITING", reason=str(away)))
        return
    try:
        unpickled = ray.cloudpickle.loads(study)
    except Exception as error:
        end(job, store, TrialState.FAIL, explain(error), tell)
        return
    work(unpickled, job, store, options, tell, end_process=lambda: os._exit(1))


@cache
def open_store(storage_url: str, retry_seconds: float) -> Store:
    """Open a storage once per worker process: its pool of connections serves many trials."""
    return open_retrying(storage_url, retry_seconds)


@contextmanager
def cluster(options: Options) -> Iterator[None]:
    """Connect to the Ray cluster at `address`, or start one on this machine for as long as the block runs."""
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    ours = not ray.is_initialized()
    if ours:
        dashboard = None if options.address else False  # of Ray, for a cluster that starts here
        ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=dashboard)
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def refuse_unshared(store: Store) -> None:
    """Refuse a file of this host as the storage of workers elsewhere.

    Raises:
        ValueError: the storage is a file, and the cluster has workers on other hosts.
    """
    here = ray.util.get_node_ip_address()
    elsewhere = [node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]
    if store.is_file and any(address != here for address in elsewhere):
        raise ValueError(
            f"storage {store.display_url} is a file, and the cluster has workers on other hosts: {ON_A_SERVER}"
        )


def refuse_too_much(options: Options) -> None:
    """Refuse trials that ask for more than the cluster has, as `refuse_more_than`."""
    refuse_more_than(ray.cluster_resources(), options, "the cluster")


def slots(options: Options) -> int:
    """Return how many trials fit. Tune is asked for no more: one that waits for resources would lose its lease."""
    has = ray.cluster_resources()
    wanted = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}
    fit = min(int(has.get(name, 0) / each) for name, each in wanted.items() if each)
    return min(fit, options.at_once or fit)


def sources(project: Path | None) -> tuple[tuple[str, str], ...]:
    """Return the code of the project, as (path, text): every file beside a module that is imported from there."""
    if project is None:
        return ()
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    folders = {Path(file).parent for file in files if file and is_of_project(Path(file), project)}
    paths = sorted(path for folder in folders for path in folder.glob("*.py"))
    return tuple((str(path.relative_to(project)), path.read_text()) for path in paths)


def is_of_project(file: Path, project: Path) -> bool:
    """Whether a worker cannot import a module: it is in the project, and neither installed nor of autoaug."""
    if not file.is_relative_to(project):
        return False
    parts = file.relative_to(project).parts
    return parts[0] != "autoaug" and "site-packages" not in parts


@cache
def install(code: tuple[tuple[str, str], ...]) -> None:
    """Make the user's modules importable in this process, so that the rows that they add to tables are there too."""
    root = Path(tempfile.mkdtemp(prefix="autoaug-project-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)  # no sooner: modules are imported late, too
    for name, text in code:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sys.path.insert(0, str(root))
