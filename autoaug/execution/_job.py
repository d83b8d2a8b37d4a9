"""One trial as it is handed to a worker, and what a worker says of it. Plain data: it crosses processes."""

import os
import reprlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoaug.record import Record, State, place
from autoaug.study import NAME


@dataclass(frozen=True)
class Job:
    """One attempt at one trial."""

    strategy: str
    trial_id: int
    number: int
    point: Mapping[str, Any]
    attempt: int
    root: int
    """Which trial of its search this is: all attempts at it share it, and so their seed and their folder."""
    final_seed: int | None = None
    """Which of the final runs this is; None in the search."""
    rerun: bool = False
    """A re-run in full of a point that was found on a proxy."""
    retest: bool = False
    """A final run that was asked for though the test split was read before, when another point was the best."""
    driver: str = ""
    """The process that handed it out, as `process_name` names it. Of the local executor it is the worker too."""

    @property
    def final(self) -> bool:
        return self.final_seed is not None

    @property
    def place(self) -> str:
        """Where the trial is stored, below the name of its study."""
        return place(self.strategy, self.final, self.rerun)

    def folder(self, artifacts: Path, study: str) -> Path:
        """Where the checkpoints of all attempts at this trial lie.

        Raises:
            ValueError: a name would lead elsewhere. The number of a trial comes from the storage, others write there.
        """
        parts = [study, *self.place.split("/"), str(self.root)]
        for part in parts:
            if not NAME.fullmatch(part):
                raise ValueError(f"{reprlib.repr(part)} cannot name a folder of {artifacts}: it is no plain name")
        return artifacts.joinpath(*parts)

    def __str__(self) -> str:
        what = f"final run {self.final_seed}" if self.final else f"{'re-run' if self.rerun else 'trial'} {self.number}"
        return f"{self.strategy} {what}" + (f", attempt {self.attempt}" if self.attempt > 1 else "")


@dataclass(frozen=True)
class Event:
    """Something that the watcher of a study may want to see."""

    job: Job
    record: Record | None = None
    """An epoch was measured."""
    state: State | None = None
    """The trial began (RUNNING) or ended."""
    reason: str = ""


Listen = Callable[[Event], None]


def process_name() -> str:
    """This process, for a lease: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_gone(owner: str) -> bool:
    """Whether a lease's owner is known to be dead: a process of this host that no longer exists."""
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False
