"""The Ray executor: trials as Ray Tune actors, several at once, on one machine or a cluster.

Tune only distributes and runs the trials. What they are comes from the scheduler, what they measure goes straight from
the worker into the storage, and nothing that Tune keeps on disk is ever read again: a restart begins a fresh Tuner.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from autoaug.execution import (
    ON_A_SERVER,
    Event,
    Job,
    Listen,
    Options,
    Scheduler,
    pending_folder,
    wait_for_room,
    write_pending,
)
from autoaug.executors._check import warn_of_unshared
from autoaug.executors._code import Code, install, sources
from autoaug.executors._ending import Ended, Ending
from autoaug.executors._nodes import Node, Waiting, refuse_too_much, slots, wanted
from autoaug.executors._worker_process import Errand, carry_out, errand, report_lost, why_lost
from autoaug.record import FULL, LEADERBOARD, TrialKind, record_of
from autoaug.store import Loss, Store, Unreachable
from autoaug.study import Study

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "inf",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""The console is ours, Ctrl-C too: Tune's own handler would try to go on. What is waited for says `Waiting`."""


def run_ray(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Run a study as trials of Ray Tune.

    Raises:
        ValueError: no node of the cluster has what one trial needs, or the study cannot be sent there.
    """
    code, sent = sources(options.project), errand(study, store, options)
    with cluster(options):
        refuse_too_much(nodes(), options)
        refuse_unshared(store)
        warn_of_unshared(options.artifacts, hosts_of_cluster())
        scheduler = Scheduler(study, store, options.only, options.expiry_seconds, options.retest, options.lease_seconds)
        searcher = SchedulerSearcher(scheduler, listen, options)
        tuner = make_tuner(searcher, code, sent)
        try:
            with suppress(Ended), searcher.ending.heeded():
                tuner.fit()
        finally:  # at the end of a study nothing runs
            for job in searcher.running.values():
                with suppress(Unreachable):  # its lease ends, and the next driver takes it back
                    scheduler.lost(job, "interrupted")
        if searcher.ending.requested:
            raise KeyboardInterrupt
        if searcher.away:
            raise searcher.away


def make_tuner(searcher: "SchedulerSearcher", code: Code, sent: Errand) -> tune.Tuner:
    """Return the tuner that asks the searcher for trials, which says how many, and runs them."""
    options = sent.options
    trainable = tune.with_parameters(run_on_worker, code=code, errand=sent)
    trainable = tune.with_resources(trainable, wanted(options))
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            trial_name_creator=trial_name,
            trial_dirname_creator=trial_name,
            reuse_actors=options.gpus_per_trial == 0,  # a fresh process is sure to have given its GPU memory back
            metric="epoch",
            mode="max",
        ),
        run_config=tune.RunConfig(
            name=f"{searcher.scheduler.study.name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
            storage_path=str((options.local / "ray").absolute()),
            failure_config=tune.FailureConfig(max_failures=0),
            log_to_file=True,
            sync_config=tune.SyncConfig(sync_artifacts=True),  # a trial's log comes from its node to our folder
            callbacks=[Looking(searcher)],
            progress_reporter=Silent(),
            verbose=0,
        ),
    )


class SchedulerSearcher(Searcher):
    """Hands the trials of a scheduler to Tune, which asks it for the next one."""

    def __init__(self, scheduler: Scheduler, listen: Listen, options: Options) -> None:
        super().__init__(metric="epoch", mode="max")
        self.scheduler, self.listen, self.options = scheduler, listen, options
        self.waiting = Waiting(scheduler.store, options)
        self.running: dict[str, Job] = {}
        self.ending = Ending()
        self.away: Unreachable | None = None
        """Why there is no next trial: the storage does not answer."""

    def suggest(self, trial_id: str) -> Any:
        with self.ending.taken():
            return self.suggested(trial_id)

    def suggested(self, trial_id: str) -> Any:
        """Return what a trial of Tune is to run, None for now, or that all is over."""
        if len(self.running) >= slots(nodes(), self.options):  # of now: nodes come and go
            return None
        try:
            self.away = None
            wait_for_room(pending_folder(self.options), self.options.retry_seconds)
            job = self.scheduler.next()
            if job is None:  # Tune asks again unless all is over: a running trial may still have to be repeated
                write_pending(self.scheduler.store, self.options)
                return Searcher.FINISHED if self.scheduler.over() else None
        except Unreachable as away:
            self.away = away
            return None if self.running else Searcher.FINISHED  # what runs goes on, and may outlast it
        self.running[trial_id] = job
        self.waiting.handed(job)
        return {"job": asdict(job)}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        if self.ending.requested:
            return  # a trial that is to end says more
        self.waiting.begun(self.running[trial_id])
        event = json.loads(result["event"])
        record = record_of(event["record"]) if event["record"] else None
        with self.ending.taken():
            self.listen(Event(self.running[trial_id], record, event["state"], event["reason"]))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        if self.ending.requested or trial_id not in self.running:
            return
        job = self.running.pop(trial_id)
        self.waiting.begun(job)
        if not error:
            return
        with self.ending.taken(), suppress(Unreachable):  # its lease ends, and a scheduler takes it back
            report_lost(self.scheduler, job, self.listen, *self.explain(job))

    def explain(self, job: Job) -> tuple[str, Loss]:
        """Return why a trial has lost its worker, and whose loss that is."""
        node = self.scheduler.store.optuna.get_trial(job.trial_id).user_attrs.get("node")
        if node not in (None, *(node["NodeID"] for node in ray.nodes() if node["Alive"])):
            return "its node died", "foreign"
        return why_lost(self.scheduler.store, job)

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its searcher to disk, and the truth is in the storage."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Write nothing, for the same reason."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: a restart begins with a fresh searcher."""


class Looking(tune.Callback):
    """Looks after the trials that wait for resources, and whether to end, whenever Tune has done something or nothing
    for a moment."""

    def __init__(self, searcher: SchedulerSearcher) -> None:
        self.searcher = searcher

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        with self.searcher.ending.taken():
            self.searcher.waiting.look(nodes)
        if self.searcher.ending.requested:
            raise Ended

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing, as a searcher does."""
        return {}


class Silent(tune.ProgressReporter):
    """Reports nothing. In a notebook Tune's own one clears the cell, and with it what our listener shows there."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        """Do nothing: it is never asked."""


def trial_name(trial: Any) -> str:
    """Return the name of the folder of a log: `tpe-randaugment-3`, `tpe-randaugment-3-2` for a second attempt."""
    job = Job(**trial.config["job"])
    prefix = {TrialKind.SEARCH: [], TrialKind.RERUN: [FULL], TrialKind.FINAL: [LEADERBOARD]}[job.kind]
    return "-".join([*prefix, job.strategy, str(job.number)] + ([str(job.attempt)] if job.attempt > 1 else []))


def run_on_worker(config: Mapping[str, Any], code: Code, errand: Errand) -> None:
    """Run one trial in a Ray actor. The study is unpickled only once the modules it refers to are there."""

    def tell(event: Event) -> None:
        plain = {"record": asdict(event.record) if event.record else None, "state": event.state, "reason": event.reason}
        tune.report({"epoch": event.record.epoch if event.record else 0, "event": json.dumps(plain)})

    install(code)
    carry_out(errand, Job(**config["job"]), tell, node=ray.get_runtime_context().get_node_id())


@contextmanager
def cluster(options: Options) -> Iterator[None]:
    """Connect to the Ray cluster at `address`, or start one on this machine for as long as the block runs."""
    patient = {"TUNE_MAX_PENDING_TRIALS_PG": str(options.at_once or 1)} if options.autoscaling else {}
    os.environ.update({name: os.environ.get(name, value) for name, value in {**QUIET, **patient}.items()})
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
    if store.is_file and hosts_of_cluster() - {ray.util.get_node_ip_address()}:
        raise ValueError(
            f"storage {store.display_url} is a file, and the cluster has workers on other hosts: {ON_A_SERVER}"
        )


def nodes() -> list[Node]:
    """Return what each node of the cluster that lives has, busy or not."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def hosts_of_cluster() -> set[str]:
    """Return the addresses of the hosts that the nodes of the cluster are on."""
    return {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
