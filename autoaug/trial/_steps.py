"""The steps of a loop's optimisers, counted without a call by the user."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook


class Steps:
    """Count the steps of optimisers while a loop runs, whoever makes them, and tell who listens of each."""

    def __init__(self) -> None:
        self.count = 0
        self.listeners: list[Callable[[Optimizer], object]] = []
        self.muted = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch every optimiser of torch in this process for as long as the block runs."""
        handle = register_optimizer_step_post_hook(self.stepped)
        try:
            yield
        finally:
            handle.remove()

    def stepped(self, optimiser: Optimizer, *_: Any) -> None:
        """Hear of a step that was made."""
        if self.muted:
            return
        self.count += 1
        for listener in self.listeners:
            listener(optimiser)

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Leave out the steps of the block: they move the policy, not the network."""
        before, self.muted = self.muted, True
        try:
            yield
        finally:
            self.muted = before
