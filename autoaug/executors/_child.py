"""A process of the local executor: it works on the trials that the driver hands it, one at a time.

It obeys the driver alone. SIGTERM makes it save its trial and give it back; a driver that has died does the same.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

from autoaug.execution import Event, Job, saving_on_sigterm
from autoaug.executors._worker_process import Errand, carry_out

STOP_SECONDS = 30.0
"""How long a process that has no trial may take to end, once it was told to. With one it has `Options.grace`."""

Inbox = SimpleQueue[tuple[Errand, Job]]


def main() -> None:
    """Work on what comes from the pipe whose number is the argument, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the driver gets it too, and passes it on
    signal.signal(signal.SIGTERM, interrupt)
    pipe, inbox = Connection(int(sys.argv[1])), Inbox()

    def tell(message: Event | None) -> None:
        with suppress(OSError):  # the driver has died, and `receive` ends this process
            pipe.send(message)

    threading.Thread(target=receive, args=(pipe, inbox), daemon=True).start()
    with suppress(KeyboardInterrupt):
        while True:
            tell(None)  # free for a trial
            errand, job = inbox.get()
            # of a preempted job all processes are told to end, and the driver tells this one again
            with saving_on_sigterm(errand.options, impatient=False):
                carry_out(errand, job, tell)


def interrupt(*_: object) -> None:
    """End what runs in the main thread, once: what it does to give its trial back is not interrupted again."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def receive(pipe: Connection, inbox: Inbox) -> None:
    """Put what the driver sends into the inbox; when the driver is done, or dead, end this process."""
    seconds = STOP_SECONDS
    with suppress(EOFError, OSError):
        while True:
            errand, job = pipe.recv()
            seconds = errand.options.grace
            inbox.put((errand, job))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    os._exit(1)
