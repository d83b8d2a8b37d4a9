"""Files that are whole or absent: atomic writes, and the checkpoint of a training."""

import os
import time
from collections.abc import Callable
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


@dataclass
class Checkpoint:
    """Where the state of a training is written, and where that of an earlier attempt is read from.

    Each attempt writes to a path of its own, so that a worker that was thought dead cannot overwrite its successor.
    """

    write: Path
    read: Path | None = None
    every_seconds: float = 10.0
    """The longest stretch of work that a crash can cost, to within one epoch."""
    last: float = field(default_factory=time.monotonic, init=False)
    trouble: str = field(default="", init=False)
    """Why the last one could not be written, and what is lost by a crash meanwhile; empty where it could."""

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state, unless the last one is younger than `every_seconds`.

        A disk that is full or cannot be written to does not end a training: it goes on, at the risk of its work.
        """
        if time.monotonic() - self.last < self.every_seconds:
            return
        buffer = BytesIO()
        torch.save(state(), buffer)
        try:
            write_atomically(self.write, lambda file: file.write(buffer.getbuffer()))
            self.trouble = ""
        except OSError as error:
            self.trouble = f"no checkpoint: {error.strerror or error}"
        self.last = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state to go on from, our own first; None where there is none."""
        for path in (self.write, self.read):
            if path and path.exists():
                # weights_only: a checkpoint holds tensors and numbers, and never code
                state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
                return state
        return None
