"""The door: what a training loop yields becomes the records of a trial, whoever wrote the loop."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import GEN_SUSPENDED, getgeneratorstate
from traceback import clear_frames
from typing import Any

import torch

from autoaug.devices import Clock
from autoaug.record import Record
from autoaug.train import train
from autoaug.trial._reports import Reports
from autoaug.trial._trial import Trial

Loop = Callable[[Trial], Iterator[Mapping[str, Any] | Record]]
"""A training: yields the metrics of each epoch, or a whole record of it."""

Epochs = Generator[Mapping[str, Any] | Record, None, None]
"""What a loop makes of a trial."""

WENT_ON = (
    "the loop went on when it was closed: let GeneratorExit pass, which `except:` and `except BaseException` around a "
    "yield catch"
)
"""What is wrong with a loop that yields where it is closed."""


def fit(trial: Trial) -> Iterator[Record]:
    """Train the task of a trial by autoaug's own trainer, which is a loop like any other."""
    return train(
        trial.task,
        trial.policy,
        trial.mix,
        trial.learner,
        torch.Generator().manual_seed(trial.seed),
        trial.checkpoint,
        test=trial.final,
        validate=trial.validates,
        data=trial.data,
        pulse=trial.pulse,
        interruption=trial.interruption,
        finished=trial.finished,
    )


def records(loop: Loop, trial: Trial) -> Generator[Record, None, None]:
    """Run a loop, and yield a record of each epoch that it reports.

    The loop has global generators of its own, seeded by the trial. Closing the records closes the loop, whose `finally`
    blocks then run; `Trial.close_error` says what went wrong there.

    Raises:
        TypeError: the loop is no generator function, or yields no metrics.
        ValueError: its metrics lack that of the study, or hold some that it may not give; it ended too early, or
            ignored the policy, the mix or the learner of its strategy.
        Diverged: a metric is NaN or infinite.
        RuntimeError: the loop called `sys.exit`.
        KeyboardInterrupt: the end was asked for, and the loop has come to it.
    """
    reports = Reports(trial)
    with trial.steps.watched(), opened(loop, trial) as epochs:
        while True:
            clock, wall = Clock(trial.device), time.perf_counter()
            with trial.generators.in_use(), no_exit(trial):
                try:
                    reported = next(epochs)
                except StopIteration:
                    break
            try:
                record = reports.record(reported, clock, wall)
            except Exception as error:
                throw_into(epochs, error, trial)
                raise
            yield record
        if trial.epoch != trial.total_epochs:
            trial.interruption.obey()  # a bare `except:` of the loop has swallowed it
        reports.check_end()


@contextmanager
def no_exit(trial: Trial) -> Iterator[None]:
    """Take an exit of the process that a loop asks for in the block as a failure of its own, or an end that was asked.

    Raises:
        RuntimeError: it called `sys.exit`.
        KeyboardInterrupt: it did, and the end was asked for from outside.
    """
    try:
        yield
    except SystemExit as end:
        if trial.interruption.requested:
            raise KeyboardInterrupt from end
        raise RuntimeError(
            f"the loop called sys.exit({end.code!r}), which would end all trials of the process: raise an error that "
            "says why; a parser of arguments reads those of a study by parse_args([])"
        ).with_traceback(end.__traceback__) from end


@contextmanager
def opened(loop: Loop, trial: Trial) -> Iterator[Epochs]:
    """Yield the generator of a loop, and close it after the block, whatever happened there."""
    with trial.generators.in_use():
        trial.generators.seed(trial.seed)
        epochs = begun(loop, trial)
    try:
        yield epochs
    finally:
        with trial.generators.in_use():
            close(epochs, trial)


def begun(loop: Loop, trial: Trial) -> Epochs:
    """Return the generator of a loop; raise TypeError where it makes none, or trains before it makes one."""
    name = getattr(loop, "__qualname__", type(loop).__name__)
    how = 'yield the metrics of an epoch at its end, as in `yield {"val_accuracy": ...}`'
    trial.refusal = f"{name} is no generator function, and trains without a yield: {how}"
    with no_exit(trial):
        epochs = loop(trial)
    trial.refusal = ""
    if not isinstance(epochs, Generator):
        raise TypeError(f"{name} is no generator function, it gives a {type(epochs).__name__}: {how}")
    return epochs


def close(epochs: Epochs, trial: Trial) -> None:
    """Close a loop, and keep what went wrong in that: why it was closed is more important."""
    try:
        epochs.close()
    except Exception as error:
        trial.close_error = RuntimeError(WENT_ON) if getgeneratorstate(epochs) == GEN_SUSPENDED else error
        let_go(error)


def throw_into(epochs: Epochs, error: Exception, trial: Trial) -> None:
    """Raise an error where the loop rests, so that its traceback has the line; nothing where the loop catches it."""
    try:
        with trial.generators.in_use(), suppress(StopIteration):
            epochs.throw(error)
    finally:
        del error  # its traceback has this frame: together they would keep what the loop holds, a network on a GPU too


def let_go(error: BaseException | None) -> None:
    """Let the frames of an error that is kept forget what they hold, such as the network of a loop."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__
