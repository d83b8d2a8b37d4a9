"""What every test stands on: one thread, explicit generators, and nobody who moves the global one."""

import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: trials and tests share few cores

import pytest
import torch

torch.set_num_threads(1)


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
