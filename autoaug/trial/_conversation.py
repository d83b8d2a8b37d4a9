"""What a command says while it runs becomes the epochs of its trial, and how it ended is judged."""

import signal
import time
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from autoaug.fields import short
from autoaug.text import read
from autoaug.trial._child import Child
from autoaug.trial._protocol import EXAMPLE, NEVER, Files, Lines
from autoaug.trial._trial import Trial


class Lost(Exception):
    """The process of a training died, which says nothing of its point: the trial is queued again, and resumed."""


ABOUT_ITSELF = {"begun", "ended", "error"}
"""Keys of lines that hold no metrics."""


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
        self.deadline, self.touched = inf, NEVER

    def epochs(self) -> Iterator[Mapping[str, Any]]:
        """Yield the metrics of each epoch; raise where the command ends otherwise than it should.

        Raises:
            KeyboardInterrupt: the worker is asked to end; the command was ended before.
        """
        over, interruption = False, self.trial.interruption
        while not over:
            if to_end := interruption.requested:
                self.child.stop()
            else:
                interruption.obey()
            over = self.child.is_over()  # before its file is read: what it wrote last is not missed
            for line in self.lines.new(ended=over and not to_end):  # what was killed may leave half a line
                self.trial.pulse()
                yield from self.reports(line)
            if to_end:
                interruption.obey()
            self.look()
            if time.monotonic() > self.deadline:
                return self.give_up()
        if not self.epoch and self.child.process.returncode == 0:
            yield from self.earlier(whole=True)
        self.check_end(self.child.process.returncode)

    def reports(self, line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the metrics of a line, if it has any; before the first those of epochs that the study has not taken."""
        if not self.epoch and line.keys() - ABOUT_ITSELF:
            yield from self.earlier(before=line.get("epoch"))
        if metrics := self.take(line):
            self.child.count()
            yield metrics
            self.files.note_taken(int(self.files.attempt), self.epoch)

    def earlier(self, before: Any = None, *, whole: bool = False) -> Iterator[Mapping[str, Any]]:
        """Yield what earlier attempts reported and the study has not taken: their worker was killed meanwhile.

        Args:
            before: the first epoch of this attempt; later ones are trained again. Where it has none it begins anew.
            whole: whether this attempt trains nothing, as all was done: then the last epoch at least is reported again.
        """
        owed = self.files.owed(whole=whole)
        for epoch in sorted(owed):
            attempt, line = owed[epoch]
            if whole or (isinstance(before, int) and epoch < before):
                yield self.take(line)
                self.files.note_taken(attempt, epoch)

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
        if total is not None and self.trial.task.total_epochs not in (None, total):
            raise ValueError(
                f"{self.where}: epoch {epoch} of {total}, and the study fixes the total: make as many as total_epochs, "
                f"{self.trial.task.total_epochs}, as trial.json says by epochs and refine_epochs"
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
        """See whether the command gets on."""
        touched = self.files.pulse.stat().st_mtime_ns
        if touched != self.touched:
            self.touched = touched
            self.trial.pulse()

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
