"""Commands of autoaug in processes of their own that start at once: each is forked from one that has imported it all.

For tests in which processes end and others go on, and which do not look at how a process begins: most of the CPU time
of a short one goes into imports. They hash alike, so what must not depend on that is compared with a process that began
by itself.
"""

import os
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["autoaug.cli", "autoaug.execution._worker", "autoaug.executors.local"])


def autoaug(*arguments: str, folder: Path) -> ForkServerProcess:
    """A process that does in a folder what `python -m autoaug` with the arguments does, in a session of its own.

    What it prints is in the files `out` and `err` of the folder.
    """
    process = SERVER.Process(target=carry_out, args=(arguments, folder))
    process.start()
    return process


def carry_out(arguments: tuple[str, ...], folder: Path) -> None:
    import numpy

    from autoaug.cli import main

    os.setsid()
    os.chdir(folder)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        stream.flush()
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    sys.path.insert(0, "")
    sys.argv = ["autoaug", *arguments]
    numpy.random.seed()  # noqa: NPY002 - as in a new process; Python's own generator is seeded anew by itself
    main()
