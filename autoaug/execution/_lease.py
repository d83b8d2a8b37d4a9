"""The lease of a trial: somebody works on it, and gets on with it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf

from autoaug.processes import process_name
from autoaug.record import State
from autoaug.store import Store, Unreachable
from autoaug.text import shown

UNBLOCK_SECONDS = 60.0
"""How long a training that hangs in this process may take to notice that it was given up."""


class Hung(BaseException):
    """The training made no step for too long, and its trial was given back. No `except Exception` may swallow it."""

    state: State = "WAITING"
    """What became of the trial: FAIL where no attempt follows."""


@contextmanager
def lease(
    store: Store,
    trial_id: int,
    every: float = 10.0,
    hang: float = inf,
    give_up: Callable[[], None] = lambda: None,
) -> Iterator[Callable[[], None]]:
    """Renew the lease of a trial again and again, for as long as the block runs and gets on.

    The block is given a function to call at every step, which raises Moved once the storage is not what was opened.
    A thread of its own can renew a lease for ever while the training hangs in a lock or a dead file system: after
    `hang` seconds without a step it calls `give_up` instead.
    It looks twice, for a process that was stopped wakes up with a clock that went on.
    """
    over, steps = threading.Event(), [time.monotonic()]

    def renew() -> None:
        silent_before = False
        while True:
            silent = time.monotonic() - steps[0] > hang
            if silent and silent_before:
                give_up()
                return
            silent_before = silent
            with suppress(Unreachable):  # the training goes on without its storage, unless that is another one now
                store.beat(trial_id, process_name())
            if over.wait(min(every, hang)):
                return

    def step() -> None:
        store.retry_policy.refuse_moved()
        steps[0] = time.monotonic()

    thread = threading.Thread(target=renew, name=f"lease-{trial_id}", daemon=True)
    thread.start()
    try:
        yield step
    finally:
        over.set()
        thread.join(timeout=1.0)  # it may be waiting for a storage that is away


@contextmanager
def interruptible(reason: str) -> Iterator[Callable[[], None]]:
    """Yield a function that ends the block from another thread, with Hung raised where the main thread is.

    Code that never comes back to Python cannot be interrupted; then the process ends, which loses nothing: its trial
    was queued again. Outside the main thread nothing can be interrupted, and the function does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    ended, main = threading.Event(), threading.get_ident()

    def raise_hung(*_: object) -> None:
        raise Hung(reason)

    def interrupt() -> None:
        signal.pthread_kill(main, signal.SIGUSR1)
        threading.Thread(target=end_unless_ended, daemon=True).start()

    def end_unless_ended() -> None:
        if not ended.wait(UNBLOCK_SECONDS):
            print(
                f"autoaug: {shown(reason)}, and cannot be interrupted; run the command again to go on", file=sys.stderr
            )
            os._exit(1)

    before = signal.signal(signal.SIGUSR1, raise_hung)
    try:
        yield interrupt
    finally:
        ended.set()
        signal.signal(signal.SIGUSR1, before)
