"""Errors of drivers: whether trying again may help, and what of them may be shown."""

import errno
import os
import re
from collections.abc import Iterator

from autoaug.text import read, shown

HIDDEN = "***"

TRANSIENT = (
    "ConnectionError",
    "TimeoutError",
    "HTTPClientError",
    "ClientConnectionError",
    "TransportError",
    "ServiceRequestError",
    "ServiceResponseError",
)
"""Errors, by name for their packages may be absent, after which the same action may succeed a moment later."""

BUSY = frozenset((errno.EAGAIN, errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO), errno.ETIMEDOUT))

SECRET = re.compile(r"(?i)key|secret|token|password|credential|connection_string|sas")
"""Names of environment variables whose values are never shown."""


def is_transient(error: BaseException) -> bool:
    """Whether the same action may succeed a moment later: no connection, a lost one, or a server that is busy."""
    return not set(TRANSIENT).isdisjoint(names_of(error)) or (isinstance(error, OSError) and error.errno in BUSY)


def names_of(error: BaseException) -> list[str]:
    """Return the names of the classes of an error, its own first."""
    return [kind.__name__ for kind in type(error).__mro__]


def reason_of(error: BaseException) -> str:
    """Return an error of a driver as its type and its first line, without what may be secret."""
    line = next(iter(read(getattr(error, "strerror", None) or error).strip().splitlines()), "")
    for secret in secrets_of_environment():
        line = line.replace(secret, HIDDEN)
    line = re.sub(r"//[^/@\s]*@", f"//{HIDDEN}@", line)
    line = re.sub(r"\?[^\s\"']*", f"?{HIDDEN}", line)
    return shown(f"{type(error).__name__}: {line}", 300)


def secrets_of_environment() -> Iterator[str]:
    """Yield the values of environment variables that are secret by their name, the longest first."""
    values = {value for name, value in os.environ.items() if SECRET.search(name) and len(value) >= 8}
    yield from sorted(values, key=len, reverse=True)
