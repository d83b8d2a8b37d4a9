"""The shape of the library: floors, one home for each heavy import, and the names that others build on."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "autoaug"
FILES = sorted(LIBRARY.rglob("*.py"))

FLOORS = (
    # what floor 0 stands on: they import nothing of the library, and floor 0 may import them
    {"text", "fields", "lookup", "seeding", "interruption", "devices", "record", "lazy", "processes", "origin"},
    {"artifacts", "table"},
    {"checkpoint", "metrics", "photos"},
    {"ops", "mixing", "hypergrad", "models", "data", "options"},
    {"policy"},
    {"export", "train"},
    {"learners", "gallery"},
    {"trial"},
    {"strategies"},
    {"study", "store"},
    {"execution", "compare", "diagnose"},
    {"executors"},
    {"testing", "integrations", "notebook", "page"},
    {"cli"},
    {"__main__", "__init__"},
)
"""From the ground up. A module imports from floors below its own, and from its own folder."""

HOMES = {
    "IPython": {"notebook"},
    "accelerate": {"integrations"},
    "cloudpickle": {"executors"},
    "cmaes": {"strategies"},
    "fsspec": {"artifacts"},
    "greenlet": {"trial"},
    "kornia": {"ops"},
    "lightning": {"integrations"},
    "optuna": {"strategies", "study", "store", "execution", "executors", "compare", "testing", "page"},
    "optuna_dashboard": {"page"},
    "plotly": set(),  # figures are the user's: dashboards/
    "pytest": {"testing"},
    "ray": {"executors"},
    "rich": {"cli"},
    "safetensors": {"models"},
    "sklearn": set(),  # its files are read, see data/_sklearn_files.py
    "sqlalchemy": {"store"},
    "timm": {"models", "integrations"},
    "torchvision.datasets": {"data"},
    "torchvision.models": {"models"},
    "transformers": {"integrations"},
    "typer": {"cli"},
    "waitress": {"page"},
}
"""Where the library may import what is heavy or may be exchanged one day."""

PUBLIC = {
    "autoaug": "Budget Command Policy Record Study Task Trial current load_policy run",
    "autoaug.ops": "OPS Op",
    "autoaug.mixing": "MIXES Mix",
    "autoaug.models": "MODELS build",
    "autoaug.data": "DATASETS corrupted feature_table from_datasets image_folder image_table load_data long_tailed npz "
    "reduced speech_commands spoken_digits subset tabular tensors",
    "autoaug.hypergrad": "conjugate_gradient exact identity neumann unrolled",
    "autoaug.policy": "Fixed Policy apply choice load_policy load_tree policy_tree ready schedule sequence",
    "autoaug.strategies": "PRUNERS SAMPLERS Space Strategy affine_grid autoaugment madao madao_cg madao_first_order "
    "none one_epoch_top_k online_score published randaugment random_policy standard stn trivialaugment truncated "
    "uniformaugment validated_magnitude",
    "autoaug.compare": "anytime leaderboard",
    "autoaug.store": "Store",
    "autoaug.testing": "CommandTestCase ExecutorTestCase LearnerTestCase MixTestCase OpTestCase PolicyTestCase "
    "RandomOpTestCase SamplerTestCase StrengthTestCase eight_bit photographs",
}
"""Names that studies, dashboards and tests outside this project import."""

ROWS = {
    ("autoaug.ops", "OPS"): "shear_x shear_y translate_x translate_y rotate brightness contrast color sharpness "
    "posterize solarize auto_contrast equalize invert",
    ("autoaug.mixing", "MIXES"): "none mixup cutmix hmix gmix",
    ("autoaug.models", "MODELS"): "convnet wrn-28-2 wrn-40-2 wrn-28-10 preactresnet-18 densenet-bc-40-12 "
    "shake-shake-26-2x96d resnet-18",
    ("autoaug.data", "DATASETS"): "digits digits-rotated cifar10 cifar100 svhn mnist fashion-mnist stl10 "
    "flowers102 oxford-pets fgvc-aircraft stanford-cars imagenette eurosat food101 imagenet speech-commands",
}
"""Rows of tables that others name."""


def room(path: Path) -> str:
    """The module or folder of the library that a file belongs to."""
    return path.relative_to(LIBRARY).with_suffix("").parts[0]


def floor(name: str) -> int:
    found = [k for k, names in enumerate(FLOORS) if name in names]
    assert found, f"autoaug/{name} stands on no floor: add it to FLOORS"
    return found[0]


@cache
def tree_of(path: Path) -> ast.Module:
    """A file, which is parsed once: each test of it reads it, and those of a package read them all."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every name that a file imports, dotted, wherever in the file it does so."""
    return tuple(imported_names(path))


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_go_down(path: Path) -> None:
    for name in imports(path):
        if under(name, "autoaug"):
            imported = name.split(".")[1] if name.count(".") else "__init__"
            assert imported == room(path) or floor(imported) < floor(room(path)), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_nobody_imports_an_underscore_of_another_room(path: Path) -> None:
    for name in imports(path):
        if under(name, "autoaug") and any(part.startswith("_") for part in name.split(".")):
            assert name.split(".")[1] == room(path), f"{path.name} imports {name}: offer it in the package's __init__"


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=lambda path: room(path))
def test_a_package_offers_exactly_what_it_says(path: Path) -> None:
    """What is imported into a package's `__init__` or made there is in `__all__`; what is not has an underscore."""
    name = ".".join(path.relative_to(ROOT).parent.parts)
    if name == "autoaug":
        return  # its names are imported when they are first used
    package, tree = import_module(name), tree_of(path)
    imported = {
        alias.asname or alias.name
        for node in (each for part in tree.body for each in (part, *getattr(part, "body", ())))
        if isinstance(node, ast.ImportFrom)
        if under(node.module or "", "autoaug")
        for alias in node.names
    }
    offered = set(vars(package).get("__all__", ()))
    assert all(hasattr(package, each) for each in offered)
    assert {each for each in imported if not each.startswith("_")} - {"lazily"} <= offered


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_import_has_one_home(package: str) -> None:
    users = {room(path) for path in FILES if any(under(name, package) for name in imports(path))}
    assert users <= HOMES[package], f"{package} is imported outside its home"


def test_the_trainer_knows_neither_hypergradients_nor_learners() -> None:
    """What a learner needs is its own affair: the trainer sees the protocol only."""
    for path in (path for path in FILES if room(path) == "train"):
        others = {name for name in imports(path) if under(name, "autoaug.hypergrad") or under(name, "autoaug.learners")}
        assert not others, f"{path.name} imports {others}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_learner_is_never_probed(path: Path) -> None:
    """All that is asked of a learner stands in the protocol, so no attribute of one is looked up by a text."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            assert "learner" not in ast.unparse(node.args[0]), f"{path.name}, line {node.lineno}: {ast.unparse(node)}"


def test_ray_is_imported_by_one_file_that_is_imported_late() -> None:
    users = [path for path in FILES if any(under(name, "ray") for name in imports(path))]
    assert users == [LIBRARY / "executors" / "ray.py"]


def test_the_library_imports_nothing_of_the_reference_project() -> None:
    for path in FILES:
        for name in imports(path):
            assert not any(under(name, folder) for folder in ("search_spaces", "studies", "dashboards", "tests")), path


def test_plotly_draws_in_dashboards_only() -> None:
    users = {
        path.parent.name
        for folder in ("search_spaces", "studies", "dashboards", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if any(under(name, "plotly") for name in imports(path))
    }
    assert users == {"dashboards"}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there_and_say_what_they_are(module: str) -> None:
    found = import_module(module)
    for name in PUBLIC[module].split():
        value = getattr(found, name)
        if callable(value) and getattr(value, "__module__", "").startswith("autoaug"):
            assert value.__doc__, f"{module}.{name} has no docstring"


@pytest.mark.parametrize(("module", "table"), ROWS)
def test_rows_that_others_name_are_in_their_table(module: str, table: str) -> None:
    assert set(ROWS[module, table].split()) <= set(getattr(import_module(module), table))


def test_star_and_dir_give_the_public_names() -> None:
    found = import_module("autoaug")
    assert sorted(found.__all__) == sorted(PUBLIC["autoaug"].split()) == sorted(dir(found))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = found.nonsense


@pytest.mark.parametrize(
    "room", ["data", "learners", "strategies", "strategies.samplers", "execution", "executors", "compare", "testing"]
)
def test_names_that_are_imported_late_are_listed_and_others_refused(room: str) -> None:
    found = import_module(f"autoaug.{room}")
    assert set(found.__all__) <= set(dir(found))
    with pytest.raises(AttributeError, match=f"^module 'autoaug.{room}' has no attribute 'nonsense'$"):
        _ = found.nonsense


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


INSTANT = """
import sys
import autoaug
from autoaug.cli import app
for line in {lines}:
    try:
        app(line.split())
    except SystemExit as end:
        print("exit", end.code, file=sys.stderr)
heavy = {{"torch", "ray", "optuna", "numpy", "sqlalchemy", "plotly"}} & set(sys.modules)
print("heavy:", sorted(heavy), file=sys.stderr)
"""


def test_help_and_usage_errors_import_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = (1,\n")
    lines = ["--help", "run --help", "compare -h", "nonsense", "run", "run quickstrt", "run none.py", "run broken.py"]
    done = subprocess.run(
        [sys.executable, "-c", INSTANT.format(lines=lines)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr.count("exit 0") == 3
    assert done.stderr.count("exit 2") == 5, done.stderr
    assert done.stderr.endswith("heavy: []\n"), done.stderr


def test_a_process_that_trains_imports_nothing_that_only_comparing_needs() -> None:
    late = {"cmaes", "pandas", "scipy", "sklearn", "torchvision"}
    code = f"import sys, autoaug.study, autoaug.execution._worker; print(sorted({late} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


PUBLIC_MODULES = {"policy/ready.py", "policy/published.py", "executors/local.py", "executors/ray.py"}
"""Modules inside a room that are imported by their own name: what they hold is too much, or too heavy, for it."""


def test_modules_of_a_room_are_its_own_affair() -> None:
    """But for the integrations, each of which stands for itself."""
    rooms = [path for path in FILES if path.parent != LIBRARY and room(path) != "integrations"]
    inside = {path.relative_to(LIBRARY) for path in rooms if path.name != "__init__.py"}
    assert {str(path) for path in inside if not path.name.startswith("_")} == PUBLIC_MODULES
