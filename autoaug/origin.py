"""Where an error comes from: the line of the user's own code that led to it."""

import os
import sysconfig
import traceback
from pathlib import Path

INSTALLED = (str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib")))
"""Where the code lies that is not of whoever runs the study: this library, Python, and all that was installed."""


def origin(error: BaseException, own_only: bool = False) -> str:
    """Return where an error was raised, " (file.py:12)": the last line of the user's own code that it went through.

    Args:
        own_only: otherwise empty; else it is the last line of all.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_installed(frame.filename)]
    where = (own or ([] if own_only else frames))[-1:]
    return "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in where)


def is_installed(file: str) -> bool:
    """Whether code is of this library, of another one or of Python itself, and not of whoever runs the study."""
    made = file.startswith("<") and not file.startswith("<ipython")  # such as the methods of a dataclass
    return made or file.startswith(tuple(f"{folder}{os.sep}" for folder in INSTALLED))
