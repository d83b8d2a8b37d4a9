"""SIGTERM and its like: save, give the trial back, and end within the grace that a process is given."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from autoaug.options import Options

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What cluster managers send, what a closed terminal sends, and Ctrl-C."""

LAST_SECONDS = 5.0
"""Of the grace, or half of a shorter one: to give a trial back and end, where no step has come until then."""

INTERRUPTED = 130
"""The exit code of a process that was asked to end and could not be interrupted."""


@contextmanager
def saving_on_sigterm(options: Options, *, impatient: bool = True) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and Ctrl-C end the block within `Options.grace` seconds, with KeyboardInterrupt.

    A training saves at its next step first (`Options.interruption`); everything else is interrupted at once. Where no
    step comes in time the training is interrupted where it is, and where not even that helps, as in code that never
    comes back to Python, its trial is given back and the process ends here. What is ignored, as by `nohup`, stays so.

    For the main thread, which alone may handle signals. A process that trains on behalf of another one wraps its work
    in it too; the other one sends it SIGTERM.

    Args:
        impatient: whether a second signal interrupts at once. Not where the first may come twice, as in a process that
            hears of the end from its parent and from a cluster manager that tells all processes.
    """
    interruption, countdown = options.interruption, Countdown(options)

    def handle(number: int, frame: FrameType | None) -> None:
        first, countdown.told, late, countdown.is_late = not countdown.told, True, countdown.is_late, False
        if first and interruption.makes_wait and not late:
            interruption.request()
        elif first or impatient or late:
            interruption.makes_wait = False
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handle)
    try:
        with countdown.over(handled):
            yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


class Countdown:
    """A thread that sees a signal also while the main thread does not, and counts the seconds from there."""

    def __init__(self, options: Options) -> None:
        self.interruption, self.grace = options.interruption, options.grace
        self.main, self.ended = threading.get_ident(), threading.Event()
        self.told = False
        """Whether a signal has come that the main thread knows of."""
        self.is_late = False
        """Whether the training has made no step in time, and is to be interrupted where it is."""

    @contextmanager
    def over(self, handled: Sequence[signal.Signals]) -> Iterator[None]:
        """Watch for signals while the block runs. Their handlers wait for the main thread; the wakeup fd does not."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        thread = threading.Thread(target=self.wait_for, args=(reader, handled), name="signals", daemon=True)
        thread.start()
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            self.ended.set()
            signal.set_wakeup_fd(before)
            writer.close()
            thread.join()
            reader.close()

    def wait_for(self, reader: socket.socket, handled: Sequence[signal.Signals]) -> None:
        """Wait for the first of some signals, and then for the end of the block, which has until the grace is over."""
        while number := reader.recv(1):
            if number[0] in handled:
                self.hurry(number[0])
                return

    def hurry(self, number: int) -> None:
        """Interrupt the main thread where it makes no step in time, and end the process where it cannot be."""
        end, last = time.monotonic() + self.grace, min(LAST_SECONDS, self.grace / 2)
        if self.ended.wait(self.grace - last):
            return
        if self.interruption.makes_wait:
            self.is_late = True
            signal.pthread_kill(self.main, number)
        if self.ended.wait(last / 2):
            return
        threading.Thread(target=self.interruption.give_back, daemon=True).start()
        if not self.ended.wait(end - time.monotonic()):
            words = f"no step within {self.grace:g} s, and cannot be interrupted; run the command again to go on"
            print(f"autoaug: {words}", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
