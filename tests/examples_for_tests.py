"""Runs the studies of examples/ as far as tests need them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoaug import Budget, Study
from autoaug.execution import Event, Options
from autoaug.executors import run
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import trivialaugment

ROOT = Path(__file__).parent.parent


def short(study: Study, **more: Any) -> Study:
    """A study of an example with one strategy, one trial and one final run."""
    given: dict[str, Any] = {"strategies": {"ta": trivialaugment()}, "budget": Budget(trials=1), "seeds": 1}
    return replace(study, **given | more)


def figures(store: Store, name: str) -> dict[tuple[TrialKind, int], dict[str, float]]:
    """What every epoch measured, to the last bit; of an epoch that was repeated, the last time."""
    return {(record.kind, record.epoch): dict(record.metrics) for record in store.epochs(name)}


def run_in(folder: Path, study: Study, listen: Callable[[Event], None] = lambda event: None) -> Store:
    """Run a study with its storage and its checkpoints in a folder, a checkpoint after every epoch."""
    store = Store(f"sqlite:///{folder / 'x.db'}")
    run(study, store, options=Options(artifacts=folder / "artifacts", checkpoint_seconds=0), listen=listen)
    return store


def interrupted_after(folder: Path, study: Study, epochs: tuple[int, ...]) -> Store:
    """Run a study that is interrupted as soon as an epoch of its search is stored, and then another."""
    for epoch in epochs:

        def interrupt(event: Event, epoch: int = epoch) -> None:
            if event.record and event.record.epoch == epoch and event.job.kind is not TrialKind.FINAL:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_in(folder, study, interrupt)
    return run_in(folder, study)


KILLED = """
import os, signal
from pathlib import Path
from examples_for_tests import run_in, short
from examples.{module} import study

def kill(event):
    if event.record and event.record.epoch == {epoch}:
        os.kill(os.getpid(), signal.SIGKILL)

run_in(Path({folder!r}), short(study), kill)
"""


def killed_after(folder: Path, module: str, epoch: int) -> None:
    """Run the short study of an example in a process of its own, which dies by SIGKILL after an epoch is stored."""
    code = KILLED.format(module=module, epoch=epoch, folder=str(folder))
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
