"""What an exporter hands out: a text, and what it could not say."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from autoaug.policy import PolicyError, PolicyTree


@dataclass(frozen=True)
class Export:
    """A policy in the terms of another library."""

    text: str
    lost: tuple[str, ...] = ()
    """What the text does differently from the policy, in words."""

    @property
    def exact(self) -> bool:
        """Whether the text does to images what the policy does, in distribution and to 1/255 in every pixel."""
        return not self.lost


Exporter = Callable[[PolicyTree], Export]

EXACT = ("json", "torchvision")
"""The formats that can say every tree."""


class LossyExport(ValueError):
    """A policy that a format cannot say exactly, where that was not allowed."""

    def __init__(self, format: str, lost: Iterable[str]) -> None:
        others = "" if format in EXACT else f"; {' and '.join(EXACT)} lose nothing of a tree"
        super().__init__(
            f"{format} cannot say this policy exactly: {'; '.join(lost)}. "
            f"Allow it with allow_lossy=True (--allow-lossy){others}"
        )


PIXELS = "the library counts it in pixels, and here it is relative to the size of the image, which no file knows"
"""Why an operation with a kernel or a field of displacements has no words in other libraries."""


def require_known(ops: Iterable[str], known: Container[str], refused: Mapping[str, str] | None = None) -> None:
    """Raise PolicyError for an operation that a file for another library cannot hold.

    That is one which a project added, or one of `refused`, with the reason.
    """
    for op in ops:
        if refused and op in refused:
            raise PolicyError(f"op {op!r} cannot be said: {refused[op]}; export to {' or '.join(EXACT)}")
        if op not in known:
            raise PolicyError(
                f"op {op!r} is not one of autoaug's own, other libraries have no words for it: export to json"
            )
