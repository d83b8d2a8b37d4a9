"""Commands of a few words of shell, and the trials that they train."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoaug import Command, Task, Trial
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.mixing import Mix, build
from autoaug.policy import Fixed, ready
from autoaug.processes import having
from autoaug.train import Learner, NullLearner

TOLD = 'told() { sed -n "s/^ *\\"$1\\": \\"*\\([^\\",]*\\)\\"*,*$/\\1/p" "$AUTOAUG_TRIAL" | head -n 1; }\n'
SAY = 'metrics=$(told metrics)\nsay() { echo "$1" >> "$metrics"; }\n'


def shell(script: str, **more: Any) -> Command:
    """A script that reads trial.json by `told` and appends a line by `say`."""
    return Command(["sh", "-c", TOLD + SAY + script], **{"grace": 5.0, **more})


def python(script: Path, *words: str) -> Command:
    """A file of Python with its arguments."""
    return Command([sys.executable, str(script), *words], grace=20.0)


def epochs(last: int, total: int, first: int = 1) -> str:
    """Words that report some epochs, with the score 0.1 in the first, 0.2 in the second and so on."""
    return "\n".join(f"say {shlex.quote(line_of(epoch, total))}" for epoch in range(first, last + 1))


def line_of(epoch: int, total: int) -> str:
    """The line of an epoch."""
    return f'{{"epoch": {epoch}, "epochs": {total}, "val_accuracy": {epoch / 10}}}'


def trial_in(
    folder: Path,
    attempt: int = 1,
    task: Task | None = None,
    mix: Mix | None = None,
    learner: Learner | None = None,
    every_seconds: float = 0.0,
    **more: Any,
) -> Trial:
    """An attempt at a trial whose checkpoints lie in a folder."""
    earlier = [f"{k}.pt" for k in range(attempt - 1, 0, -1)]
    given: dict[str, Any] = {
        "checkpoint": Checkpoint(Folder(folder), f"{attempt}.pt", earlier, every_seconds, "this trial"),
        "pulse": lambda: None,
    }
    return Trial(
        {"lr": 0.25},
        Fixed(ready.trivialaugment()),
        mix or build("mixup", alpha=0.4),
        learner or NullLearner(),
        task or Task(data=None, epochs=3, device="cpu"),
        7,
        **given | more,
    )


def alive(folder: Path, attempt: int = 1) -> list[int]:
    """The processes of the command of an attempt."""
    return having(f"AUTOAUG_TRIAL={folder / 'command' / f'attempt-{attempt}' / 'trial.json'}")


@contextmanager
def none_left(folder: Path) -> Iterator[None]:
    """Nothing that the command of the block has started goes on after it."""
    try:
        yield
    finally:
        assert alive(folder) == []
