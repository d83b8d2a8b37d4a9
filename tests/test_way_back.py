"""docs/how-to/way-back.md: a policy that was found, in a training that knows nothing of autoaug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import DOCS, fences
from test_ultralytics import QUIET, photos

from autoaug.export import export
from autoaug.policy import apply, encode, policy_tree, sequence

TREE = policy_tree(sequence([apply("rotate", (0.0, 0.5)), apply("brightness", 0.4, probability=0.5)]))

SCRIPTS = {found["title"].split('"')[1]: found["text"] for found in fences(DOCS / "how-to" / "way-back.md", "python")}

COUNTED = """
import policy as exported

calls = []
def counted(self, given, params, before=exported.Policy.transform):
    calls.append(given)
    return before(self, given, params)
exported.Policy.transform = counted
"""
"""Before a script: what the policy is given in this process."""

ALONE = """
import sys
assert "autoaug" not in sys.modules
"""


def run(script: str, folder: Path) -> str:
    """Run a script beside the files of a policy; return what it printed."""
    photos(folder / "photos")
    (folder / "policy.py").write_text(export(TREE, "torchvision").text)
    (folder / "policy.json").write_text(encode(TREE))
    (folder / "script.py").write_text(script)
    environment = {**os.environ, **QUIET, "YOLO_CONFIG_DIR": str(folder)}
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOOPS = ("PyTorch", "Lightning", "Hugging Face", "timm", "Ultralytics")

OF_FILES = ("PyTorch", "Lightning", "Hugging Face", "Ultralytics")
"""That read policy.json; with timm that is the loop of PyTorch."""


def test_every_loop_has_a_way_back() -> None:
    assert list(SCRIPTS) == [*LOOPS, *(f"{name}, policy.json" for name in OF_FILES)]


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_an_exported_policy_trains_without_autoaug(name: str, tmp_path: Path) -> None:
    """It is applied to each of the 16 training images once, whether in batches or one by one."""
    script = SCRIPTS[name].replace("num_workers=2", "num_workers=0")
    count = "print(sum(len(each) if getattr(each, 'ndim', 3) == 4 else 1 for each in calls))"
    printed = run(COUNTED + script + ALONE + count, tmp_path)
    assert printed.splitlines()[-1] == "16"


READ = """
from autoaug.policy import Fixed

given = []
def counted(self, images, *more, before=Fixed.__call__):
    given.append(len(images))
    return before(self, images, *more)
Fixed.__call__ = counted
"""
"""Before a script: what the policy of a file is given."""


TRAININGS = {"Lightning": "\ntrainer = ", "Hugging Face": "\nmodel = ", "Ultralytics": "\noff = "}
"""Where in a script that imports policy.py all is defined, and the training begins."""


def from_file(name: str) -> str:
    """A script that reads policy.json: what it defines takes part in the training of the other script."""
    script, defined = SCRIPTS[name], SCRIPTS[f"{name}, policy.json"]
    if name not in TRAININGS:
        return defined
    head, begins, training = script.partition(TRAININGS[name])
    return head + "\n" + defined + begins + training.replace("\nTrainer(", "\nAugmentingTrainer(")


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_FILES)
def test_a_policy_file_trains(name: str, tmp_path: Path) -> None:
    assert run(READ + from_file(name) + "\nprint(sum(given))", tmp_path).splitlines()[-1] == "16"
