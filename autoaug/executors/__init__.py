"""Executors: where the trials of a study run, in this process or on Ray. The storage knows the rest."""

from typing import TYPE_CHECKING

from autoaug.executors._check import check, this_machine
from autoaug.executors._run import conduct, ignore, run
from autoaug.executors._table import EXECUTORS
from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.executors._progress import Progress
else:  # it shows figures, which a process that trains does not
    __getattr__, __dir__ = lazily(__name__, {"_progress": "Progress"})

__all__ = ["EXECUTORS", "Progress", "check", "conduct", "ignore", "run", "this_machine"]
