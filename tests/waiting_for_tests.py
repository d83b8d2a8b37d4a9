"""Waiting for what happens in a moment on a quiet machine."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0
"""Seconds, unless a test says otherwise."""


def until(true: Callable[[], Any], seconds: float = PATIENCE, otherwise: str = "it has not happened") -> Any:
    """What a function returns, as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)
    return found
