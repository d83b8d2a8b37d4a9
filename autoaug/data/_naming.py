"""What data are called where others read it."""

import re
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
