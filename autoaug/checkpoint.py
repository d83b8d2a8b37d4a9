"""The checkpoint of a training."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import torch

from autoaug.artifacts import Place

FORMAT = "autoaug.checkpoint/2"
"""The version in a file. What is kept of a training may change: a file of another version is refused."""


BEGAN_AGAIN = "began again"
"""What is said of an attempt that found no checkpoint of those before it, though they had trained."""


class Useless(Exception):
    """A checkpoint from which a training cannot go on; the message is the reason."""


@dataclass
class Checkpoint:
    """Write the state of a training, and read it back from the attempts before.

    Each attempt writes a file of its own, so that a worker that was thought dead cannot overwrite its successor.
    """

    place: Place
    write: str
    """The name of our file in the place."""
    earlier: Sequence[str] = ()
    """Those of the attempts before this one, the latest first; some may be missing."""
    every_seconds: float = 10.0
    """The longest stretch of work that a crash can cost. With 0 there is one after every epoch, and none within one."""
    of: str = ""
    """Which training this is: one does not go on from the checkpoint of another."""
    missing: str = ""
    """What is lost where no file is there; empty where there need not be one."""
    others_follow: bool = False
    """Whether an attempt that goes on passes this training on its way to a later one: then its end is kept too."""
    last: float = field(default_factory=time.monotonic, init=False)
    trouble: str = field(default="", init=False)
    """Why the last one could not be written, and what is lost by a crash meanwhile; empty where it could."""
    passed_over: str = field(default="", init=False)
    """Which could not be gone on from, why, and from what instead; empty where all is well."""

    def due(self, *, within_epoch: bool = False, at_end: bool = False) -> bool:
        """Whether the last one is as old as `every_seconds`, or the last step was made and others follow."""
        if within_epoch and self.every_seconds == 0:
            return at_end and self.others_follow
        return (at_end and self.others_follow) or time.monotonic() - self.last >= self.every_seconds

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state.

        A place that is full, away or cannot be written to does not end a training: it goes on, at the risk of its work.
        """
        buffer = BytesIO()
        torch.save({"format": FORMAT, "of": self.of, "state": state()}, buffer)
        try:
            self.place.write(self.write, buffer.getvalue())
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
        for name in (self.write, *self.earlier):
            try:
                self.try_from(name, restore)
            except FileNotFoundError:
                continue
            except Useless as why:
                useless.append(f"checkpoint {name} {why}")
            else:
                self.passed_over = "; ".join([*useless, f"went on from {name}"] if useless else [])
                return True
        self.passed_over = "; ".join([*useless, BEGAN_AGAIN]) if useless else self.missing
        return False

    def try_from(self, name: str, restore: Callable[[dict[str, Any]], object]) -> None:
        """Restore the state of a file; raise Useless where it does not fit, FileNotFoundError where there is none."""
        state = read(self.place, name, self.of)
        try:
            restore(state)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception:
            raise Useless("does not fit this training") from None


def read(place: Place, name: str, of: str) -> dict[str, Any]:
    """Return the state that a file holds of the training `of`, its tensors on the CPU.

    Raises:
        FileNotFoundError: there is none.
        Useless: it cannot be read, or is something else. PyTorch would advise to let it run code: never.
    """
    try:  # weights_only: a checkpoint holds tensors and numbers, and never code
        content = torch.load(BytesIO(place.read(name)), map_location="cpu", weights_only=True)
    except (MemoryError, FileNotFoundError):
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
