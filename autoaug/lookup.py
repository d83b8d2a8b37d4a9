"""Names come from tables, are looked up once at the edge, and an unknown one answers with the near matches."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Entry = TypeVar("Entry")


def lookup(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return the row of a table; `what` is the noun of the error for a name that is not there.

    Raises:
        ValueError: the name is unknown; the message has the near matches.
    """
    if name in table:
        return table[name]
    raise ValueError(f"unknown {what} {name!r}: {suggest(name, table)}")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the near matches of a misspelt name, or else all names: the fix in an error message."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"known are {', '.join(names)}" if names else "none is known"
