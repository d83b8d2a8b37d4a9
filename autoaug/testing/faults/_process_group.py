"""The drivers of a study as processes: started, listened to, killed, and started again."""

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoaug.store import SPOOL_FOLDER

DONE = (0, 3)
"""Exit codes of a driver that left nothing to do: 3 where some trials failed."""

AWAY = ((2, "cannot be opened"), (1, "is not what was opened"), (2, "is not the one that was there before"))
"""Exit code and words of a driver whose storage was away, or moved: no crash, it is started again."""

CONTAINED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Runs what follows in a PID namespace of its own."""

PREEMPTED = (130, -signal.SIGTERM)
"""Exit codes of a driver that was sent SIGTERM: the second where it had not begun the study yet, or had ended it."""

HOPELESS = 10
"""So many drivers that die by themselves are replaced by no more."""


@dataclass
class Driver:
    """Hold one process that runs the study. What it prints goes to files: a pipe would bind it to its reader."""

    process: "subprocess.Popen[bytes]"
    output: Path
    """Its events, as JSON lines."""
    log: Path
    """Its errors."""
    host: Path
    """The folder in which it works."""
    contained: bool = False
    """Whether it runs in a namespace of its own: a signal to it stops at what made the namespace."""
    killed: bool = False
    preempted: bool = False
    overdue: float = math.inf
    """When a preempted one must have ended, by the monotonic clock."""
    replaced: bool = False
    read: int = 0
    """Bytes of `output` that were taken in."""

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield its events since the last call; half a line, which a killed driver may leave, is none."""
        with self.output.open("rb") as file:
            file.seek(self.read)
            text = file.read().rpartition(b"\n")[0]
        self.read += len(text) + 1 if text else 0
        yield from map(json.loads, text.splitlines())


@dataclass
class ProcessGroup:
    """Run some drivers of one study, and replace each that dies."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    namespaces: bool = False
    """Whether every second driver has a PID namespace of its own."""
    apart: bool = False
    """Whether every driver works in a folder of its own, as on a host that shares no disk with others. Where one dies
    the next is on another host; where it ended by itself, or its disk holds what the storage still lacks, on the same
    one: what lies on one disk alone goes with that."""
    drivers: list[Driver] = field(default_factory=list)
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    """The records of the epochs that the drivers printed so far."""
    crashed: list[str] = field(default_factory=list)
    """The last words of drivers that ended by themselves and without success."""
    asleep: dict[int, float] = field(default_factory=dict)
    """When to wake the processes that were stopped, by pid; a group of processes by its negative number."""
    heard: float = 0.0
    """When a driver last began or said something, by the monotonic clock."""

    def start(self, host: Path | None = None) -> None:
        """Start one more driver, and all that it starts as one group of processes.

        Args:
            host: the folder in which it works; None is that of all, or a new one where each has its own.
        """
        contained = CONTAINED if self.namespaces and len(self.drivers) % 2 else ()
        output, log = (self.folder / f"driver-{len(self.drivers)}.{kind}" for kind in ("jsonl", "log"))
        here = host or (self.folder / f"host-{len(self.drivers)}" if self.apart else self.folder)
        here.mkdir(exist_ok=True)
        with output.open("wb") as events, log.open("wb") as errors:
            process = subprocess.Popen(
                [*contained, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=events,
                stderr=errors,
                cwd=here,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.drivers.append(Driver(process, output, log, here, bool(contained)))
        self.heard = time.monotonic()

    def poll(self) -> bool:
        """Listen, wake who slept long enough, replace the dead; False where every driver is done."""
        for driver in list(self.drivers):
            gone = driver.process.poll() is not None  # before it is listened to: what it says last must be heard
            events = list(driver.events())
            self.acknowledged += [event["record"] for event in events if event.get("record")]
            if events:
                self.heard = time.monotonic()
            if gone and not driver.replaced and driver.process.returncode not in DONE:
                self.replace(driver)
        self.wake()
        self.end_overdue()
        return bool(self.working())

    def replace(self, driver: Driver) -> None:
        driver.replaced = True
        code, words = driver.process.returncode, driver.log.read_text().strip().splitlines() or ["it said nothing"]
        away = any(code == its_code and its_words in words[-1] for its_code, its_words in AWAY)
        asked = driver.killed or (driver.preempted and code in PREEMPTED)
        if not asked and not away:
            self.crashed.append(f"exit code {code}: {words[-1]}")
        if sum(each.replaced and not (each.killed or each.preempted) for each in self.drivers) < HOPELESS:
            self.start(driver.host if away or any(driver.host.glob(f"*/{SPOOL_FOLDER}/*.jsonl")) else None)

    def silent_seconds(self) -> float:
        """Return for how many seconds no driver has begun or said anything."""
        return time.monotonic() - self.heard

    def working(self) -> list[Driver]:
        return [driver for driver in self.drivers if driver.process.poll() is None]

    def kill(self, pid: int) -> None:
        """Send SIGKILL to a driver or to a worker of one."""
        for driver in self.drivers:
            driver.killed |= driver.process.pid == pid
        self.asleep.pop(pid, None)
        send(pid, signal.SIGKILL)

    def preempt(self, pid: int, seconds: float) -> None:
        """Send SIGTERM to a driver, as a scheduler does that wants its machine: it has so many seconds to end."""
        for driver in self.drivers:
            if driver.process.pid == pid and not driver.preempted:
                driver.preempted, driver.overdue = True, time.monotonic() + seconds
        send(pid, signal.SIGTERM)

    def end_overdue(self) -> None:
        """Kill what was to end by itself, and has not."""
        for driver in self.working():
            if time.monotonic() > driver.overdue and not driver.killed:
                self.crashed.append("no exit code: it went on after SIGTERM")
                self.kill(driver.process.pid)

    def stop(self, pid: int, seconds: float) -> None:
        """Send SIGSTOP: the process or group hangs, and goes on `seconds` later as if nothing had happened."""
        self.asleep[pid] = time.monotonic() + seconds
        send(pid, signal.SIGSTOP)

    def wake(self) -> None:
        now = time.monotonic()
        for pid in [pid for pid, when in self.asleep.items() if when <= now]:
            del self.asleep[pid]
            send(pid, signal.SIGCONT)

    def __enter__(self) -> "ProcessGroup":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        for pid in self.asleep:
            send(pid, signal.SIGCONT)
        for driver in self.drivers:
            driver.process.kill()
            driver.process.wait()


def send(pid: int, what: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, what)
