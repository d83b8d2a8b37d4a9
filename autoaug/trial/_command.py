"""Any command as a training loop: it is told of its trial by a file, and appends the metrics of each epoch to another.

docs/how-to/command.md is the protocol.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from autoaug.artifacts import Folder
from autoaug.fields import Refused, Within, check_fields
from autoaug.trial._child import Child, kill_all
from autoaug.trial._conversation import Conversation, Lost
from autoaug.trial._protocol import VARIABLE, Files, write_trial
from autoaug.trial._trial import Trial


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
            except Lost:
                raise
            except Exception:
                files.note_taken(int(files.attempt), files.last_epoch())  # it failed: nobody asks for more of it
                raise
            finally:
                child.stop(soon=trial.interruption.requested)


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
