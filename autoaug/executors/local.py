"""The local executor: one trial at a time, in this process. For tests, for a CPU, and for a single GPU."""

import time

import torch

from autoaug.execution import Desk, Listen, Options, work, write_leftovers
from autoaug.store import Store
from autoaug.study import Study


def run_local(study: Study, store: Store, options: Options, listen: Listen) -> None:
    torch.set_num_threads(max(1, int(options.cpus_per_trial)))
    desk = Desk(study, store, options.only, options.grace_seconds, options.reread)
    while True:
        if job := desk.next():
            work(study, job, store, options, listen)
        elif desk.over():
            return
        else:
            write_leftovers(store, options)
            time.sleep(1.0)  # others are still working on trials of this study
