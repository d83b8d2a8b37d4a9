"""Several schedulers that hand out the work of one study at the same time."""

import threading

from autoaug import Study
from autoaug.execution import Scheduler
from autoaug.store import Store


def hand_out_at_once(study: Study, reference: str, schedulers: int) -> list[tuple[str, int]]:
    """Strategy and number of all trials that so many schedulers hand out, each with a connection of its own."""
    begin, handed = threading.Barrier(schedulers), []

    def hand_out() -> None:
        scheduler = Scheduler(study, Store(reference))
        begin.wait()
        while job := scheduler.next():
            handed.append((job.strategy, job.number))
        scheduler.store.close()

    threads = [threading.Thread(target=hand_out) for _ in range(schedulers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return handed
