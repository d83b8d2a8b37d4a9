"""A request to end: whoever works saves first, and then goes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


def nothing() -> None:
    """Give nothing back: nobody works."""


class Interruption:
    """A request that work should end, and who makes it wait.

    Somebody calls `request`: a signal handler (`autoaug.execution.saving_on_sigterm`), or another thread. The work
    calls `obey` wherever it can be left: at the first call after the request KeyboardInterrupt is raised. What has made
    no step yet has nothing to save, and makes nobody wait.

    It is plain data, so that options can be pickled with it. The copy in another process is one of its own.
    """

    def __init__(self) -> None:
        self.requested = False
        self.makes_wait = False
        """Whether a request is obeyed soon, so that nobody need interrupt the work where it is."""
        self.give_back: Callable[[], object] = nothing
        """Give back what is worked on, from whatever thread, where the work itself does not come to it."""

    def request(self) -> None:
        """Ask for the end of the work that is under way, or else of the next one."""
        self.requested = True

    def obey(self, save: Callable[[], object] = nothing) -> None:
        """Say that the work may be left here, and leave it where that was requested.

        Args:
            save: to be called before.

        Raises:
            KeyboardInterrupt: it was requested.
        """
        if self.requested:
            save()
            self.makes_wait = False
            raise KeyboardInterrupt
        self.makes_wait = True

    @contextmanager
    def obeyed(self, give_back: Callable[[], object]) -> Iterator[None]:
        """Let requests wait for the block, which obeys at its end at the latest; with that a request is met.

        Args:
            give_back: see the attribute.

        Raises:
            KeyboardInterrupt: it was requested.
        """
        self.give_back = give_back
        try:
            yield
            self.obey()
        finally:
            self.requested, self.makes_wait, self.give_back = False, False, nothing

    def __reduce__(self) -> tuple[type["Interruption"], tuple[()]]:
        """Return a fresh one for a copy: what is under way here is not under way there."""
        return Interruption, ()
