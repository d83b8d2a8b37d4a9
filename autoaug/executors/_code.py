"""The code of a user's project on workers that cannot import it: which files travel, and where they lie there."""

import ast
import atexit
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

MOST_BYTES = 10_000_000
"""Of code that is sent to every worker. More is not code."""

PREFIX = "autoaug-project-"
"""Of the folders, among the temporary files of a worker's host, in which the code lies there."""

Code = tuple[tuple[str, bytes], ...]
"""Files, as a path below the project's root and what the file holds."""


def sources(project: Path | None) -> Code:
    """Return the modules of a project that are imported, and whatever these import of it, now or later.

    What is imported later is read from the source. A module that only a text names, as in `import_module("rows.late")`,
    is not found there: import it where the study is defined.

    Raises:
        ValueError: it is more than is sent; the message names the largest file.
    """
    if project is None:
        return ()
    named = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    imported = [Path(file) for file in named if file and file.endswith(".py")]
    files = sorted(with_imports((file for file in imported if is_of_project(file, project)), project))
    code = tuple((str(file.relative_to(project)), file.read_bytes()) for file in files)
    refuse_large(code, project)
    return code


def refuse_large(code: Code, project: Path) -> None:
    """Refuse code of so many bytes that it must hold data."""
    total = sum(len(held) for _, held in code)
    if total > MOST_BYTES:
        name, held = max(code, key=lambda file: len(file[1]))
        raise ValueError(
            f"the modules of {project} that workers need are {total / 1e6:.1f} MB, of which {name} is "
            f"{len(held) / 1e6:.1f} MB, and {MOST_BYTES / 1e6:g} MB are sent at most: keep data out of modules, in a "
            "file whose path the workers see"
        )


def is_of_project(file: Path, project: Path) -> bool:
    """Whether a worker cannot import a module: it is in the project, and neither installed nor of autoaug."""
    if not file.is_relative_to(project):
        return False
    parts = file.relative_to(project).parts
    return parts[0] != "autoaug" and "site-packages" not in parts


def with_imports(files: Iterable[Path], project: Path) -> set[Path]:
    """Return files of a project with all that they import of it, directly or not."""
    found, left = set[Path](), set(files)
    while left:
        file = left.pop()
        found.add(file)
        needed = {each for name in imports(file, project) for each in files_of(name, project)}
        left |= {each for each in needed if is_of_project(each, project)} - found
    return found


def imports(file: Path, project: Path) -> Iterator[str]:
    """Return the dotted names that a module of a project imports anywhere in it, and its own.

    Of `from a import b` these are `a.b` and so `a`, for `b` may be a module.
    """
    package = file.relative_to(project).parent.parts
    yield ".".join((*package, file.stem))
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # it is imported by nobody, or fails there as it does here
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join(filter(None, (*above, node.module, alias.name))) for alias in node.names)


def files_of(name: str, project: Path) -> Iterator[Path]:
    """Return the files that Python reads to import a dotted name: its own, and the `__init__.py` of what it is in."""
    path = project
    for part in name.split("."):
        path = path / part
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


@cache
def install(code: Code) -> None:
    """Make the modules of a project importable in this process, until it ends.

    So the rows that they add to tables are there too. What processes that were killed have left is removed.
    """
    remove_left()
    root = make_folder()
    atexit.register(shutil.rmtree, root, ignore_errors=True)  # no sooner: modules are imported late, too
    for name, held in code:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(held)
    sys.path.insert(0, str(root))


def make_folder() -> Path:
    """Return a new folder that is locked for as long as this process lives, however it ends."""
    while True:
        root = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(root, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.exists():  # nobody took it for one that was left, in the moment before it was locked
            return root
        os.close(lock)


def remove_left() -> None:
    """Remove the folders of processes that have ended."""
    for root in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or in use, or gone
            lock = os.open(root, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
            finally:
                os.close(lock)
