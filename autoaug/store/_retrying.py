"""Waiting for a storage that is away for a moment: a server restarts, a network blinks, somebody holds a lock."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, PendingRollbackError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from autoaug.text import LOG

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


AWAY = {
    "08": "the connection is lost",
    "25006": "the server takes no writes: it is a standby now, or is about to become the primary",
    "28": "nobody is let in, as by a proxy whose servers change their places",
    "3D": "the database is not there, as while it is restored",
    "40": "a deadlock, or a transaction that another one was quicker than",
    "53": "the server has no room, no memory or no connection left",
    "55": "something is locked, or not in the state that it needs",
    "57": "the server is shut down, or starts",
    "58": "the server's own system fails it",
}
"""What a server may say while it is away and takes back a moment later, by SQLSTATE or by its class of two characters.
Whatever else it says would be said again."""

PATIENCE = 5.0
"""Seconds of waiting after which it is said what is waited for."""


class Unreachable(ConnectionError):
    """Say that the storage did not answer for as long as we were willing to wait."""


class Moved(Unreachable):
    """Say that a storage is not what was opened: its file is gone, or holds something else. No waiting helps."""


class Unwritable(Unreachable):
    """Say that what the storage does not take cannot be kept in a folder either: there is no room, or no right to."""


class RetryPolicy:
    """Try an action on the storage again, with longer and longer pauses, for a bounded time.

    Once it has waited in vain it tries only once, until the storage answers again: a training that goes on without
    its storage must not wait at every epoch.
    """

    def __init__(self, seconds: float, display_url: str) -> None:
        self.seconds, self.display_url = seconds, display_url
        self.gave_up = self.told = False
        self.last_failure = -float("inf")
        """When the storage last failed to answer, by the monotonic clock."""
        self.moved: Moved | None = None
        """Why it is never tried again."""
        self.lost = False
        """Whether there was a write that neither the storage took nor a folder: what it told of is measured again."""

    def __call__(self, action: Callable[[], Answer]) -> Answer:
        """Return what the action returns, however often it takes.

        Raises:
            Unreachable: it failed to the end for lack of an answer. Any other error is raised as it is.
            Moved: the storage is not what was opened; it was found now, or before.
        """
        self.refuse_moved()
        tries = Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_exponential(multiplier=0.1, max=5.0) + wait_random(0, 0.5),
            stop=self.enough,
            before_sleep=self.note,
            retry_error_callback=self.give_up,
        )
        try:
            answer = tries(action)
        except Moved as moved:
            self.moved = moved
            raise
        self.gave_up = self.told = False
        return answer

    def refuse_moved(self) -> None:
        """Raise what was found of a storage that is not what was opened.

        Raises:
            Moved: it was found before.
        """
        if self.moved:
            raise Moved(str(self.moved))

    def enough(self, tries: RetryCallState) -> bool:
        return self.gave_up or (tries.seconds_since_start or 0.0) >= self.seconds

    def note(self, tries: RetryCallState) -> None:
        self.last_failure = time.monotonic()
        if not self.told and (tries.seconds_since_start or 0.0) >= PATIENCE:
            self.told = True
            LOG.warning("storage %s does not answer (%s): waiting up to %g s", *self.about(tries), self.seconds)

    def about(self, tries: RetryCallState) -> tuple[str, str]:
        """Return which storage it is, and what it last said."""
        error = tries.outcome.exception() if tries.outcome else None
        return self.display_url, str(getattr(cause(error), "orig", None) or error).splitlines()[0]

    def give_up(self, tries: RetryCallState) -> Any:
        self.note(tries)
        self.gave_up = True
        url, reason = self.about(tries)
        raise Unreachable(f"storage {url} did not answer for {self.seconds:g} s: {reason}") from None


class Waits(Protocol):
    """Describe what has a policy for waiting."""

    retry_policy: RetryPolicy


def retrying(method: Callable[Concatenate[Any, Given], Answer]) -> Callable[Concatenate[Any, Given], Answer]:
    """Return a method, which one transaction makes up, that is tried again while the storage is away."""

    @wraps(method)
    def tried(self: Waits, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        return self.retry_policy(lambda: method(self, *args, **kwargs))

    return tried


def is_transient(error: BaseException) -> bool:
    """Whether the same action may succeed a moment later, as AWAY has it: no connection, a lost one, a lock, no room.

    A rollback is pending where Optuna swallowed the loss of a connection and went on in the same transaction.
    """
    first = cause(error)
    if isinstance(first, PendingRollbackError) or (isinstance(first, DBAPIError) and first.connection_invalidated):
        return True
    if isinstance(first, DBAPIError) and (state := sqlstate(first)):
        return state in AWAY or state[:2] in AWAY
    return isinstance(first, OperationalError | InterfaceError) and "no such " not in str(first.orig)


def sqlstate(error: DBAPIError) -> str:
    """Return the five characters by which PostgreSQL calls an error; empty where no server said it."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or ""  # psycopg, psycopg2


def cause(error: BaseException | None) -> BaseException | None:
    """Return the error of the database, which Optuna hides behind one that says something else."""
    return error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error


def open_together(connect: Callable[[], Answer]) -> Answer:
    """Open a storage while other processes do: who creates a table that another has just created tries again."""
    tries = Retrying(
        retry=retry_if_exception(is_of_a_race), wait=wait_random(0.1, 1.0), stop=stop_after_attempt(8), reraise=True
    )
    return tries(connect)


def is_of_a_race(error: BaseException) -> bool:
    """Whether an error comes from another process that makes the same tables at this moment."""
    first = cause(error)
    message = str(getattr(first, "orig", None))
    return isinstance(first, IntegrityError) or "already exists" in message or "is locked" in message
