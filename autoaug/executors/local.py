"""The local executor: one trial at a time, in this process. For tests, for a CPU, and for a single GPU."""

import time

import torch

from autoaug.execution import Listen, Options, Scheduler, pending_folder, wait_for_room, work, write_pending
from autoaug.store import Store
from autoaug.study import Study


def run_local(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Run the trials of a study one after the other, until none is left."""
    torch.set_num_threads(max(1, int(options.cpus_per_trial)))
    scheduler = Scheduler(study, store, options.only, options.expiry_seconds, options.retest)
    while True:
        wait_for_room(pending_folder(options), options.retry_seconds)
        if job := scheduler.next():
            work(study, job, store, options, listen)
        elif scheduler.over():
            return
        else:
            write_pending(store, options)
            time.sleep(1.0)  # others are still working on trials of this study
