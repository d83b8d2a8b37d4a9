"""What a process is known by to others, and whether one of them has ended."""

import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WRITTEN = re.compile(
    r"(?P<host>\S+):(?P<pid>\d{1,9})(?: boot (?P<boot>\S+) namespace (?P<namespace>\d+) start (?P<start>\d+))?"
)
"""A process as text. Earlier versions wrote no more than `host:pid`."""

ENDED = ("Z", "X")
"""States of a process that does nothing any more: its parent has not asked yet how it ended."""


@dataclass(frozen=True)
class Process:
    """Tell a process from every other: of another machine, container or boot, and of those that have its pid later."""

    host: str
    pid: int
    """Its number in its PID namespace."""
    boot: str = ""
    """Which start of the kernel it belongs to; empty, as what follows is 0, where the system does not say it."""
    namespace: int = 0
    """Which PID namespace it belongs to: containers of one machine count their processes each for itself."""
    start: int = 0
    """When it began, in ticks since the boot: a pid is given again to another process."""

    @property
    def name(self) -> str:
        """Return what it is called to people: `host:pid`."""
        return f"{self.host}:{self.pid}"

    def __str__(self) -> str:
        """Return it as text of at most 256 characters, which begins with its name."""
        rest = f" boot {self.boot} namespace {self.namespace} start {self.start}" if self.boot else ""
        return f"{self.name}{rest}"

    @staticmethod
    def parse(text: str) -> "Process | None":
        """Return the process that a text names; None where it names none."""
        found = WRITTEN.fullmatch(text)
        if found is None:
            return None
        host, pid, boot, namespace, start = found.groups()
        return Process(host, int(pid), boot or "", int(namespace or 0), int(start or 0))

    def is_beside(self, other: "Process") -> bool:
        """Whether both number processes in the same way, so that each can look for the other."""
        mine, others = ((each.host, each.boot, each.namespace) for each in (self, other))
        return bool(self.boot) and mine == others


@cache
def this_process() -> Process:
    """Return the process that asks."""
    known = Process(socket.gethostname(), os.getpid())
    try:
        if os.readlink("/proc/self") != str(known.pid):  # a container may see the processes of its host there
            return known
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = int(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    except (OSError, ValueError):
        return known
    state = state_of(known.pid)
    return Process(known.host, known.pid, boot, namespace, state[1]) if boot and state else known


os.register_at_fork(after_in_child=this_process.cache_clear)


def process_name() -> str:
    """Return what a lease calls this process: `host:pid`, and what tells it from others of that name."""
    return str(this_process())


def short_name(owner: str) -> str:
    """Return what the owner of a lease is called to people: `host:pid`."""
    process = Process.parse(owner)
    return process.name if process else owner


def is_gone(owner: str) -> bool:
    """Whether the owner of a lease is known to have ended: it is not here, where it would have to be.

    Of another host, boot or PID namespace nothing is known, nor of a name that an earlier version wrote.
    """
    process = Process.parse(owner)
    if process is None or not this_process().is_beside(process):
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is another user's
        pass
    found = state_of(process.pid)
    return found is not None and (found[0] in ENDED or found[1] != process.start)


def state_of(pid: int) -> tuple[str, int] | None:
    """Return state and start of a process of this PID namespace; None where they cannot be read."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def parse_stat(text: str) -> tuple[str, int]:
    """Return state and start, the fields 3 and 22; the second field is a command in parentheses, and may hold any."""
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def having(setting: str, *, begins: bool = False) -> list[int]:
    """Return the processes whose environment holds a setting, such as "NAME=value", whoever has started them.

    Empty where the system does not show environments; those of other users are not seen.

    Args:
        begins: whether it is enough that a setting begins so.
    """
    found, wanted = [], f"\0{setting}{'' if begins else chr(0)}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is another user's
            if wanted in b"\0" + path.read_bytes() + b"\0":
                found.append(int(path.parent.name))
    return found


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
