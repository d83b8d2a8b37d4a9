"""The documentation says what is true: its examples run, its links lead somewhere, and its glossary misses no class."""

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
COMMUNITY = sorted(ROOT.glob("*.md"))

FENCE = re.compile(r"^```(?P<kind>\w+)(?P<title>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = 'title="not run"'
"""What the fence of a Python example says that needs data, hardware or time that a test does not have."""

RUN_BY_OTHERS = {DOCS / "how-to" / name for name in ("ultralytics.md", "way-back.md")}
"""Pages whose examples are files of their own; tests/test_ultralytics.py and tests/test_way_back.py run them."""

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)|\b(?:src|href)=\"(?P<other>[^\"]+)\"")
CODE = re.compile(r"`[^`\n]*`")
ELSEWHERE = re.compile(r"[a-z]+:|#")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fences(path: Path, kind: str) -> list[re.Match[str]]:
    """The fenced blocks of a page that are of a language."""
    return [found for found in FENCE.finditer(path.read_text()) if found["kind"] == kind]


def examples(path: Path) -> list[str]:
    """The Python examples of a page that run, each with empty lines before it: errors then name the page's line."""
    text = path.read_text()
    runs = [found for found in fences(path, "python") if NOT_RUN not in found["title"]]
    return ["\n" * text.count("\n", 0, found.start("text")) + found["text"] for found in runs]


def public_packages() -> list[ModuleType]:
    """Every package and top module of the library that offers names: what begins with an underscore offers none."""
    folders = [path.parent.relative_to(ROOT) for path in sorted((ROOT / "autoaug").rglob("__init__.py"))]
    names = [".".join(folder.parts) for folder in folders if not any(part.startswith("_") for part in folder.parts)]
    names += [f"autoaug.{path.stem}" for path in sorted((ROOT / "autoaug").glob("[a-z]*.py"))]
    return [package for package in map(import_module, names) if hasattr(package, "__all__")]


PACKAGES = public_packages()
INTEGRATIONS = sorted(f"autoaug.integrations.{path.stem}" for path in (ROOT / "autoaug/integrations").glob("[a-z]*.py"))
"""Not imported before a test needs one: each brings its framework."""


def tables() -> Iterator[MutableMapping[str, Any]]:
    """The tables that an example may add a row to."""
    for package in PACKAGES:
        for name in package.__all__:
            if name.isupper() and isinstance(table := getattr(package, name), dict):
                yield table


@pytest.fixture
def tables_as_before() -> Iterator[None]:
    """Rows that an example adds are gone after it."""
    before = [(table, dict(table)) for table in tables()]
    yield
    for table, rows in before:
        table.clear()
        table.update(rows)


def entries() -> list[str]:
    """The words of the glossary, in its order."""
    return re.findall(r"^\*\*(.+?)\*\*$", (DOCS / "glossary.md").read_text(), re.MULTILINE)


def words() -> set[str]:
    """Every word that the glossary explains; one entry may explain several: **Choice, choice**."""
    return {word for entry in entries() for word in entry.replace("`", "").split(", ")}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_glossary_explains_every_public_class(package: ModuleType) -> None:
    offered = {name for name in package.__all__ if inspect.isclass(getattr(package, name))}
    missing = offered - words()
    assert not missing, f"docs/glossary.md has no entry for {sorted(missing)} of {package.__name__}"


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_the_glossary_explains_every_class_of_an_integration(name: str) -> None:
    test_the_glossary_explains_every_public_class(import_module(name))


def test_the_glossary_is_in_alphabetical_order() -> None:
    found = [entry.replace("`", "").casefold() for entry in entries()]
    assert len(found) > 100
    assert found == sorted(found)
    assert len(words()) == sum(entry.count(", ") + 1 for entry in entries()), "a word stands twice"


@pytest.mark.parametrize("path", [path for path in PAGES if examples(path) and path not in RUN_BY_OTHERS], ids=page_id)
@pytest.mark.usefixtures("tables_as_before")
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a page in turn, in one namespace and in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    namespace: dict[str, Any] = {"__name__": f"example_{path.stem.replace('-', '_')}"}
    for example in examples(path):
        exec(compile(example, str(path), "exec"), namespace)


def test_suites_of_a_page_pass(tmp_path: Path) -> None:
    """The page of extension points as a file of tests that pytest runs, as it would be in a project outside."""
    path = DOCS / "extension-points.md"
    (tmp_path / "test_page.py").write_text("\n\n".join(example.strip() for example in examples(path)))
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-W", "error", "test_page.py"]
    command += ["-k", "not OneByOne"]  # half a minute
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    passed = set(re.findall(r"^PASSED test_page.py::(\w+)::", done.stdout, re.MULTILINE))
    suites = set(re.findall(r"^class (\w+)\(\w+TestCase\b", path.read_text(), re.MULTILINE))
    assert passed == suites - {"TestOneByOne"}
    offered = {name for name in import_module("autoaug.testing").__all__ if name.endswith("TestCase")}
    assert all(f"`{name}`" in path.read_text() for name in offered), "the page names every suite"


def test_most_examples_run() -> None:
    every = [found for path in PAGES for found in fences(path, "python")]
    run = [example for path in PAGES for example in examples(path)]
    assert len(run) >= 15
    assert len(run) > 0.7 * len(every)


def test_examples_of_extension_points_are_short() -> None:
    long = [len(example.strip().splitlines()) for example in examples(DOCS / "extension-points.md")]
    assert len(long) >= 12
    assert max(long) <= 15


@pytest.mark.parametrize("path", [*PAGES, *COMMUNITY], ids=page_id)
def test_relative_links_lead_somewhere(path: Path) -> None:
    for found in LINK.finditer(CODE.sub("", FENCE.sub("", path.read_text()))):
        target = found["target"] or found["other"]
        if not ELSEWHERE.match(target):
            assert (path.parent / target.partition("#")[0]).exists(), f"{page_id(path)} links to {target}"


def listed(nav: Any) -> Iterator[str]:
    """The pages of a navigation, at whatever depth."""
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from listed(each)


def test_the_navigation_lists_every_page_once() -> None:
    pages = list(listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(pages) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_a_page_begins_with_its_title_or_is_another_file(path: Path) -> None:
    """Fields of mkdocs, as that a page has no list of contents beside it, may come before."""
    assert re.match(r'(---\n[^#]*?\n---\n\n)?(# \S|--8<-- ")', path.read_text())


def test_included_files_are_there() -> None:
    included = [name for path in PAGES for name in re.findall(r'^--8<-- "(.+)"$', path.read_text(), re.MULTILINE)]
    assert "CHANGELOG.md" in included
    assert all((ROOT / name).is_file() for name in included)
    results = {str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    assert results <= set(included), "each table of results is a page"


def is_read_as_text(package: ModuleType) -> bool:
    """Whether the site's generator finds a package: it looks for an `__init__.py` in each folder on the way."""
    folders = [
        ROOT.joinpath(*package.__name__.split(".")[:depth]) for depth in range(1, package.__name__.count(".") + 2)
    ]
    *above, last = folders
    is_module = last.with_suffix(".py").is_file()
    return all((folder / "__init__.py").is_file() for folder in (above if is_module else folders))


def test_every_public_package_has_a_page_of_reference() -> None:
    documented = re.findall(r"^::: (\S+)$", "\n".join(path.read_text() for path in PAGES), re.MULTILINE)
    wanted = {package.__name__ for package in PACKAGES if is_read_as_text(package)} - {"autoaug.cli"}
    assert sorted(documented) == sorted({*wanted, *INTEGRATIONS}), "the page of autoaug.cli is of commands"


def commands(path: Path) -> Iterator[list[str]]:
    """The calls of autoaug in the console blocks of a page, in words."""
    for block in fences(path, "console"):
        for line in block["text"].replace("\\\n", " ").splitlines():
            found = shlex.split(line.removeprefix("$ "), comments=True)
            if found[:1] == ["autoaug"]:
                yield found[1:]


@pytest.mark.parametrize("path", [path for path in PAGES if [*commands(path)]], ids=page_id)
def test_commands_and_their_options_are_those_of_the_command_line(path: Path) -> None:
    import typer

    from autoaug.cli import app

    known = typer.main.get_command(app).commands
    for name, *arguments in commands(path):
        assert name in known, f"{page_id(path)}: autoaug {name}"
        options = {option for parameter in known[name].params for option in parameter.opts} | {"--help", "-h"}
        assert {word.partition("=")[0] for word in arguments if word.startswith("-")} <= options, arguments


def test_the_page_of_the_command_line_names_every_command_and_option() -> None:
    import typer

    from autoaug.cli import app

    page = (DOCS / "reference" / "command-line.md").read_text()
    sections = dict(re.findall(r"^## autoaug (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    known = typer.main.get_command(app).commands
    assert sorted(sections) == sorted(known)
    for name, command in known.items():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert f"`{parameter.opts[0]}" in sections[name], f"autoaug {name} {parameter.opts[0]}"
