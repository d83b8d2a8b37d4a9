"""What the command line prints: lines, tables, JSON, errors, and exit codes."""

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from autoaug.text import LONGEST, shown

if TYPE_CHECKING:
    from autoaug.execution import Event, Listen
    from autoaug.executors import Progress

FAILED, USAGE, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130
"""Exit codes beside 0."""

MOST_OF_A_COMMAND = 10_000
"""Characters of a line that is to be pasted whole."""

out, err = Console(highlight=False), Console(stderr=True, highlight=False)


def say(message: str, console: Console = out, style: str = "", most: int = LONGEST) -> None:
    """Print one line that is not wrapped; nothing in it is markup."""
    console.print(Text(shown(message, most), style), soft_wrap=True)


def complain(error: object) -> None:
    """Print an error as one line on stderr."""
    err.print(Text.assemble(("error: ", "red"), shown(error)), soft_wrap=True)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn a ValueError into one line on stderr and exit code 2, a storage that is away into one and exit code 1."""
    try:
        yield
    except ValueError as error:
        complain(error)
        raise typer.Exit(USAGE) from None
    except ConnectionError as away:  # what Unreachable is, which is imported with all of the storage
        complain(away)
        raise typer.Exit(FAILED) from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a file that cannot be written into an error of the request."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}; give another file") from None


@dataclass(frozen=True)
class Output:
    """Answer a call in text or in JSON lines, with progress or without."""

    as_json: bool = False
    quiet: bool = False

    def tell(self, *lines: str, **data: Any) -> None:
        """Print some lines; with JSON print `data` instead, or nothing where there is none."""
        for line in () if self.as_json else lines:
            say(line, most=MOST_OF_A_COMMAND)
        if self.as_json and data:
            self.show("", data)

    def show(self, picture: Any, data: Mapping[str, Any]) -> None:
        """Print something that rich can draw, or `data` as JSON."""
        from autoaug.cli._console import json_line

        if self.as_json:
            print(json_line(data), flush=True)
        else:  # a file has no width that a table must fit into
            (out if out.is_terminal else Console(highlight=False, width=1000)).print(picture)

    def progress(self, state: "Progress") -> AbstractContextManager["Listen"]:
        """Return a listener to the events of a study."""
        from autoaug.cli._console import LineProgress, LiveProgress
        from autoaug.executors import ignore

        if self.as_json:
            return alone_on_stdout()
        if self.quiet:
            return nullcontext(ignore)
        return LiveProgress(out, state) if out.is_terminal else nullcontext(LineProgress(out, state))


@contextmanager
def alone_on_stdout() -> Iterator["Listen"]:
    """Print one JSON line per event on stdout and nothing else: what a library prints there goes to stderr."""
    from autoaug.cli._console import print_event

    stdout = sys.stdout

    def listen(event: "Event") -> None:
        try:
            print_event(event, stdout)
        except OSError:  # nobody reads any more, which is no fault of the trial that is told of
            raise KeyboardInterrupt from None

    with redirect_stdout(sys.stderr):
        yield listen


def program(elsewhere: bool = False) -> str:
    """Return how this command was called, so that the lines it prints can be pasted.

    Args:
        elsewhere: pasted in another folder.
    """
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m autoaug"
    on_path = shutil.which(called.name)
    if on_path and Path(on_path).absolute() == called.absolute():
        return called.name
    return shlex.quote(str(called.absolute() if elsewhere else called))


def thinking(text: str) -> AbstractContextManager[object]:
    """Return a spinner with a text, on a terminal; elsewhere nothing."""
    return out.status(text) if out.is_terminal else nullcontext()


def command_again() -> str:
    """Return this call, without what it does once. It holds no password: on a command line that is refused."""
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--fresh", "--retry-failed")]
    return f"{program()} {shlex.join(arguments)}"
