"""Execution: which trial is next, who works on it, and what happens when one of them dies."""

from autoaug.execution._capacity import ON_A_SERVER, refuse_more_than, refuse_remote, trials_at_once
from autoaug.execution._job import Event, Job, Listen, process_name
from autoaug.execution._pending_writes import write_pending
from autoaug.execution._progress import check_only, is_over, outdated
from autoaug.execution._recovery import failed, retry_failed
from autoaug.execution._scheduling import Scheduler
from autoaug.execution._worker import end, explain, work
from autoaug.options import Options

__all__ = [
    "ON_A_SERVER",
    "Event",
    "Job",
    "Listen",
    "Options",
    "Scheduler",
    "check_only",
    "end",
    "explain",
    "failed",
    "is_over",
    "outdated",
    "process_name",
    "refuse_more_than",
    "refuse_remote",
    "retry_failed",
    "trials_at_once",
    "work",
    "write_pending",
]
