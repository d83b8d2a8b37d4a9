"""Whether anything can be kept in a folder: no trial is handed out while neither a checkpoint nor a write would be."""

import os
import re
import time
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path

from autoaug.processes import process_name
from autoaug.store import Unwritable
from autoaug.text import LOG

LEAST = 64 * 1024
"""Bytes that must fit: the writes of a few epochs. A checkpoint that does not fit is warned of and costs no trial."""

LOOK_SECONDS = 1.0
"""How often a full folder is looked at again."""


def refuse_full(folder: Path) -> None:
    """Refuse a folder that takes no file, by writing one there and removing it.

    Raises:
        Unwritable: it names the folder, and what is missing.
    """
    probe = folder / f".room-{re.sub('[^A-Za-z0-9]+', '-', process_name())}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("wb", buffering=0) as file:
            if file.write(bytes(LEAST)) < LEAST:
                raise OSError(ENOSPC, os.strerror(ENOSPC))
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        fix = "make room there, or let it be written to"
        raise Unwritable(f"nothing can be kept in {folder} ({reason}): {fix}") from None
    finally:
        with suppress(OSError):
            probe.unlink()


def wait_for_room(folder: Path, seconds: float) -> None:
    """Wait until a folder takes files; a line says once what is waited for.

    Raises:
        Unwritable: it took none for so many seconds.
    """
    start, told = time.monotonic(), False
    while True:
        try:
            return refuse_full(folder)
        except Unwritable as full:
            if time.monotonic() - start >= seconds:
                raise
            if not told:
                LOG.warning("%s; waiting up to %g s", full, seconds)
            told = True
            time.sleep(min(LOOK_SECONDS, seconds))
