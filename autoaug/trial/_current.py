"""The trial of this process, where a study has started it by a `Command`."""

import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from autoaug.artifacts import location, place_of
from autoaug.checkpoint import Checkpoint
from autoaug.interruption import Interruption
from autoaug.mixing import build
from autoaug.policy import Fixed, load_tree
from autoaug.processes import is_gone
from autoaug.seeding import derive_seed
from autoaug.train import NullLearner, Task
from autoaug.trial._door import Loop, opened, records
from autoaug.trial._explain import explain
from autoaug.trial._protocol import VARIABLE, append, read_trial
from autoaug.trial._ranks import Ranks, lost_peer
from autoaug.trial._trial import Trial

PULSE_SECONDS = 1.0
"""Between two signs that the training gets on."""

ENDED_BY_SIGTERM = 128 + signal.SIGTERM
"""The exit status of a process that was asked to end, as shells have it."""

OF_A_RANK = ("augment", "mix")
"""Streams that differ between the ranks, which have images of their own. Weights and orders are equal."""


class Current(Trial):
    """The trial of this process, as `trial.json` tells it to the child of a `Command`.

    It is what a loop is given in the worker, and `run` does here what the worker does there.

    Args:
        told: what trial.json holds.
        ranks: the processes that train it together.
    """

    def __init__(self, told: Mapping[str, Any], ranks: Ranks) -> None:
        task = Task(**told["task"])
        self.ranks, self.grace, self.worker = ranks, float(told["grace"]), str(told["worker"])
        self.metrics_file, self.pulse_file = Path(told["metrics"]), Path(told["pulse"])
        self.folder = Path(told["folder"])
        """Which all attempts at the trial share, for whatever the loop keeps itself."""
        self.asked_to_end, self.touched = False, 0.0
        super().__init__(
            told["params"],
            Fixed(load_tree(told["policy"]), compose=told["compose"]),
            build(told["mix"]["kind"], **{name: value for name, value in told["mix"].items() if name != "kind"}),
            NullLearner(),
            task,
            told["seed"],
            metric=told["metric"],
            final=told["final"],
            data=None if task.data is None else task.load(test=told["final"]),
            checkpoint=checkpoint_of(told["checkpoint"], ranks),
            validates=told["validates"],
            pulse=self.touch,
            interruption=Interruption(),
        )
        self.device = ranks.device(self.device)
        self.policy.to(self.device)
        self.part()

    def touch(self) -> None:
        """Show the worker that the training gets on."""
        now = time.monotonic()
        if self.ranks.reports and now - self.touched > PULSE_SECONDS:
            self.touched = now
            with suppress(OSError):
                os.utime(self.pulse_file)

    def enter_epoch(self) -> None:
        """Begin the next epoch."""
        super().enter_epoch()
        self.part()

    def part(self) -> None:
        """Give each rank streams of its own, which follow from the epoch: one that is resumed draws the same."""
        if self.ranks.world > 1:
            for name in OF_A_RANK:
                self.streams[name].manual_seed(derive_seed(self.seed, name, self.ranks.rank, self.epoch))

    def say(self, **line: Any) -> None:
        """Append a line to the file of metrics."""
        append(self.metrics_file, line)

    def run(self, loop: Loop) -> None:
        """Run a loop, and report each epoch that it yields to the study.

        Where there are several ranks each of them calls it: what rank 0 yields is reported, and they end together.

        Raises:
            SystemExit: the process was asked to end, at a yield or where one took longer than half of the grace.
            Exception: whatever the loop raises; the study hears of it.
        """
        if self.ranks.reports:
            self.say(begun=True)
        try:
            with self.told_to_end():
                self.follow(loop)
        except KeyboardInterrupt:
            sys.exit(ENDED_BY_SIGTERM)
        except Exception as error:
            if not lost_peer(error):
                self.say(error=explain(error))
            raise
        if self.ranks.reports:
            self.say(ended=True)

    def follow(self, loop: Loop) -> None:
        """Run a loop to its end, or until the ranks are to end.

        Raises:
            KeyboardInterrupt: they are, and the loop has been closed.
        """
        reports = self.judged(loop) if self.ranks.reports else self.unjudged(loop)
        with closing(reports):
            for metrics in reports:
                to_end = self.ranks.agree(self.epoch, self.asked_to_end or is_gone(self.worker))
                if self.ranks.reports:
                    self.say(epoch=self.epoch, epochs=self.total_epochs, images=self.images, **metrics)
                if not to_end:
                    continue
                if self.augmented_epochs is None:
                    raise KeyboardInterrupt
                self.interruption.request()  # it saves after its yield, and goes

    def judged(self, loop: Loop) -> Generator[Mapping[str, float], None, None]:
        """Yield the metrics of each epoch as the door lets them through."""
        with closing(records(loop, self)) as epochs:
            for record in epochs:
                yield record.metrics

    def unjudged(self, loop: Loop) -> Generator[Mapping[str, float], None, None]:
        """Yield nothing for each epoch of a rank that does not report."""
        with self.steps.watched(), opened(loop, self) as epochs:
            while True:
                with self.generators.in_use():
                    try:
                        next(epochs)
                    except StopIteration:
                        return
                if self.augmented_epochs is None:
                    self.epoch += 1
                yield {}

    @contextmanager
    def told_to_end(self) -> Iterator[None]:
        """Let SIGTERM end the loop at its next yield, or where it is once half of the grace is over.

        Outside the main thread nobody hears a signal.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def hear(number: int, frame: FrameType | None) -> None:
            if not self.asked_to_end:
                signal.setitimer(signal.ITIMER_REAL, self.grace / 2)
            self.asked_to_end = True

        def interrupt(number: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
        signal.signal(signal.SIGTERM, hear)
        signal.signal(signal.SIGALRM, interrupt)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)


class Unwritten(Checkpoint):
    """The checkpoint of a rank that does not write: it goes on from that of rank 0."""

    def due(self, *, within_epoch: bool = False, at_end: bool = False) -> bool:
        """Whether one is to be written: never."""
        return False

    def save(self, state: Any) -> None:
        """Write nothing."""


def checkpoint_of(told: Mapping[str, Any] | None, ranks: Ranks) -> Checkpoint | None:
    """Return from where the training goes on; None where nothing is kept."""
    if told is None:
        return None
    fields = {name: value for name, value in told.items() if name != "place"}
    kind = Checkpoint if ranks.reports else Unwritten
    return kind(place_of(location(told["place"])), **fields)


def current() -> Current:
    """Return the trial for which a study has started this process, by a `Command`.

    Raises:
        RuntimeError: no study has started it.
        ValueError: what it was told cannot be read, or is of another version of autoaug.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        raise RuntimeError(
            f"{VARIABLE} is not set: no study has started this process; give the study train=Command([...]) with it"
        )
    return Current(read_trial(Path(path)), Ranks.of_environment())
