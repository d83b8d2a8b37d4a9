"""The processes of the local executor: several trials at once on one machine, each with a GPU where there are some.

This process is the driver. It asks the scheduler, hands trials out over pipes, and hears through them of every epoch
and of every death. Its processes are no forks: CUDA may be in use here, and theirs must see one GPU from the start.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from autoaug.execution import (
    Job,
    Listen,
    Options,
    Scheduler,
    pending_folder,
    places,
    refuse_full,
    wait_for_room,
    write_pending,
)
from autoaug.executors._child import STOP_SECONDS
from autoaug.executors._worker_process import Errand, errand, report_lost, why_lost
from autoaug.store import Store, Unreachable
from autoaug.study import Study

LOOK_SECONDS = 1.0
"""How often a driver that waits asks the scheduler, and looks whether its processes live."""

FUTILE_STARTS = 3
"""So many processes in a row that end before they are ready end the study."""

GRACE_SHARE = 0.7
"""Of the grace of the driver, for its processes: in the rest it gives back what they could not."""

COMMAND = (sys.executable, "-P", "-c", "from autoaug.executors._child import main; main()")


@dataclass(eq=False)
class Child:
    """One process, and what it does."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    place: int | None
    """The GPU that it has, as this process counts; None where it has none of its own."""
    ready: bool = False
    """Whether it has been free for a trial."""
    job: Job | None = None

    def end(self, seconds: float) -> None:
        """Wait so long for its end, then kill it."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, seconds))
        self.process.kill()
        self.process.wait()


def run_in_processes(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Run the trials of a study in processes beside this one, until none is left.

    Raises:
        ValueError: the study cannot be sent to them, or they end before they are ready.
        KeyboardInterrupt: after the running trials were queued again.
        Unreachable: the storage is away, and nothing runs that goes on without it.
    """
    scheduler = Scheduler(study, store, options.only, options.expiry_seconds, options.retest, options.lease_seconds)
    if scheduler.over():
        return
    theirs = replace(options, grace=GRACE_SHARE * options.grace)
    pool = Pool(scheduler, errand(study, store, theirs), listen)
    try:
        pool.run()
    except BaseException:
        pool.interrupt()
        raise
    finally:
        pool.close()


class Pool:
    """The processes that work on one study."""

    def __init__(self, scheduler: Scheduler, errand: Errand, listen: Listen) -> None:
        self.scheduler, self.errand, self.listen = scheduler, errand, listen
        self.futile = 0
        self.children = [start(place) for place in places(errand.options)]

    def run(self) -> None:
        """Hand out trials until every one of the study has ended."""
        while True:
            self.hand_out()
            if not any(child.job for child in self.children) and self.scheduler.over():
                return
            self.hear()

    def hand_out(self) -> None:
        """Give a trial to each process that is free, while there are any to begin."""
        for child in (child for child in self.children if child.ready and not child.job):
            try:
                self.look_for_room()
                child.job = self.scheduler.next()
                if child.job is None:
                    write_pending(self.scheduler.store, self.errand.options)
                    return
            except Unreachable:
                if not any(child.job for child in self.children):
                    raise
                return  # what runs goes on, and may outlast it
            with suppress(OSError):  # it has just died, and will be found dead
                child.pipe.send((self.errand, child.job))

    def look_for_room(self) -> None:
        """Refuse to hand anything out where nothing could be kept; where nobody works, wait for room first.

        Raises:
            Unwritable: there is none.
        """
        folder = pending_folder(self.errand.options)
        if any(child.job for child in self.children):
            refuse_full(folder)
        else:
            wait_for_room(folder, self.errand.options.retry_seconds)

    def hear(self) -> None:
        """Listen until a process is free or dead, for a moment at most."""
        until = time.monotonic() + LOOK_SECONDS
        while (seconds := until - time.monotonic()) > 0:
            by_pipe = {child.pipe: child for child in self.children}
            speaking = wait(list(by_pipe), seconds)
            if any(self.hear_from(child) for pipe, child in by_pipe.items() if pipe in speaking):
                return
        for child in list(self.children):
            if child.process.poll() is not None and not child.pipe.poll():  # what it has started holds its pipe open
                self.replace(child)

    def hear_from(self, child: Child) -> bool:
        """Pass on what a process says; returns whether it is free now, or dead and replaced."""
        try:
            event = child.pipe.recv()
        except (EOFError, OSError):
            self.replace(child)
            return True
        if event is None:
            child.ready, child.job, self.futile = True, None, 0
            return True
        self.listen(event)
        return False

    def replace(self, child: Child) -> None:
        """Queue the trial of a process that has died, and start another in its place."""
        child.end(0)
        child.pipe.close()
        self.futile += not child.ready
        if self.futile >= FUTILE_STARTS:
            raise ValueError(
                f"{self.futile} processes ended before they were ready for a trial, the last with exit code "
                f"{child.process.returncode}: see what they printed, or run the study in this process"
            )
        self.children[self.children.index(child)] = start(child.place)
        if child.job:
            with suppress(Unreachable):  # its lease ends, and a scheduler takes it back
                write_pending(self.scheduler.store, self.errand.options)
                report_lost(self.scheduler, child.job, self.listen, *why_lost(self.scheduler.store, child.job))

    def interrupt(self) -> None:
        """End all processes. Each gives its trial back; that of one which could not in time is given back here."""
        for child in self.children:
            child.process.terminate()
        until = time.monotonic() + self.errand.options.grace
        for child in self.children:
            child.end(until - time.monotonic())
        for job in (child.job for child in self.children if child.job):
            with suppress(Unreachable):
                self.scheduler.lost(job, "interrupted")

    def close(self) -> None:
        """End all processes, which are free or dead: a closed pipe tells them."""
        for child in self.children:
            child.pipe.close()
        for child in self.children:
            child.end(STOP_SECONDS)


def start(place: int | None) -> Child:
    """Start a process that imports what this one can, and sees one GPU, or what this one sees.

    It is in a group of its own, for Ctrl-C on a terminal goes to all processes of a group.
    """
    ours, theirs = Pipe()
    large_pages = {"THP_MEM_ALLOC_ENABLE": "1"}  # torch asks for them: minibatches of photos take half the time
    environment = {**large_pages, **os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    if place is not None:
        environment["CUDA_VISIBLE_DEVICES"] = name_of_gpu(place)
    with theirs:
        process = subprocess.Popen(
            [*COMMAND, str(theirs.fileno())],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
        )
    return Child(process, ours, place)


def name_of_gpu(place: int) -> str:
    """Return how a GPU of this process is called outside it: this one may see some of the machine's only."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return visible[place].strip() if visible != [""] and place < len(visible) else str(place)
