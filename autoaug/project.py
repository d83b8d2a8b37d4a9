"""A user's project is three folders of Python: `search_spaces/`, `studies/`, `dashboards/`. Ours is the first."""

import importlib.util
import shutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from autoaug.lookup import suggest

if TYPE_CHECKING:
    from autoaug.study import Study

FOLDERS = ("search_spaces", "studies", "dashboards")


def shipped_root() -> Path:
    """Where the reference project lies: inside the wheel, or in a checkout at the repository's root."""
    package = Path(__file__).parent
    return package / "_shipped" if (package / "_shipped").is_dir() else package.parent


@dataclass(frozen=True)
class Found:
    """A study, and the project that its imports are read from."""

    study: "Study"
    root: Path


def load_study(reference: str) -> Found:
    """The study that a reference names: `quickstart`, `studies/mine.py`, or `studies/mine.py:name`.

    A name is looked for in the `studies/` of this folder's project first, then among the shipped ones.

    Raises:
        ValueError: there is none, or its file raises; the message says where.
    """
    file, _, name = reference.partition(":")
    path = find_file(file)
    root = root_of(path)
    module = execute(path, root)
    return Found(pick_study(module, path, name), root)


def find_file(reference: str) -> Path:
    path = Path(reference)
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(
                f"there is no study file {reference}: check the path, or `autoaug new DIR` makes a project"
            )
        return path.resolve()
    places = list(dict.fromkeys([Path.cwd() / "studies", shipped_root() / "studies"]))
    known = {file.stem: file for place in reversed(places) for file in place.glob("*.py")}
    if reference not in known:
        raise ValueError(f"unknown study {reference!r}: {suggest(reference, known)} (a file's path works too)")
    return known[reference].resolve()


def root_of(path: Path) -> Path:
    """The folder whose `search_spaces/` and `studies/` a study file imports from."""
    return next((parent for parent in path.parents if any((parent / f).is_dir() for f in FOLDERS)), path.parent)


def execute(path: Path, root: Path) -> ModuleType:
    """Import a study file as the module that its place in the project says it is."""
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(explain(error, path)) from error
    return module


def explain(error: Exception, path: Path) -> str:
    """One line: what a study file raised, and in which of its lines."""
    if isinstance(error, SyntaxError):
        return f"{path.name}, line {error.lineno}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    place = f"{path.name}, line {frames[-1].lineno}" if frames else path.name
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return f"{place}: {kind}{error}"


def pick_study(module: ModuleType, path: Path, name: str) -> "Study":
    from autoaug.study import Study

    studies = {key: value for key, value in vars(module).items() if isinstance(value, Study)}
    if not studies:
        raise ValueError(f"{path.name} defines no study: write `study = Study(...)`")
    if name:
        if name not in studies:
            raise ValueError(f"unknown study {name!r} in {path.name}: {suggest(name, studies)}")
        return studies[name]
    if "study" in studies or len(studies) == 1:
        return studies.get("study") or next(iter(studies.values()))
    raise ValueError(f"{path.name} defines several studies: say which, {path.name}:{next(iter(studies))}")


def new_project(folder: Path) -> list[Path]:
    """Copy the reference project to a folder; returns the files that it now has.

    Raises:
        ValueError: one of its folders is already there. Nothing is overwritten.
    """
    taken = [name for name in FOLDERS if (folder / name).exists()]
    if taken:
        raise ValueError(f"{folder} already has {taken[0]}/: give another folder, nothing was copied")
    for name in FOLDERS:
        shutil.copytree(shipped_root() / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return sorted(file for name in FOLDERS for file in (folder / name).rglob("*.py"))
