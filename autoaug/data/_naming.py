"""What data are called where others read it."""

import re
from pathlib import PurePath

QUOTED = re.compile(r"(?:\w*Path\()?'([^']*)'\)?")
"""A text of a representation, or a path in one."""


def public_name(described: str) -> str:
    """Name data without where they lie: of every path the last part alone, for a folder says who keeps it.

    Args:
        described: a dataset's name, a path, or what Python writes of an object that reads data.
    """
    if "'" in described:
        return QUOTED.sub(lambda found: f"'{last_part(found[1])}'", described)
    return last_part(described)


def last_part(path: str) -> str:
    return PurePath(path).name or path
