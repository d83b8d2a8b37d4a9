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

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Unreachable(ConnectionError):
    """Say that the storage did not answer for as long as we were willing to wait."""


class RetryPolicy:
    """Try an action on the storage again, with longer and longer pauses, for a bounded time.

    Once it has waited in vain it tries only once, until the storage answers again: a training that goes on without
    its storage must not wait at every epoch.
    """

    def __init__(self, seconds: float, display_url: str) -> None:
        self.seconds, self.display_url = seconds, display_url
        self.gave_up = False
        self.last_failure = -float("inf")
        """When the storage last failed to answer, by the monotonic clock."""

    def __call__(self, action: Callable[[], Answer]) -> Answer:
        """Return what the action returns, however often it takes.

        Raises:
            Unreachable: it failed to the end for lack of an answer. Any other error is raised as it is.
        """
        tries = Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_exponential(multiplier=0.1, max=5.0) + wait_random(0, 0.5),
            stop=self.enough,
            before_sleep=self.note,
            retry_error_callback=self.give_up,
        )
        answer = tries(action)
        self.gave_up = False
        return answer

    def enough(self, tries: RetryCallState) -> bool:
        return self.gave_up or (tries.seconds_since_start or 0.0) >= self.seconds

    def note(self, tries: RetryCallState) -> None:
        self.last_failure = time.monotonic()

    def give_up(self, tries: RetryCallState) -> Any:
        self.note(tries)
        self.gave_up = True
        error = tries.outcome.exception() if tries.outcome else None
        reason = str(getattr(cause(error), "orig", None) or error).splitlines()[0]
        raise Unreachable(f"storage {self.display_url} did not answer for {self.seconds:g} s: {reason}") from None


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
    """Whether the same action may succeed a moment later: no connection, a lost one, a lock or a deadlock.

    A rollback is pending where Optuna swallowed the loss of a connection and went on in the same transaction.
    """
    first = cause(error)
    if isinstance(first, PendingRollbackError) or (isinstance(first, DBAPIError) and first.connection_invalidated):
        return True
    return isinstance(first, OperationalError | InterfaceError) and "no such " not in str(first.orig)


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
