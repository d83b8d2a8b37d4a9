"""Several processes that train one trial together, as torchrun starts them: they go on and end as one."""

import os
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Ranks:
    """Say which of the processes of a trial this is, and let them decide together."""

    rank: int = 0
    world: int = 1
    """How many there are."""

    @classmethod
    def of_environment(cls) -> "Ranks":
        """Return what a launcher has said of this process by RANK and WORLD_SIZE; without one it is alone."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def reports(self) -> bool:
        """Whether this one writes for all: metrics and checkpoints."""
        return self.rank == 0

    def agree(self, epoch: int, to_end: bool) -> bool:
        """Return whether any of them is to end, once all have come to the end of an epoch.

        Raises:
            RuntimeError: there is no process group, or they are not in the same epoch.
        """
        if self.world == 1:
            return to_end
        if not distributed.is_initialized():
            raise RuntimeError(
                f"WORLD_SIZE is {self.world}, and the processes do not know each other: call "
                "torch.distributed.init_process_group in the loop before its first yield, and destroy it after the last"
            )
        said: list[tuple[int, bool]] = [(epoch, to_end)] * self.world
        distributed.all_gather_object(said, (epoch, to_end))
        epochs = [each for each, _ in said]
        if len(set(epochs)) > 1:
            raise RuntimeError(f"the ranks yield in different epochs, {epochs}: let each yield once in every epoch")
        return any(ends for _, ends in said)

    def device(self, device: torch.device) -> torch.device:
        """Return which GPU is this process's, where each of a machine has one of its own."""
        if device.type != "cuda" or self.world == 1:
            return device
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())


def lost_peer(error: BaseException) -> bool:
    """Whether an error says that another rank is gone, and nothing of this one.

    Gloo has no type of its own for that.
    """
    if isinstance(error, distributed.DistError):
        return True
    words = ("gloo", "Connection closed by peer", "Connection reset by peer")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
