"""What every test stands on: one thread, explicit generators, and nobody who moves the global one."""

import gc
import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: trials and tests share few cores
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 lets its workers starve beside other tests

import pytest
import torch

from autoaug.metrics import METRICS

if TYPE_CHECKING:
    from autoaug.execution import Options
    from autoaug.store import Store

torch.set_num_threads(1)

os.environ.setdefault("AUTOAUG_CHAOS_TURN", f"{date.today().toordinal() % 2}")  # here, for workers to agree at midnight

# a suite that was started in the background has Ctrl-C ignored, and so would have every command that a test interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go early, those with most of them first: no worker is left alone with one at the end.

    Such tests start processes and wait for them. Between two of these files stand some of the others: where all workers
    had slow ones at once, they would wait for each other's processes and take several times as long.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    files = dict.fromkeys(item.path for item in items)
    first = sorted((path for path in files if slow[path]), key=lambda path: -slow[path])
    others = [path for path in files if not slow[path]]
    between = max(1, 7 * len(others) // (10 * max(1, len(first))))  # the last three tenths of them come at the end
    place = {path: k * (between + 1) for k, path in enumerate(first)}
    place |= {path: k + k // between + 1 for k, path in enumerate(others)}
    items.sort(key=lambda item: place[item.path])


@pytest.fixture(autouse=True)
def cache_of_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is decoded into the cache of whoever runs the tests."""
    monkeypatch.setenv("AUTOAUG_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True, scope="module")
def nothing_stays_of_a_file() -> Iterator[None]:
    """Metrics that studies of a file made rows of go, and storages that nobody closed: a process may open 1024 files.

    By itself Python looks through what has lived long only after a quarter as much has been made, and frameworks are
    large. What outlives a file is theirs, and that of the tests themselves: nobody looks through it again.
    """
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> torch.Generator:
    """The only source of randomness of a test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def no_global_randomness() -> Iterator[None]:
    """Randomness is an explicit generator: a test in which the global one moves fails."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "something drew from torch's global generator"


@pytest.fixture
def store(tmp_path: Path) -> "Store":
    """A storage of the test's own."""
    from autoaug.store import Store

    return Store(f"sqlite:///{tmp_path / 'x.db'}")


@pytest.fixture
def options(tmp_path: Path) -> "Options":
    """How a study runs where a test does not care."""
    from autoaug.execution import Options

    return Options(artifacts=tmp_path / "artifacts")
