"""Photos that fit nowhere: decoded by other processes whenever they are needed, a little ahead of that."""

import os
import pickle
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy
import torch
from torch import Tensor

from autoaug.devices import to_device
from autoaug.photos._decoding import starts_of
from autoaug.photos._encoded import Encoded
from autoaug.photos._errors import DataError
from autoaug.photos._photos import Holder
from autoaug.photos._pixels import Frame

PIECE = 16
"""Photos that one process decodes in a row."""

AHEAD = 4
"""Pieces for each process that are asked for before they are needed, at least."""

CPU = torch.device("cpu")

COMMAND = (sys.executable, "-P", "-c", "from autoaug.photos._decoder import main; main()")


@dataclass(eq=False)
class Piece:
    """A few photos that a process decodes."""

    process: "Decoder"
    answer: tuple[str, bytes] | None = None


class Decoder:
    """One process that decodes; it answers in the order in which it is asked."""

    def __init__(self, encoded: Encoded, frame: Frame) -> None:
        self.pipe, theirs = Pipe()
        self.asked = deque[Piece]()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        with theirs:
            self.process = subprocess.Popen(
                [*COMMAND, str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C on a terminal is for the training, which then lets go of this one
            )
        self.pipe.send((encoded, frame))
        weakref.finalize(self, end, self.pipe, self.process)

    def ask(self, indices: list[int]) -> Piece:
        """Ask for a few photos."""
        piece = Piece(self)
        self.pipe.send(indices)
        self.asked.append(piece)
        return piece

    def answered(self, piece: Piece) -> bytes:
        """Return the bytes of a piece, as soon as they are there.

        Raises:
            DataError: a photo cannot be read any more.
            RuntimeError: the process has ended.
        """
        while piece.answer is None:
            try:
                self.asked.popleft().answer = (self.pipe.recv(), self.pipe.recv_bytes())
            except (EOFError, OSError) as error:
                code = self.process.wait()
                raise RuntimeError(f"a process that decodes photos has ended, with exit code {code}") from error
        problem, pixels = piece.answer
        if problem:
            raise DataError(f"{problem}: it could when the data were looked at; put it back, and go on")
        return pixels


def end(pipe: Connection, process: "subprocess.Popen[bytes]") -> None:
    """Let a process end, which its closed pipe tells it."""
    pipe.close()
    process.wait()


@dataclass(eq=False)
class Crew:
    """The processes that decode one dataset, started when the first photo is needed."""

    encoded: Encoded
    frame: Frame
    processes: list[Decoder] = field(default_factory=list)
    turn: int = 0

    def ask(self, rows: Tensor) -> list[Piece]:
        """Ask for photos, a piece of each process in turn."""
        if not self.processes:
            refuse_unpicklable(self.encoded)
            self.processes = [Decoder(self.encoded, self.frame) for _ in range(max(1, torch.get_num_threads()))]
        pieces = []
        for part in rows.split(PIECE):
            self.turn = (self.turn + 1) % len(self.processes)
            pieces.append(self.processes[self.turn].ask(part.tolist()))
        return pieces


def refuse_unpicklable(encoded: Encoded) -> None:
    """Raise DataError for images that cannot be sent to other processes."""
    try:
        pickle.dumps(encoded)
    except Exception as error:  # whatever somebody's dataset raises
        raise DataError(
            f"the data cannot be sent to the processes that decode them ({error}): define their class in a module, or "
            "give Task.hold='memory'"
        ) from error


@dataclass(frozen=True, eq=False)
class Streamed:
    """Hold no photo: each is decoded when a minibatch has it."""

    crew: Crew
    looks: numpy.ndarray
    """Records of `LOOK`, of all photos."""
    device: torch.device = CPU

    def brought(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Decode photos now."""
        return self.answered(rows, self.crew.ask(rows))

    def ahead(self, minibatches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one minibatch after the other, while the processes decode the next ones."""
        waiting: deque[tuple[Tensor, list[Piece]]] = deque()
        for rows in minibatches:
            waiting.append((rows, self.crew.ask(rows)))
            others = sum(len(pieces) for _, pieces in waiting) - len(waiting[0][1])
            if others >= AHEAD * len(self.crew.processes):
                yield self.answered(*waiting.popleft())
        while waiting:
            yield self.answered(*waiting.popleft())

    def answered(self, rows: Tensor, pieces: list[Piece]) -> tuple[Tensor, Tensor]:
        """Return the bytes of the photos of these rows, and where each begins."""
        pixels = b"".join(piece.process.answered(piece) for piece in pieces)
        looks = self.looks[rows.numpy()]
        expected = int((looks["rows"].astype(numpy.int64) * looks["columns"]).sum()) * 3
        if len(pixels) != expected:
            raise DataError("files of the data have changed since they were looked at: begin anew")
        held = torch.frombuffer(bytearray(pixels), dtype=torch.uint8) if pixels else torch.empty(0, dtype=torch.uint8)
        return to_device(held, self.device), torch.from_numpy(starts_of(looks))

    def to(self, device: torch.device) -> Holder:
        """Return a holder that brings minibatches to a device, by the same processes."""
        return self if device == self.device else replace(self, device=device)
