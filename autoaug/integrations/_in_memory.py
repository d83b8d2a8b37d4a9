"""The checkpoint of a trainer of Lightning, as a part of that of the trial."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.plugins import CheckpointIO

KEPT = "kept-by-autoaug"
"""Where Lightning believes the checkpoint of the trial to be."""


class InMemory(CheckpointIO):
    """Hold the checkpoint of a trainer for that of the trial: no file is written or read for it."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.others = trainer, trainer.strategy.checkpoint_io
        self.content: dict[str, Any] = {}
        trainer.strategy.checkpoint_io = self

    def state_dict(self) -> dict[str, Any]:
        """Return a checkpoint of Lightning, tensors and plain data; before the training what it goes on from."""
        if self.trainer.training:
            self.trainer.save_checkpoint(KEPT)
        return self.content

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what the trainer is to go on from."""
        self.content = state

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Hold the checkpoint of the trial; write any other."""
        if path == KEPT:
            self.content = checkpoint
        else:
            self.others.save_checkpoint(checkpoint, path, storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **more: Any) -> dict[str, Any]:
        """Return the checkpoint of the trial; read any other."""
        return self.content if path == KEPT else self.others.load_checkpoint(path, *args, **more)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a file that was written."""
        self.others.remove_checkpoint(path)
