"""A cluster of Ray with two cores, and what a study did on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.cloudpickle
from waiting_for_tests import until

from autoaug import Study
from autoaug.record import TrialKind, last_attempts
from autoaug.store import Store

# Ray leaves sockets and files to the garbage collector and uses what Python deprecates: its own affair
ON_TWO_CORES = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("two_cores")]
"""Marks of a file whose tests share such a cluster; it imports the fixture too."""


@pytest.fixture(scope="module")
def two_cores() -> Iterator[None]:
    """A cluster of two cores, which must be free at the end."""
    # "local": or it joins a cluster that another test of this machine has started
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    until_all_cores_are_free()
    ray.shutdown()


def until_all_cores_are_free() -> None:
    """A study that ended, however it did, holds nothing of a cluster that lives on."""
    held = "an actor, or its placement group, holds a core"
    until(lambda: ray.available_resources().get("CPU") == 2, 60, otherwise=held)


def open_store(tmp_path: Path, name: str = "x") -> Store:
    """A storage in a folder."""
    return Store(f"sqlite:///{tmp_path / name}.db")


def numbers(store: Store, study: Study) -> set[Any]:
    """What became of each trial of a study, and of its final runs."""
    return {
        (o.strategy, o.kind, o.root, tuple(o.point.items()), o.state, o.value)
        for o in last_attempts(store.outcomes(study.name))
        if o.kind is not TrialKind.FINAL
    } | {(o.strategy, o.seed, tuple(o.point.items()), o.metrics["test_accuracy"]) for o in finals(store, study)}


def finals(store: Store, study: Study) -> list[Any]:
    """The last attempts at the final runs of a study."""
    return [o for o in last_attempts(store.outcomes(study.name)) if o.kind is TrialKind.FINAL]
