"""The benchmark of the platform runs; what it measures is measured elsewhere."""

import pytest

from autoaug import Task
from benchmarks.platform import sharing, workers


@pytest.mark.slow
def test_trainings_share_a_device_and_workers_a_study() -> None:
    _, _, *shared = sharing(Task(data="digits", model="convnet", epochs=2, device="cpu"), (1, 2))
    cells = [row.strip("| ").split(" | ") for row in shared]
    assert [row[0] for row in cells] == ["1", "2"]
    assert min(float(row[1].replace(",", "")) for row in cells) > 0
    _, _, driven = workers((1,), 4, None)
    assert driven.startswith("| SQLite | 1 | 8 | "), "four trials, and two final runs of two strategies"
