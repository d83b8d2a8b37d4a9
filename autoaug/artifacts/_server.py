"""A file system of fsspec: opened late, told nothing secret, and tried again while it does not answer."""

import errno
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from autoaug.artifacts._errors import is_transient, reason_of
from autoaug.lookup import suggest

Answer = TypeVar("Answer")

EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("abfs", "abfss", "az"), "azure"),
}
"""Object stores, by scheme, and the extra of this package that installs the driver. Their put is whole or nothing."""

ONE_TRY = {"config_kwargs": {"connect_timeout": 10, "retries": {"max_attempts": 0}}}

SETTINGS: Mapping[str, Mapping[str, Any]] = {"s3": ONE_TRY, "s3a": ONE_TRY}
"""What a driver is told beside what it finds in the environment: we try again, so it need not."""


class Server:
    """A file system of fsspec, opened when it is first used, whose actions are tried again for a bounded time.

    Once it has been waited for in vain, an action is tried only once, until one succeeds: a training that goes on
    without its checkpoints must not wait for each.
    """

    def __init__(self, url: str, retry_seconds: float) -> None:
        self.url, self.retry_seconds = url, retry_seconds
        self.scheme = url.partition("://")[0]
        self.gave_up = False

    @cached_property
    def files(self) -> tuple[Any, str]:
        """Return the file system, and the path in it that the URL stands for."""
        from fsspec.core import url_to_fs

        fresh = {"use_listings_cache": False, "skip_instance_cache": True}
        return url_to_fs(self.url, **fresh, **SETTINGS.get(self.scheme, {}))

    def __call__(self, action: Callable[[Any, str], Answer]) -> Answer:
        """Return what an action on the file system and the path returns, however often it takes.

        Raises:
            FileNotFoundError: what the action needs is not there.
            OSError: it failed to the end. Of either, `strerror` is the reason, without any secret.
        """
        from tenacity import Retrying, retry_if_exception, wait_exponential, wait_random

        tries = Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_exponential(multiplier=0.1, max=5.0) + wait_random(0, 0.5),
            stop=lambda tries: self.gave_up or (tries.seconds_since_start or 0.0) >= self.retry_seconds,
            reraise=True,
        )
        try:
            answer = tries(lambda: action(*self.files))
        except MemoryError:
            raise
        except Exception as error:  # drivers raise what they like
            self.gave_up = is_transient(error)
            code = errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EIO
            raise OSError(code, reason_of(error)) from None  # of ENOENT Python makes a FileNotFoundError
        self.gave_up = False
        return answer

    def refuse_unknown(self) -> None:
        """Refuse a scheme that nobody knows, and one whose driver is not installed.

        Raises:
            ValueError: it says what would be right.
        """
        from fsspec import get_filesystem_class

        try:
            get_filesystem_class(self.scheme)
        except ValueError:
            near = suggest(self.scheme, EXTRAS)
            raise ValueError(f"artifacts are at {self.url}, and {self.scheme} is no scheme of fsspec: {near}") from None
        except ImportError as error:
            extra = EXTRAS.get(self.scheme)
            fix = f"pip install 'autoaug[{extra}]'" if extra else reason_of(error)
            raise ValueError(f"artifacts are at {self.url}: its driver is not installed: {fix}") from None
