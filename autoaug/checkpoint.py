"""Files that are whole or absent: atomic writes, and the checkpoint of a training."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


FORMAT = "autoaug.checkpoint/1"
"""The version in a file. What is kept of a training may change: a file of another version is refused."""


class Useless(Exception):
    """A checkpoint from which a training cannot go on; the message is the reason."""


@dataclass
class Checkpoint:
    """Write the state of a training, and read it back from the attempts before.

    Each attempt writes to a path of its own, so that a worker that was thought dead cannot overwrite its successor.
    """

    write: Path
    earlier: Sequence[Path] = ()
    """Of the attempts before this one, the latest first; some may be missing."""
    every_seconds: float = 10.0
    """The longest stretch of work that a crash can cost, to within one epoch."""
    of: str = ""
    """Which training this is: one does not go on from the checkpoint of another."""
    last: float = field(default_factory=time.monotonic, init=False)
    trouble: str = field(default="", init=False)
    """Why the last one could not be written, and what is lost by a crash meanwhile; empty where it could."""
    passed_over: str = field(default="", init=False)
    """Which could not be gone on from, why, and from what instead; empty where all is well."""

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state, unless the last one is younger than `every_seconds`.

        A disk that is full or cannot be written to does not end a training: it goes on, at the risk of its work.
        """
        if time.monotonic() - self.last < self.every_seconds:
            return
        buffer = BytesIO()
        torch.save({"format": FORMAT, "of": self.of, "state": state()}, buffer)
        try:
            write_atomically(self.write, lambda file: file.write(buffer.getbuffer()))
            self.trouble = ""
        except OSError as error:
            self.trouble = f"no checkpoint: {error.strerror or error}"
        self.last = time.monotonic()

    def load(self, restore: Callable[[dict[str, Any]], object]) -> bool:
        """Go on from the latest state that is of any use: our own, or else that of an earlier attempt.

        Args:
            restore: takes a state, its tensors on the CPU. Where it raises, it leaves everything as it was.

        Returns:
            Whether there was one; otherwise the training begins anew.
        """
        useless: list[str] = []
        for path in filter(Path.exists, (self.write, *self.earlier)):
            try:
                self.try_from(path, restore)
            except Useless as why:
                useless.append(f"checkpoint {path.name} {why}")
            else:
                self.passed_over = "; ".join([*useless, f"went on from {path.name}"] if useless else [])
                return True
        self.passed_over = "; ".join([*useless, "began again"] if useless else [])
        return False

    def try_from(self, path: Path, restore: Callable[[dict[str, Any]], object]) -> None:
        """Restore the state of a file; raise Useless where it does not fit."""
        state = read(path, self.of)
        try:
            restore(state)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception:
            raise Useless("does not fit this training") from None


def read(path: Path, of: str) -> dict[str, Any]:
    """Return the state that a file holds of the training `of`, its tensors on the CPU.

    Raises:
        Useless: it cannot be read, or is something else. PyTorch would advise to let it run code: never.
    """
    try:  # weights_only: a checkpoint holds tensors and numbers, and never code
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except OSError as error:
        raise Useless(f"cannot be read: {error.strerror or type(error).__name__}") from None
    except Exception:
        raise Useless("cannot be read: it is damaged, or no checkpoint") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Useless(f"is of another version than {FORMAT}")
    if content.get("of") != of or not isinstance(content.get("state"), dict):
        raise Useless("is of another training")
    return dict(content["state"])
