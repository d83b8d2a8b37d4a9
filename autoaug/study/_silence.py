"""What is said of a loop of the user's own that is rehearsed for long, and gives no sign of life."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from autoaug.text import shown

SILENT = (
    "autoaug: {} is still in its rehearsal after {:g} s, which ends at the next step of an optimiser of torch, the "
    "next call of the trial, or the first yield: where none of them comes soon, let the loop do less where "
    "trial.rehearsing is true, or end it by Ctrl-C"
)
"""What is said of a loop that makes no such step and no call for that long."""


@contextmanager
def told_of(what: str, seconds: float) -> Iterator[None]:
    """Say on stderr that the block takes longer than that, as it then does more than a rehearsal needs."""
    timer = Timer(seconds, lambda: print(shown(SILENT.format(what, seconds)), file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(timeout=1.0)
