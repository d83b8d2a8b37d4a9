"""What a command is told of its trial, `trial.json`, and what it says of it, lines of JSON."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoaug.checkpoint import Checkpoint
from autoaug.fields import short
from autoaug.mixing import described
from autoaug.policy import Fixed
from autoaug.processes import process_name
from autoaug.train import READ_BY_LOOPS, Task
from autoaug.trial._trial import Trial

FORMAT = "autoaug.trial/1"
"""The version of trial.json. What it holds may change: one of another version is refused."""

VARIABLE = "AUTOAUG_TRIAL"
"""The environment variable that holds the path of trial.json."""

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

    def reported(self) -> int:
        """Return the last epoch that earlier attempts have reported, 0 where they reported none."""
        files = set(self.folder.glob(f"attempt-*/{self.metrics.name}")) - {self.metrics}
        return max((last_epoch(path) for path in files), default=0)


def last_epoch(path: Path) -> int:
    """Return the largest epoch in a file of metrics, 0 where there is none; what cannot be read is passed over."""
    try:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    except (OSError, ValueError):
        return 0
    epochs = [line.get("epoch") for line in lines if isinstance(line, dict)]
    return max((epoch for epoch in epochs if isinstance(epoch, int)), default=0)


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
