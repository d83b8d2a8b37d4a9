"""Any command as a training loop: it is told of its trial by a file, and appends the metrics of each epoch to another.

docs/how-to/command.md is the protocol.
"""

import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from autoaug.artifacts import Folder
from autoaug.fields import Refused, Within, check_fields, short
from autoaug.text import read
from autoaug.trial._child import Child, kill_all
from autoaug.trial._protocol import EXAMPLE, VARIABLE, Files, Lines, write_trial
from autoaug.trial._trial import Trial


class Lost(Exception):
    """The process of a training died, which says nothing of its point: the trial is queued again, and resumed."""


def argv_of(given: Any) -> tuple[str, ...]:
    """Return the words of a command."""
    if isinstance(given, str) or not isinstance(given, list | tuple) or not given:
        raise Refused('a list of words, such as ["python", "train.py"]')
    if not all(isinstance(word, str) and "\0" not in word for word in given) or not given[0].strip():
        raise Refused("texts without NUL, the first of which is a program")
    return tuple(given)


def environment_of(given: Any) -> dict[str, str]:
    """Return settings of an environment."""
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise Refused("a dict from texts to texts")
    return dict(given)


@dataclass(frozen=True, repr=False)
class Command:
    """Train by a command, whatever it is written in, as `Study(train=Command(["torchrun", "train.py"]))`.

    It finds the path of `trial.json` in AUTOAUG_TRIAL, and appends a line of JSON with the metrics of each epoch to the
    file that is named there. In Python `autoaug.current()` does both.

    Raises:
        ValueError: a field cannot be used; the message names it.

    >>> from autoaug.trial import Command
    >>> Command(["python", "train.py"])
    Command(['python', 'train.py'])
    >>> Command("python train.py")
    Traceback (most recent call last):
    ValueError: Command.argv is 'python train.py': give a list of words, such as ["python", "train.py"]
    """

    argv: Annotated[tuple[str, ...] | list[str], argv_of]
    """The program and its arguments; no shell reads them."""
    grace: Annotated[float, Within(0.1, 3600)] = 30.0
    """Seconds between SIGTERM and SIGKILL where a trial is pruned or interrupted, and from the last epoch on."""
    env: Annotated[Mapping[str, str], environment_of] = field(default_factory=dict)
    """Settings of its environment, beside those of the worker."""
    cwd: Path = field(default_factory=Path.cwd)
    """The folder in which it runs; the one in which the study was defined, where nothing is said."""

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "cwd", self.cwd.absolute())  # workers run elsewhere

    def __repr__(self) -> str:
        """Return it as a study stores it: the same wherever it runs, without folders and the environment."""
        return f"Command({[anywhere(word) for word in self.argv]})"

    def check(self) -> None:
        """Refuse a command that cannot be started here.

        Raises:
            ValueError: its folder or its program is not there; the message names it.
        """
        if not self.cwd.is_dir():
            raise ValueError(f"the command runs in {self.cwd}, and there is no such folder: give Command(cwd=)")
        program = self.argv[0]
        if shutil.which(self.cwd / program if "/" in program else program, path=self.env.get("PATH")) is None:
            raise ValueError(f"there is no program {program!r} to be run in {self.cwd}: give one that is on the PATH")

    def __call__(self, trial: Trial) -> Iterator[Mapping[str, Any]]:
        """Run the command for a trial, and yield the metrics of each epoch that it reports.

        Raises:
            Lost: it was killed, or ended without a word though it had promised one.
            RuntimeError: it failed; the message holds its last words.
            ValueError: it cannot be started, wrote what is no report, or ended too early.
        """
        trial.used |= {"policy", "mix"}  # whether it uses what it is told nobody can see from here
        with folder_of(trial) as folder:
            files = Files(folder, Path(trial.checkpoint.write).stem if trial.checkpoint else "1")
            for earlier in folder.glob("attempt-*/trial.json"):
                kill_all(f"{VARIABLE}={earlier}")  # its worker was killed, and it goes on for nobody
            write_trial(trial, files, self.grace)
            child = Child(self.argv, self.cwd, self.env, (VARIABLE, str(files.trial)), files.log, self.grace)
            try:
                yield from Conversation(trial, child, files).epochs()
            finally:
                child.stop()


def anywhere(word: str) -> str:
    """Return a word of a command as it is on every machine: of an absolute path its name."""
    if word == sys.executable:
        return "python"
    return Path(word).name if Path(word).is_absolute() else word


@contextmanager
def folder_of(trial: Trial) -> Iterator[Path]:
    """Yield the folder of a trial's command; a temporary one where its checkpoints do not lie in a folder."""
    place = trial.checkpoint.place if trial.checkpoint else None
    if isinstance(place, Folder):
        yield place.path.absolute() / "command"
        return
    with TemporaryDirectory(prefix="autoaug-") as folder:
        yield Path(folder)


class Conversation:
    """Listen to a command while it runs, and judge how it ended."""

    def __init__(self, trial: Trial, child: Child, files: Files) -> None:
        self.trial, self.child, self.files = trial, child, files
        self.lines, self.epoch = Lines(files.metrics), 0
        self.total: int | None = None
        """Epochs, refinement included, where the command has said it."""
        self.begun = self.ended = False
        """Whether it has promised to say why it fails, and whether it has said that it is done."""
        self.error = ""
        self.deadline, self.touched = inf, files.pulse.stat().st_mtime_ns

    def epochs(self) -> Iterator[Mapping[str, Any]]:
        """Yield the metrics of each epoch; raise where the command ends otherwise than it should."""
        over = False
        while not over:
            over = self.child.is_over()  # before its file is read: what it wrote last is not missed
            for line in self.lines.new(ended=over):
                self.trial.pulse()
                if metrics := self.take(line):
                    self.child.count()
                    yield metrics
            self.look()
            if time.monotonic() > self.deadline:
                return self.give_up()
        self.check_end(self.child.process.returncode)

    def take(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Take in a line, and return the metrics in it; empty where it holds none."""
        metrics = dict(line)
        self.begun = bool(metrics.pop("begun", False)) or self.begun
        self.ended = bool(metrics.pop("ended", False)) or self.ended
        if "error" in metrics:
            self.error = self.error or read(metrics["error"]).strip() or "it does not say why"
            self.deadline = time.monotonic() + self.child.grace
            return {}
        if metrics:
            self.enter(metrics.pop("epoch", self.epoch + 1), metrics.pop("epochs", self.total))
            self.trial.images = self.whole("images", metrics.pop("images", 0), 0)
        return metrics

    def enter(self, epoch: Any, total: Any) -> None:
        """Let the trial be where the command is."""
        trial, refining = self.trial, self.trial.task.refine_epochs
        if self.whole("epoch", epoch, 1) <= self.epoch:
            raise ValueError(f"{self.where}: epoch {epoch} comes after epoch {self.epoch}: report each epoch once")
        if total is not None and self.whole("epochs", total, 1) < max(epoch, refining + 1):
            raise ValueError(
                f"{self.where}: epoch {epoch} of {total}: give all epochs, and those of refinement ({refining}) too"
            )
        self.epoch, self.total = epoch, total
        if total is None and refining:
            raise ValueError(
                f"{self.where}: the study has refinement epochs ({refining}): say in each line how many epochs there "
                f"are with them, such as {EXAMPLE}"
            )
        if total is None:
            trial.epoch = epoch - 1  # the door counts from there
            return
        trial.epoch, trial.augmented_epochs = epoch, total - refining
        if epoch == total:
            self.deadline = time.monotonic() + self.child.grace

    def whole(self, name: str, value: Any, least: int) -> int:
        """Return a whole number of a line; raise ValueError where it is none."""
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{self.where}: {name} is {short(value)}: give a whole number of at least {least}")
        return value

    @property
    def is_whole(self) -> bool:
        """Whether all epochs are reported that it has spoken of."""
        return self.epoch > 0 and self.total in (None, self.epoch)

    @property
    def where(self) -> str:
        """Return which line is spoken of."""
        return f"line {self.lines.number} of {self.files.metrics}"

    def look(self) -> None:
        """See whether the command gets on, and whether the worker is asked to end.

        Raises:
            KeyboardInterrupt: it is; the command was ended before.
        """
        touched = self.files.pulse.stat().st_mtime_ns
        if touched != self.touched:
            self.touched = touched
            self.trial.pulse()
        self.trial.interruption.obey(self.child.stop)

    def give_up(self) -> None:
        """End a command that goes on though it has reported all epochs, or an error."""
        self.child.stop()
        if self.error:
            raise RuntimeError(f"the command failed: {self.error}")

    def check_end(self, status: int) -> None:
        """Judge how a command has ended by its exit status, negative where a signal ended it."""
        said, number = self.child.last_words(), signal_of(status)
        if self.error:
            raise RuntimeError(f"the command failed: {self.error}")
        if self.is_whole and (self.ended or (self.total and (number or self.begun))):
            return  # it had nothing more to say: launchers and process groups may still break when they are taken down
        if number:
            raise Lost(f"its command was ended by {number}; {said}")
        if self.begun and not self.ended:
            raise Lost(f"its command, or one of its processes, ended without a word (exit status {status}); {said}")
        if status:
            raise RuntimeError(f"the command ended with exit status {status}; {said}")
        if not self.epoch:
            raise ValueError(
                f"the command ended with exit status 0 and reported no epoch: append a line such as {EXAMPLE} to the "
                f"file that trial.json names as metrics; {said}"
            )
        if self.total is not None and self.epoch < self.total:
            raise ValueError(f"the command ended with exit status 0 after epoch {self.epoch} of {self.total}; {said}")


def signal_of(status: int) -> str:
    """Return the name of the signal that ended a command, or by which a shell says that it ended its own; or empty."""
    number = -status if status < 0 else status - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
