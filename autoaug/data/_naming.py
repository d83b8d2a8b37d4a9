"""What data are called where others read it."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

QUOTED = re.compile(r"(?:\w*Path\()?'([^']*)'\)?")
"""A text of a representation, or a path in one."""


def public_name(described: str) -> str:
    """Return the name of data without where they lie: of every path the last part alone, for a folder names its owner.

    Args:
        described: a dataset's name, a path, or what Python writes of an object that reads data.
    """
    if "'" in described:
        return QUOTED.sub(lambda match: f"'{last_part(match[1])}'", described)
    return last_part(described)


def last_part(path: str) -> str:
    """Return the last part of a path."""
    return PurePath(path).name or path


def distinct(names: Sequence[str], longer: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes: those that several share as the longer ones, and from the second on with a number
    where these are equal too. ImageNet has two cranes, a bird and a machine."""
    shared = {name for name, count in Counter(names).items() if count > 1}
    longest = [long if name in shared else name for name, long in zip(names, longer, strict=True)]
    earlier: Counter[str] = Counter()
    for at, name in enumerate(longest):
        earlier[name] += 1
        longest[at] = f"{name} {earlier[name]}" if earlier[name] > 1 else name
    return tuple(longest)
