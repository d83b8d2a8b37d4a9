"""What went wrong in a trial, in one line."""

from autoaug.origin import origin
from autoaug.text import read, shown
from autoaug.train import Diverged


def explain(error: Exception) -> str:
    """Return one line: what went wrong, and at which line of the user's own, unless the error says that."""
    if isinstance(error, Diverged):
        return str(error)
    return shown(f"{type(error).__name__}: {read(error)}{origin(error)}")
