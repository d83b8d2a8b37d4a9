"""What went wrong in a trial, in one line."""

import os
import sysconfig
import traceback
from pathlib import Path

from autoaug.text import read, shown
from autoaug.train import Diverged

INSTALLED = (str(Path(__file__).parent.parent), *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib")))
"""Where the code lies that is not of whoever runs the study: this library, Python, and all that was installed."""


def explain(error: Exception) -> str:
    """Return one line for the database: what went wrong, and where, unless the error says that."""
    if isinstance(error, Diverged):
        return str(error)
    text = f"{type(error).__name__}: {read(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        where = next((frame for frame in reversed(frames) if not is_installed(frame.filename)), frames[-1])
        text += f" ({Path(where.filename).name}:{where.lineno})"
    return shown(text)


def is_installed(file: str) -> bool:
    """Whether code is of this library, of another one or of Python itself, and not of whoever runs the study."""
    return file.startswith(("<frozen", *(f"{folder}{os.sep}" for folder in INSTALLED)))
