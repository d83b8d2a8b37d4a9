"""What a command is told of its trial, `trial.json`, and what it says of it, lines of JSON."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoaug.checkpoint import Checkpoint
from autoaug.fields import short
from autoaug.mixing import described
from autoaug.policy import Fixed
from autoaug.processes import process_name
from autoaug.train import READ_BY_LOOPS, Task, annealed_epochs
from autoaug.trial._trial import Trial

FORMAT = "autoaug.trial/1"
"""The version of trial.json. What it holds may change: one of another version is refused."""

VARIABLE = "AUTOAUG_TRIAL"
"""The environment variable that holds the path of trial.json."""

NEVER = 0
"""When a pulse was touched that no command has touched: a clock's step is too coarse to tell the first touch apart."""

EXAMPLE = '{"epoch": 1, "epochs": 10, "val_accuracy": 0.9}'


@dataclass(frozen=True)
class Files:
    """Name the files between a worker and the command of one attempt."""

    folder: Path
    """Of the trial: its attempts share it, and the command may keep there what it goes on from."""
    attempt: str
    """The number of the attempt: files of an earlier one, which may live on, are never taken for ours."""

    def of_attempt(self, name: str) -> Path:
        """Return the path of a file that belongs to this attempt alone."""
        return self.folder / f"attempt-{self.attempt}" / name

    @property
    def trial(self) -> Path:
        """Return where the command is told of its trial."""
        return self.of_attempt("trial.json")

    @property
    def policy(self) -> Path:
        """Return where the policy is written."""
        return self.of_attempt("policy.json")

    @property
    def metrics(self) -> Path:
        """Return where the command appends a line for each epoch."""
        return self.of_attempt("metrics.jsonl")

    @property
    def pulse(self) -> Path:
        """Return the file that a command may touch within an epoch, to show that it gets on."""
        return self.of_attempt("pulse")

    @property
    def log(self) -> Path:
        """Return where the command's output goes."""
        return self.of_attempt("log.txt")

    @property
    def taken(self) -> Path:
        """Return where the worker notes which epochs the study has: a worker may be killed before it reads a line."""
        return self.folder / "taken.jsonl"

    def note_taken(self, attempt: int, epoch: int) -> None:
        """Keep that the study has all of earlier attempts and this one up to an epoch, or wants no more of them."""
        with suppress(OSError):  # then it is reported twice by the next attempt, if there is one
            append(self.taken, {"attempt": attempt, "epoch": epoch})

    def earlier(self) -> dict[int, dict[int, Mapping[str, Any]]]:
        """Return what earlier attempts have reported, by attempt and epoch."""
        numbers = [int(path.name.rpartition("-")[2]) for path in self.folder.glob("attempt-*")]
        of = {number: Files(self.folder, str(number)) for number in sorted(numbers)}
        return {number: reports_in(files.metrics) for number, files in of.items() if number != int(self.attempt)}

    def owed(self, *, whole: bool = False) -> dict[int, tuple[int, Mapping[str, Any]]]:
        """Return what earlier attempts have reported and the study has not taken: attempt and line by epoch.

        Args:
            whole: whether to return the last epoch even if it was taken, where it was the last of the training too.
        """
        taken = max([(line["attempt"], line["epoch"]) for line in lines_in(self.taken)], default=(0, 0))
        every = {
            (attempt, epoch): line for attempt, lines in self.earlier().items() for epoch, line in sorted(lines.items())
        }
        owed = {which[1]: (which[0], line) for which, line in every.items() if which > taken}
        if whole and not owed and every:
            (attempt, epoch), line = list(every.items())[-1]
            return {epoch: (attempt, line)} if line.get("epochs") == epoch else {}
        return owed

    def reported(self) -> int:
        """Return the last epoch that earlier attempts have reported, 0 where they reported none."""
        return max((epoch for lines in self.earlier().values() for epoch in lines), default=0)

    def last_epoch(self) -> int:
        """Return the last epoch that this attempt has reported, 0 where it reported none."""
        return max(reports_in(self.metrics), default=0)


def lines_in(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a file of lines; what cannot be read is passed over, and a file that is not there."""
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError, RecursionError):
                if isinstance(value := json.loads(line), dict):
                    yield value


def reports_in(path: Path) -> dict[int, Mapping[str, Any]]:
    """Return the lines of a file of metrics by their epoch; those that do not say theirs are left out."""
    lines = [line for line in lines_in(path) if type(line.get("epoch")) is int]
    return {line["epoch"]: line for line in lines}


def write_trial(trial: Trial, files: Files, grace: float) -> None:
    """Write trial.json and policy.json for a command.

    Raises:
        ValueError: the policy moves or the mix cannot be written down; the message says what to give instead.
    """
    if trial.learner.moves_policy or not isinstance(trial.policy, Fixed):
        raise ValueError(
            f"the policy of this strategy, a {type(trial.policy).__name__}, may move while it trains, and policy.json "
            "is written once, before the command starts: give Study(train=) a function instead of a Command"
        )
    for path in (files.metrics, files.pulse):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.utime(files.pulse, ns=(NEVER, NEVER))
    trial.policy.save(files.policy)
    told = {
        "format": FORMAT,
        "params": dict(trial.params),
        "policy": str(files.policy),
        "compose": trial.policy.compose,
        "mix": described(trial.mix),
        "seed": trial.seed,
        "metric": trial.metric,
        "final": trial.final,
        "epochs": trial.task.epochs,
        "refine_epochs": trial.task.refine_epochs,
        "mix_warmup": trial.task.mix_warmup,
        "annealed_epochs": annealed_epochs(trial.task, trial.task.epochs),
        "reported": files.reported(),
        "folder": str(files.folder),
        "metrics": str(files.metrics),
        "pulse": str(files.pulse),
        "grace": grace,
        "worker": process_name(),
        "validates": trial.validates,
        "task": plain_task(trial.task),
        "checkpoint": plain_checkpoint(trial.checkpoint),
    }
    files.trial.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def plain_task(task: Task) -> dict[str, Any]:
    """Return the fields of a task that a loop is given; data that a function reads are left out."""
    anchored = task.anchored()
    fields = {name: getattr(anchored, name) for name in READ_BY_LOOPS}
    return {name: None if callable(value) else value for name, value in fields.items()}


def plain_checkpoint(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    """Return from where a Python child goes on, and where it keeps that; None where nothing is kept."""
    if checkpoint is None:
        return None
    place = str(checkpoint.place)
    return {
        "place": place if "://" in place else str(Path(place).absolute()),
        "write": checkpoint.write,
        "earlier": list(checkpoint.earlier),
        "every_seconds": checkpoint.every_seconds,
        "of": checkpoint.of,
    }


def read_trial(path: Path) -> dict[str, Any]:
    """Return what trial.json holds.

    Raises:
        ValueError: there is none, or it is of another version.
    """
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{VARIABLE}={path}: no trial can be read there ({error}): let a study start it") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ValueError(
            f"{VARIABLE}={path} is of another version than {FORMAT}: let the autoaug that runs the study run it too"
        )
    return told


class Lines:
    """Follow a file to which a command appends JSON objects, one a line. A line without its end is waited for."""

    def __init__(self, path: Path) -> None:
        self.path, self.at, self.number = path, 0, 0

    def new(self, *, ended: bool = False) -> Iterator[Mapping[str, Any]]:
        """Yield the objects of the lines since the last call.

        Args:
            ended: whether nobody writes any more, so that the last line needs no end.

        Raises:
            ValueError: a line is no object; the message names it and its file.
        """
        with self.path.open("rb") as file:
            file.seek(self.at)
            text = file.read()
        whole = text if ended else text[: text.rfind(b"\n") + 1]
        self.at += len(whole)
        for line in whole.splitlines():
            self.number += 1
            if line.strip():
                yield self.parse(line)

    def parse(self, line: bytes) -> Mapping[str, Any]:
        """Return the object of a line."""
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ValueError(
                f"line {self.number} of {self.path} is no JSON object: {short(line.decode(errors='replace'))}: append "
                f"the metrics of each epoch as one line, such as {EXAMPLE}"
            )
        return value


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line to a file in one write, so that lines of several processes never mix."""
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")
