"""The process of a command, and whatever it has started: told to end, and killed where it does not."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path

from autoaug.devices import ELSEWHERE, cpu_seconds
from autoaug.processes import having
from autoaug.text import shown

POLL_SECONDS = 0.05
"""Between two looks at a command."""

MOMENT = 0.5
"""Seconds that a command has to end where somebody has asked for the end of its worker a second time."""

KILLED = "told to end by SIGTERM, it had not ended in time and was killed"
"""What the output of a command ends with that did not end when it was told to."""

GUARD = """
read -r over && exit
kill -s TERM -- "-$1"
seconds=0
while [ "$seconds" -lt "$2" ] && kill -s 0 -- "-$1"; do
  sleep 1
  seconds=$((seconds + 1))
done
kill -s KILL -- "-$1"
"""
"""Waits beside a command until the worker says that it is over, or is gone without a word, as after `kill -9`: then the
pipe between them ends, and the command is told to end in its stead. It wants the group of processes and the seconds."""

TAIL = 5
"""Last lines of the output that an error holds."""


class Child:
    """Run a command in a session of its own, and know its processes by a setting of their environment.

    Launchers such as torchrun give their ranks sessions of their own: neither a group nor a session holds them all.

    Raises:
        ValueError: the command cannot be started.
    """

    def __init__(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], mark: tuple[str, str], log: Path, grace: float
    ) -> None:
        self.argv, self.log, self.grace = argv, log, grace
        self.mark = "=".join(mark)
        self.start, self.counted = time.perf_counter(), 0.0
        environment = {**os.environ, **env, mark[0]: mark[1]}
        try:
            with log.open("wb") as output:
                self.process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            raise ValueError(
                f"the command {argv[0]!r} cannot be started in {cwd}: {error.strerror}: give a program that is on the "
                "PATH there, or Command(cwd=)"
            ) from None
        self.guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self.process.pid), str(ceil(grace))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def is_over(self) -> bool:
        """Wait a moment, and return whether the command has ended."""
        self.wait(POLL_SECONDS)
        return self.process.returncode is not None

    def wait(self, seconds: float) -> None:
        """Wait for its end, but no longer than that, and count what it has spent before the system forgets it."""
        end = time.monotonic() + seconds
        while self.process.returncode is None:
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                self.count()
                self.process.wait()
            elif time.monotonic() > end:
                return
            else:
                time.sleep(min(seconds, POLL_SECONDS) / 4)

    def stop(self, *, soon: bool = False) -> None:
        """Ask it to end, wait for as long as it is given, and kill what is left.

        Args:
            soon: whether to wait no longer than a moment.
        """
        try:
            if self.process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGTERM)
                self.wait(min(self.grace, MOMENT) if soon else self.grace)
        finally:
            self.kill()
            self.count()

    def kill(self) -> None:
        """Kill whatever is left of the command and of what it has started."""
        self.count()
        if self.process.returncode is None:
            with self.log.open("a", encoding="utf-8") as output:
                print(f"autoaug: {KILLED}", file=output)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.guard.returncode is None:
            self.guard.communicate(b"over\n")
        kill_all(self.mark)

    def count(self) -> None:
        """Count what its processes have spent since the last call as this process's.

        Of a command that has ended the system knows it, with what it had started: then nothing is counted beside that.
        """
        if self.process.returncode is not None:
            ELSEWHERE.add(-self.counted)
            self.counted = 0.0
            return
        known = [cpu_seconds(pid) for pid in {self.process.pid, *having(self.mark)}]
        spent = sum(seconds for seconds in known if seconds is not None)
        if not Path("/proc/self/stat").exists():
            spent = time.perf_counter() - self.start
        if spent > self.counted:  # of a process that has just ended nothing can be read
            ELSEWHERE.add(spent - self.counted)
            self.counted = spent

    def last_words(self) -> str:
        """Return the last lines of its output, and where all of it is."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        words = shown(" / ".join([line for line in lines if line.strip()][-TAIL:]), 500)
        return f"its last words: {words} (all are in {self.log})" if words else "it said nothing"


def kill_all(mark: str) -> None:
    """Kill every process with a setting in its environment, and those that they start meanwhile."""
    while pids := having(mark):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
