"""What a place for artifacts must do, and which names may stand in one."""

import re
import reprlib
from pathlib import Path
from typing import Protocol

Location = Path | str
"""Where artifacts lie: a folder, or the text of a URL."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names that become parts of paths: of studies, strategies and files."""


class Place(Protocol):
    """Keep files under plain names, each of them whole or absent."""

    def below(self, *names: str) -> "Place":
        """Return the place of these names inside this one.

        Raises:
            ValueError: a name is no plain one, and might lead elsewhere.
        """
        ...

    def read(self, name: str) -> bytes:
        """Return a file.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read; `strerror` is the reason.
        """
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file. Where that fails or is cut off at any moment, the old one stays, or there is none.

        Raises:
            OSError: it could not be written; `strerror` is the reason.
        """
        ...

    def remove(self) -> None:
        """Remove all that lies here, where that can be done."""
        ...

    def check(self) -> None:
        """Refuse a place that no file can be written to.

        Raises:
            ValueError: it names the place, the reason and what to do.
        """
        ...


def checked_name(name: str, place: Place, what: str) -> str:
    """Return a name of what lies in a place; raise ValueError where it would lead elsewhere."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{reprlib.repr(name)} cannot name a {what} of {place}: it is no plain name")
    return name
