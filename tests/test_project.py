"""A project of one's own: copied out of a checkout or a wheel, and found again from anywhere."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoaug.cli._project import FOLDERS, load_study, new_project, root_of, shipped_root

ROOT = Path(__file__).parent.parent

STUDY = """
from autoaug import Budget, Study, Task
from autoaug.strategies import none, randaugment

def study_called(name):
    task = Task(data="digits-rotated", model="convnet", epochs=1, batch_size=100)
    arms = {"none": none(), "ra": randaugment()}
    return Study(name=name, task=task, strategies=arms, budget=Budget(trials=1), seeds=1)
"""


@pytest.fixture(autouse=True)
def modules_forgotten() -> Iterator[None]:
    """A study file becomes a module and its project an import path: both are for one process and one project."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in (*FOLDERS, "mine", "helper", "other"):
            del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_new_project_is_a_copy_of_the_reference_project(tmp_path: Path) -> None:
    files = new_project(tmp_path / "deep" / "mine")
    for folder in FOLDERS:
        theirs, ours = tmp_path / "deep" / "mine" / folder, ROOT / folder
        names = sorted(file.name for file in ours.glob("*.py"))
        assert names
        assert sorted(file.name for file in theirs.iterdir()) == names, "and no __pycache__"
        assert all((theirs / name).read_bytes() == (ours / name).read_bytes() for name in names)
    assert len(files) == len(set(files)) == sum(len(list((ROOT / folder).glob("*.py"))) for folder in FOLDERS)
    assert all(file.is_file() for file in files)


def test_what_python_caches_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in FOLDERS:
        write(tmp_path / "shipped" / folder / "x.py", "")
        write(tmp_path / "shipped" / folder / "__pycache__" / "x.pyc", "")
    monkeypatch.setattr("autoaug.cli._project.shipped_root", lambda: tmp_path / "shipped")
    new_project(tmp_path / "mine")
    assert not list((tmp_path / "mine").rglob("*.pyc"))


@pytest.mark.parametrize("taken", FOLDERS)
def test_nothing_is_overwritten(tmp_path: Path, taken: str) -> None:
    precious = write(tmp_path / taken / "precious.py", "years of work")
    with pytest.raises(ValueError, match=rf"already has {taken}/: give another folder, nothing was copied"):
        new_project(tmp_path)
    assert list(tmp_path.rglob("*.py")) == [precious]
    assert precious.read_text() == "years of work"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "file", "")
    with pytest.raises(ValueError, match=r"no project can be made in .*file"):
        new_project(file)


def test_a_name_is_looked_for_in_this_project_first_and_then_among_the_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_study("quickstart").root == shipped_root() == ROOT
    write(tmp_path / "studies" / "quickstart.py", STUDY + "study = study_called('my-own')")
    found = load_study("quickstart")
    assert (found.study.name, found.root) == ("my-own", tmp_path)
    with pytest.raises(ValueError, match=r"unknown study 'quikstart': did you mean 'quickstart'\? \(a file's path"):
        load_study("quikstart")


def test_a_file_imports_from_its_own_project_whatever_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(project / "search_spaces" / "of_mine_only.py", "name = 'by-import'")
    text = STUDY + "from search_spaces.of_mine_only import name\nstudy = study_called(name)\n"
    write(project / "studies" / "mine.py", text)
    monkeypatch.chdir(elsewhere)
    found = load_study("../project/studies/mine.py")
    assert (found.study.name, found.root) == ("by-import", project)
    assert sys.modules["studies.mine"].study is found.study, "its functions can be found by workers"


def test_the_root_of_a_project_is_found_from_any_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "p" / "search_spaces").mkdir(parents=True)
    assert root_of(tmp_path / "p" / "studies" / "x.py") == tmp_path / "p"
    assert root_of(tmp_path / "p" / "x.py") == tmp_path / "p"
    assert root_of(tmp_path / "p" / "drafts" / "x.py") == tmp_path / "p"
    assert root_of(tmp_path / "studies" / "work" / "x.py") == tmp_path / "studies" / "work", "a folder by chance"


def test_one_of_several_studies_is_picked_by_name(tmp_path: Path) -> None:
    two = STUDY + "one = study_called('one')\ntwo = study_called('two')\n"
    path = write(tmp_path / "mine.py", two)
    assert load_study(f"{path}:two").study.name == "two"
    with pytest.raises(ValueError, match=r"mine.py defines 2 studies: say which, mine.py:one or mine.py:two"):
        load_study(str(path))
    with pytest.raises(ValueError, match=r"unknown study 'tow' in mine.py: did you mean 'two'\?"):
        load_study(f"{path}:tow")
    path.write_text(two + "study = study_called('chosen')\n")
    assert load_study(str(path)).study.name == "chosen", "the name `study` says which is meant"


BROKEN = {
    "x = {}['a']\n": r"mine.py, line 1: KeyError: 'a'",
    "x = (1,\n": r"mine.py, line 1: '\(' was never closed",
    "x = '\0'\n": r"mine.py.*null byte",
    "\n\nimport sys\nsys.exit(3)\n": r"mine.py, line 4: SystemExit: 3",
    "raise ValueError('two\\nlines')\n": r"mine.py, line 1: two lines",
    "import helper\n": r"helper.py, line 2: ZeroDivisionError",
    "import other\n": r"other.py, line 1: invalid syntax",
    "import json\njson.loads('{')\n": r"mine.py, line 2: Expecting property name",
    "import search_spaces.none_such\n": r"mine.py, line 1: ModuleNotFoundError.*\(looked for in .* what is installed\)",
    "study = 3\n": r"mine.py defines no study: write `study = Study\(\.\.\.\)`",
    "arms = {\n  'a': 1,\n  'b': 2,\n  'a': 3,\n}\n": r"mine.py, line 4: 'a' stands twice in one dict",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_one_line_that_says_where(tmp_path: Path, text: str) -> None:
    write(tmp_path / "helper.py", "\nx = 1 / 0\n")
    write(tmp_path / "other.py", "x = = 1\n")
    path = write(tmp_path / "mine.py", text)
    with pytest.raises(ValueError, match=BROKEN[text]) as caught:
        load_study(str(path))
    assert "\n" not in str(caught.value)
    if "defines no study" not in str(caught.value):
        assert "mine" not in sys.modules, "a half-made module would be found by the next import"


def test_a_parser_of_a_file_reads_none_of_the_arguments_of_autoaug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a script that was not written for a study."""
    parser = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--name', default='usual')\n"
    study = "study = study_called(parser.parse_args().name)\n"
    path = write(tmp_path / "mine.py", parser + STUDY + study)
    monkeypatch.setattr(sys, "argv", ["autoaug", "run", str(path), "--dry-run"])
    assert load_study(str(path)).study.name == "usual"
    assert sys.argv == ["autoaug", "run", str(path), "--dry-run"]


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no study file .*none.py: check the path"):
        load_study(str(tmp_path / "none.py"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_library_and_the_reference_project_and_no_more(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"autoaug", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    shipped = {name.removeprefix("autoaug/_shipped/") for name in names if name.startswith("autoaug/_shipped/")}
    ours = (file.relative_to(ROOT).as_posix() for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
    assert shipped == set(ours), "with the studies of papers in their folders"
    assert "autoaug/py.typed" in names
    files = [file.relative_to(ROOT) for file in (ROOT / "autoaug").rglob("*") if file.suffix in (".py", ".html")]
    assert set(map(str, files)) <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".db"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


class Installed:
    """The wheel in an environment that has its dependencies and does not see the checkout."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.folder = folder
        target = folder / "site"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
        subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
        packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), *packages])}
        self.environment.pop("AUTOAUG_STORAGE", None)

    def python(self, *arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Without `site`, the .pth file of an editable installation is not read."""
        return subprocess.run(
            [sys.executable, "-S", *arguments],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_an_installed_wheel_makes_a_project_that_runs(installed: Installed, tmp_path: Path) -> None:
    where = installed.python("-c", "import autoaug, studies; print(autoaug.__file__)")
    assert "ModuleNotFoundError" in where.stderr, "the checkout can be seen: this test would prove nothing"
    made = installed.python("-m", "autoaug", "new", "proj", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "cd proj && " in made.stdout
    assert "-m autoaug run studies/quickstart.py" in made.stdout
    planned = installed.python(
        "-m", "autoaug", "run", "studies/quickstart.py", "--only=none", "--dry-run", "--json", folder=tmp_path / "proj"
    )
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["study"] == "quickstart"


@pytest.mark.slow
def test_an_installed_wheel_runs_shipped_studies_by_name_and_ones_own(installed: Installed, tmp_path: Path) -> None:
    shipped = installed.python("-m", "autoaug", "run", "quickstart", "--only=none", "--dry-run", folder=tmp_path)
    assert shipped.returncode == 0, shipped.stderr
    assert "quickstart: the plan" in shipped.stdout
    write(tmp_path / "mine.py", STUDY + "from search_spaces.mixing import mixup_alpha\nstudy = study_called('own')\n")
    new_project(tmp_path)
    done = installed.python("-m", "autoaug", "run", "mine.py", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in json.loads(done.stdout.splitlines()[-1])["strategies"]} == {"none", "ra"}
