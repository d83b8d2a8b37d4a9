"""Text that others wrote, made safe to show.

Error messages of a user's code, names in a storage or a policy file and the answers of a database may hold escape
codes, overrides of the writing direction, line breaks and a hundred thousand characters. Whatever is printed, logged,
drawn on a page or written above an exported file passes through here.
"""

import logging
import re
from collections.abc import Sequence

LONGEST = 1000
"""Characters of a text that is shown, unless its place has room for more."""

LONGEST_NAME = 100
"""Characters of the name of a training loop: that of a `functools.partial` has all that was given to it."""


def shown(text: object, most: int = LONGEST) -> str:
    """Make one line of printable characters out of a text.

    Line breaks and tabs become a space; what cannot be seen, such as ESC, becomes its escape: `\\x1b`. Of a text that
    is longer than `most` characters the middle is left out, for the place or the fix often stands at the end.
    """
    line = re.sub(r"\s+", one_space, read(text)).rstrip()
    if not line.isprintable():
        line = "".join(character if character.isprintable() else escaped(character) for character in line)
    if len(line) <= most:
        return line
    tail = most // 4
    return f"{line[: most - tail]}… ({len(line) - most:,} characters left out) …{line[len(line) - tail :]}"


def read(text: object) -> str:
    """Return an object as text, whatever its class makes of that."""
    try:
        return str(text)
    except Exception:
        return f"{type(text).__name__}, which cannot be read"


def one_space(blank: re.Match[str]) -> str:
    """Return plain spaces as they are, a space for any other blank."""
    return " " if blank[0].strip(" ") else blank[0]


def plural(noun: str) -> str:
    """Return the plural of a noun, or of what ends with it: strategies, classes, final runs."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "tch", "sh")) else f"{noun}s"


def counted(count: int, noun: str) -> str:
    """Return a number of things: "1 strategy", "2,000 strategies"."""
    return f"{count:,} {agreeing(count, noun)}"


def agreeing(count: int, one: str, more: str = "") -> str:
    """Return the word that agrees with a number: `one`, or `more`, which is its plural where it is not given."""
    return one if count == 1 else more or plural(one)


def escaped(character: str) -> str:
    """Return the escape of a character: `\\x1b`."""
    return character.encode("unicode_escape").decode()


def enumerated(names: Sequence[str], count: int, most: int = 3) -> str:
    """Return the first `most` of `count` names, and how many more there are: "a, b, c and 7 more"."""
    more = count - len(names[:most])
    return ", ".join(names[:most]) + (f" and {more:,} more" if more else "")


def cell(value: object) -> object:
    """Make a value safe for a cell of a CSV file: a spreadsheet would run a text that looks like a formula."""
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


class Shown(logging.Filter):
    """Make every message of a logger safe to show."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Make a message safe, and let it through."""
        record.msg, record.args = shown(record.getMessage()), ()
        return True


LOG = logging.getLogger("autoaug")
"""The library's only logger."""

LOG.addFilter(Shown())


def by_clock(seconds: float) -> str:
    """Return a time that people wait: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"
