"""Several desks that hand out the work of one study at the same time."""

import threading

from autoaug import Study
from autoaug.execution import Desk
from autoaug.store import Store


def hand_out_at_once(study: Study, reference: str, desks: int) -> list[tuple[str, int]]:
    """Strategy and number of all trials that so many desks hand out, each with a connection of its own."""
    begin, handed = threading.Barrier(desks), []

    def hand_out() -> None:
        desk = Desk(study, Store(reference))
        begin.wait()
        while job := desk.next():
            handed.append((job.strategy, job.number))
        desk.store.close()

    threads = [threading.Thread(target=hand_out) for _ in range(desks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return handed
