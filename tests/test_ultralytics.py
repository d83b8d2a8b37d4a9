"""The recipe of docs/how-to/ultralytics.md, run as it stands there: a tiny classifier with random weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_docs import DOCS, ROOT, fences

from autoaug.record import TrialKind
from autoaug.store import Store

(RECIPE,) = (
    found["text"] for found in fences(DOCS / "how-to" / "ultralytics.md", "python") if "yolo" in found["title"]
)

QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
"""An environment in which Ultralytics asks nothing of the network."""

KILLED_ONCE = """
import os, signal
from dataclasses import replace

def killed_once(trial):
    for k, metrics in enumerate(train(trial)):
        if k == 1 and not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield metrics

study = replace(study, train=killed_once)
"""
"""The process dies once, after the first epoch of the first trial was kept."""


def photos(folder: Path) -> None:
    """Dark images and bright ones, in the folders that Ultralytics expects."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        for k, name in enumerate(("bright", "dark")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = draws.integers(0, 100, (40, 40, 3)) + 150 * (1 - k)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{i}.png")


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the study, without a network, and with the settings of Ultralytics in the folder."""
    command = [sys.executable, "-m", "autoaug", "run", "yolo.py", "--storage", "sqlite:///yolo.db"]
    command += ["--checkpoint-seconds", "0"]
    environment = {**os.environ, **QUIET, "YOLO_CONFIG_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_recipe_runs_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "yolo.py").write_text(RECIPE + KILLED_ONCE)
    assert run(tmp_path).returncode == -9
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(f"sqlite:///{tmp_path / 'yolo.db'}", existing=True)
    epochs = [each for each in store.epochs("yolo") if each.kind is TrialKind.SEARCH]
    assert [(each.attempt, each.epoch) for each in epochs if each.strategy == "none"] == [(1, 1), (2, 2), (2, 3)]
    assert sum(each.metrics["hyper_updates"] for each in epochs if each.strategy == "online") > 0
    finals = [each for each in store.outcomes("yolo") if each.kind is TrialKind.FINAL]
    assert [each.state for each in finals] == ["COMPLETE"] * 3
    assert all("test_accuracy" in each.metrics for each in finals)
