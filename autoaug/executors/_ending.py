"""How a driver ends Tune before its time."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Ended(Exception):
    """Ends Tune, which takes its actors down for it; for a KeyboardInterrupt they would hold what they have for good,
    in a cluster that lives on."""


class Ending:
    """An end that Ctrl-C or a listener asks for: it breaks off our own code at once, and Tune between two steps."""

    def __init__(self) -> None:
        self.requested = self.in_our_code = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Take the first Ctrl-C within as a request; the second one breaks off whatever runs."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield  # signals are the main thread's
            return

        def request(number: int, frame: FrameType | None) -> None:
            if self.requested or self.in_our_code:
                before(number, frame)
            self.requested = True

        signal.signal(signal.SIGINT, request)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a KeyboardInterrupt of our own code, which is what runs within, as a request."""
        self.in_our_code = True
        try:
            yield
        except KeyboardInterrupt:
            self.requested = True
        finally:
            self.in_our_code = False
