"""Execution: which trial is next, who works on it, and what happens when one of them dies."""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily
from autoaug.options import Options
from autoaug.processes import Process, is_gone, process_name, short_name

if TYPE_CHECKING:
    from autoaug.execution._capacity import (
        ON_A_SERVER,
        places,
        refuse_misplaced,
        refuse_more_than,
        refuse_remote,
        trials_at_once,
    )
    from autoaug.execution._gallery import complete_gallery
    from autoaug.execution._job import Event, Job, Listen
    from autoaug.execution._pending_writes import pending_folder, refuse_displaced, spool_of, write_pending
    from autoaug.execution._progress import check_only, is_over, outdated
    from autoaug.execution._recovery import failed, retry_failed
    from autoaug.execution._room import refuse_full, wait_for_room
    from autoaug.execution._scheduling import Scheduler
    from autoaug.execution._signals import saving_on_sigterm
    from autoaug.execution._status import Status, StrategyStatus, TrialStatus, status
    from autoaug.execution._worker import end, work
else:  # how a study stands is read without torch
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_capacity": "ON_A_SERVER places refuse_misplaced refuse_more_than refuse_remote trials_at_once",
            "_gallery": "complete_gallery",
            "_job": "Event Job Listen",
            "_pending_writes": "pending_folder refuse_displaced spool_of write_pending",
            "_progress": "check_only is_over outdated",
            "_recovery": "failed retry_failed",
            "_room": "refuse_full wait_for_room",
            "_scheduling": "Scheduler",
            "_signals": "saving_on_sigterm",
            "_status": "Status StrategyStatus TrialStatus status",
            "_worker": "end work",
        },
    )

__all__ = [
    "ON_A_SERVER",
    "Event",
    "Job",
    "Listen",
    "Options",
    "Process",
    "Scheduler",
    "Status",
    "StrategyStatus",
    "TrialStatus",
    "check_only",
    "complete_gallery",
    "end",
    "failed",
    "is_gone",
    "is_over",
    "outdated",
    "pending_folder",
    "places",
    "process_name",
    "refuse_displaced",
    "refuse_full",
    "refuse_misplaced",
    "refuse_more_than",
    "refuse_remote",
    "retry_failed",
    "saving_on_sigterm",
    "short_name",
    "spool_of",
    "status",
    "trials_at_once",
    "wait_for_room",
    "work",
    "write_pending",
]
