"""The global generators of Python, numpy and torch as a loop of the user's own sees them: ours are not moved by it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class GlobalGenerators:
    """Give a loop global generators of its own, for as long as it runs, and put ours back whenever it rests.

    They begin where ours are. Once they were seeded, a checkpoint keeps them.
    """

    def __init__(self) -> None:
        self.seeded = False
        self.states: dict[str, Any] | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the block go on with the generators of the loop."""
        ours = states()
        if self.states is not None:
            put_back(self.states)
        try:
            yield
        finally:
            self.states = states()
            put_back(ours)

    def seed(self, seed: int) -> None:
        """Seed them all; to be called while they are in use."""
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        self.seeded = True

    def state_dict(self) -> dict[str, Any] | None:
        """Return the states while they are in use, as tensors and plain data; None where nobody seeded them."""
        return states() if self.seeded else None

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go on from what `state_dict` returned; to be called while they are in use."""
        if state is not None:
            put_back(state)
            self.seeded = True


def states() -> dict[str, Any]:
    """Return the states of the global generators: tensors and plain data."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    held = {
        "python": random.getstate(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        held["cuda"] = torch.cuda.get_rng_state_all()
    return held


def put_back(states: dict[str, Any]) -> None:
    """Let the global generators go on where they were.

    A GPU that had not begun to draw, or was not there, begins by the seed of the CPU's, as `torch.manual_seed` lets it.
    """
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if not torch.cuda.is_available():
        return
    torch.cuda.manual_seed_all(torch.initial_seed())  # where CUDA has not begun, it is told when it does
    for device, state in zip(range(torch.cuda.device_count()), states.get("cuda", ()), strict=False):
        torch.cuda.set_rng_state(state, device)
