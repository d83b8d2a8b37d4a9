"""What a page gets while its storage is away: the reason, for as long as that lasts, and then the page again."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

from autoaug.page._answers import Respond, Wsgi, explain
from autoaug.store import Store, Unreachable, is_new

PATIENCE = 5.0
"""Seconds for which a page waits for the storage."""

LOOK_AGAIN = 1.0
"""Seconds between two attempts to open a storage that was moved."""


class Present:
    """Serve what is made of a storage, for as long as that is what was opened.

    Where its file was moved or its server is down the answer is 503 with the reason. Once the same storage is back, it
    is opened again, and served.
    """

    def __init__(self, store: Store, make: Callable[[Store], Wsgi]) -> None:
        self.store, self.make, self.app = store, make, make(store)
        self.lock, self.tried, self.found = threading.Lock(), -float("inf"), ""

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer a request: WSGI."""
        if reason := self.away():
            return unavailable(environ, respond, reason)
        store, failed = self.store, []

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            if status.startswith("500") and store.retry_policy.gave_up:  # Optuna Dashboard says no more than that
                failed.append(status)
                return None
            return respond(status, headers, *error)

        try:
            parts = self.app(environ, start)
        except Unreachable as error:
            return unavailable(environ, respond, str(error))
        if failed:
            return unavailable(environ, respond, f"storage {store.display_url} does not answer")
        return parts

    def away(self) -> str:
        """Return why there is nothing to serve now; empty where there is."""
        if moved := self.store.look():
            return self.reopened(str(moved))
        if self.store.retry_policy.gave_up:
            try:
                self.store.names()  # one attempt, until it answers again
            except Unreachable as error:
                return str(error)
        return ""

    def reopened(self, moved: str) -> str:
        """Open the storage that has come back, and return nothing; else return why it is away."""
        with self.lock:
            if not self.store.look():  # another request has opened it
                return ""
            if time.monotonic() - self.tried >= LOOK_AGAIN:
                self.tried, self.found = time.monotonic(), self.open_again()
            return "" if not self.store.look() else f"{moved}{self.found}"

    def open_again(self) -> str:
        """Serve the storage that lies there now if it is the same; return what else is known of it."""
        url = self.store.storage_url
        try:
            if is_new(url):
                return ""
            again = Store(url, PATIENCE, existing=True)
        except (ValueError, Unreachable) as error:
            return f"; what lies there now: {error}"
        if again.identity != self.store.identity:
            with closing(again):
                return "; another storage lies there now: start the dashboard again to see that one"
        before, self.store, self.app = self.store, again, self.make(again)
        before.close()
        return ""


def unavailable(environ: dict[str, Any], respond: Respond, reason: str) -> Iterable[bytes]:
    """Answer that the storage is away, and that the page goes on by itself."""
    headers = [("Retry-After", "3"), ("Refresh", "3")]
    said = f"{reason}; pages go on by themselves once it is back"
    return explain(environ, respond, "503 Service Unavailable", said, headers)
