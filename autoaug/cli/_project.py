"""A user's project is three folders of Python: `search_spaces/`, `studies/`, `dashboards/`. Ours is the first."""

import ast
import importlib.util
import inspect
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from autoaug.lookup import suggest

if TYPE_CHECKING:
    from autoaug.compare import Figure
    from autoaug.page import Diagram
    from autoaug.study import Study

FOLDERS = ("search_spaces", "studies", "dashboards")


def shipped_root() -> Path:
    """Return the folder of the reference project: inside the wheel, or the root of a checkout."""
    package = Path(__file__).parents[1]
    return package / "_shipped" if (package / "_shipped").is_dir() else package.parent


@dataclass(frozen=True)
class LoadedStudy:
    """Hold a study, and the project that its imports are read from."""

    study: "Study"
    root: Path


def load_study(study_ref: str) -> LoadedStudy:
    """Return the study that is meant: `quickstart`, `mixup/table_5`, `studies/mine.py`, or `studies/mine.py:name`.

    A name is looked for in the `studies/` of this folder's project first, then among the shipped ones.

    Raises:
        ValueError: there is none, or its file raises; the message says where.
    """
    file, _, name = study_ref.partition(":")
    path = find_file(file)
    root = root_of(path)
    refuse_repeated_keys(path)
    module = execute(path, root)
    return LoadedStudy(pick_study(module, path, name), root)


def known_studies() -> dict[str, Path]:
    """Return the study files by name: this folder's `studies/` first, then the shipped ones.

    The name of a file in a folder there, such as those of a paper, begins with the folder's: `mixup/table_5`.
    """
    folders = [shipped_root() / "studies", Path.cwd() / "studies"]
    return {
        file.relative_to(folder).with_suffix("").as_posix(): file for folder in folders for file in folder.rglob("*.py")
    }


def find_file(study_ref: str) -> Path:
    """Return the file of a study_ref; raise ValueError where there is none."""
    path = Path(study_ref)
    if path.suffix == ".py":
        if not path.is_file():
            hint = "check the path, or make a project with `autoaug new DIR`"
            raise ValueError(f"there is no study file {study_ref}: {hint}")
        return path.resolve()
    known = known_studies()
    if study_ref not in known:
        raise ValueError(f"unknown study {study_ref!r}: {suggest(study_ref, known)} (a file's path works too)")
    return known[study_ref].resolve()


def root_of(path: Path) -> Path:
    """Return the folder whose `search_spaces/` and `studies/` a study file imports from."""
    if path.parent.name in FOLDERS:
        return path.parent.parent
    return next((parent for parent in path.parents if (parent / "search_spaces").is_dir()), path.parent)


def refuse_repeated_keys(path: Path) -> None:
    """Refuse a dict literal with two equal keys: Python keeps the last, and one of two strategies would never run."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, OSError) as error:
        raise ValueError(explain(error, path, path.parent)) from error
    for key in repeated_keys(tree):
        raise ValueError(
            f"{path.name}, line {key.lineno}: {key.value!r} stands twice in one dict, and Python would drop the first: "
            "give each its own name"
        )


def repeated_keys(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the literal keys that a dict display holds for the second time."""
    for node in ast.walk(tree):
        seen = set()
        for key in node.keys if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant):
                if key.value in seen:
                    yield key
                seen.add(key.value)


def execute(path: Path, root: Path) -> ModuleType:
    """Import a file as the module that its path in the project makes it."""
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    given, sys.argv = sys.argv, [str(path)]  # as Python runs it: a parser of its own reads none of the arguments here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(explain(error, path, root)) from error
    finally:
        sys.argv = given
    return module


def explain(error: BaseException, path: Path, root: Path) -> str:
    """Return one line: the error of a study file, and the line of the user's own in which it was raised."""
    folders = (path.parent, *(root / name for name in FOLDERS))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent in folders]
    location = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else path.name
    message = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        location, message = f"{Path(error.filename or path).name}, line {error.lineno}", error.msg
    if isinstance(error, ModuleNotFoundError):
        message += f" (looked for in {root} and in what is installed)"
    return " ".join(f"{location}: {message}".split())


def pick_study(module: ModuleType, path: Path, name: str) -> "Study":
    """Return the study of a file that has the name, or else the only one."""
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
    choices = " or ".join(f"{path.name}:{key}" for key in studies)
    raise ValueError(f"{path.name} defines {len(studies)} studies: say which, {choices}")


def figures_root() -> Path:
    """Return whose figures are drawn: those of this folder's project where it has any, else the shipped ones."""
    return Path.cwd() if (Path.cwd() / "dashboards").is_dir() else shipped_root()


def load_figures(root: Path) -> dict[str, "Figure"]:
    """Return the figures of a project, by the name of their file: every `figure(comparison)` in its `dashboards/`.

    Raises:
        ValueError: a file cannot be imported, or its figure takes something else; the message names the file.
    """
    modules = {file: execute(file, root) for file in sorted((root / "dashboards").glob("*.py"))}
    figures = {file: module.figure for file, module in modules.items() if hasattr(module, "figure")}
    for file, figure in figures.items():
        refuse_other_parameters(file, figure)
    return {file.stem.replace("_", " "): figure for file, figure in figures.items()}


def load_diagram(root: Path) -> "Diagram":
    """Return what draws a comparison over data sets: of a project, or the shipped one where it has none."""
    file = root / "dashboards" / "critical_difference.py"
    if not file.is_file():
        return load_diagram(shipped_root())
    diagram: Diagram = execute(file, root).diagram
    return diagram


FORMER_PARAMETERS = ("records", "metric", "maximize", "outcomes", "importance")
"""What the figures of earlier versions asked for, by name; now these are attributes of the comparison."""


def refuse_other_parameters(file: Path, figure: Callable[..., Any]) -> None:
    """Raise ValueError where a figure does not take a comparison alone."""
    signature = inspect.signature(figure)
    former = [f"comparison.{name}" for name in signature.parameters if name in FORMER_PARAMETERS]
    try:
        signature.bind(object())
    except TypeError:
        takes_one = False
    else:
        takes_one = next(iter(signature.parameters)) not in FORMER_PARAMETERS
    if not takes_one:
        read = f", and read {' and '.join(former)}" if former else ""
        raise ValueError(
            f"{file.parent.name}/{file.name}: its figure is called with a comparison and nothing else: "
            f"define figure(comparison){read}"
        )


def new_project(folder: Path) -> list[Path]:
    """Copy the reference project to a folder; return the files that it now has.

    The studies of papers stay where they are: they are run by their names, `autoaug run mixup/table_5`.

    Raises:
        ValueError: one of its folders is already there, or the folder cannot be made. Nothing is overwritten.
    """
    taken = [name for name in FOLDERS if (folder / name).exists()]
    if taken:
        raise ValueError(f"{folder} already has {taken[0]}/: give another folder, nothing was copied")
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
            for file in (shipped_root() / name).glob("*.py"):
                shutil.copy(file, folder / name)
    except OSError as error:
        raise ValueError(f"no project can be made in {folder}: {error.strerror or error}") from error
    return sorted(file for name in FOLDERS for file in (folder / name).rglob("*.py"))
