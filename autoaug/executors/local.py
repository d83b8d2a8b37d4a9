"""The local executor: trials on this machine, one at a time in this process, or several in processes of their own."""

import time

import torch

from autoaug.execution import Listen, Options, Scheduler, pending_folder, places, wait_for_room, work, write_pending
from autoaug.executors._pool import run_in_processes
from autoaug.store import Store
from autoaug.study import Study


def run_local(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Run the trials of a study until none is left: in processes where the options ask for some, else in this one."""
    if places(options):
        run_in_processes(study, store, options, listen)
    else:
        run_here(study, store, options, listen)


def run_here(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Run the trials of a study in this process, one after the other, until none is left."""
    torch.set_num_threads(max(1, int(options.cpus_per_trial)))
    scheduler = Scheduler(study, store, options.only, options.expiry_seconds, options.retest, options.lease_seconds)
    while True:
        wait_for_room(pending_folder(options), options.retry_seconds)
        if job := scheduler.next():
            work(study, job, store, options, listen)
        elif scheduler.over():
            return
        else:
            write_pending(store, options)
            time.sleep(1.0)  # others are still working on trials of this study
