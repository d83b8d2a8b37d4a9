"""One's own training loop: what a study hands to it, and how what it yields becomes the records of a trial."""

from autoaug.trial._called_back import Report, called_back
from autoaug.trial._command import Command, Lost
from autoaug.trial._current import Current, current
from autoaug.trial._door import Loop, fit, records
from autoaug.trial._explain import explain
from autoaug.trial._reports import check_use
from autoaug.trial._state import Kept, check_kept
from autoaug.trial._trial import Trial

__all__ = [
    "Command",
    "Current",
    "Kept",
    "Loop",
    "Lost",
    "Report",
    "Trial",
    "called_back",
    "check_kept",
    "check_use",
    "current",
    "explain",
    "fit",
    "records",
]
