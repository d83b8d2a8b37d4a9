"""Where a training is within an epoch."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from autoaug.devices import to_device


@dataclass
class Position:
    """What a checkpoint between two steps of an epoch must hold beside that between two epochs.

    The images of the epoch (`Task.resplit`) and the policy of a schedule follow from the number of the epoch.
    """

    order: Tensor
    """State of the stream "order" before the order of the epoch was drawn from it: it is drawn again."""
    loss: Tensor
    """Sum of the losses of the steps that were made, a scalar in nats."""
    steps: int = 0
    """Steps of the epoch that were made."""
    generators: dict[str, Tensor] = field(default_factory=dict)
    """States of torch's global generators after these steps, by the type of their device."""

    def advance(self, loss: Tensor) -> None:
        """Count a step that was made."""
        self.loss += loss
        self.steps += 1
        self.generators = {"cpu": torch.get_rng_state()}
        if loss.is_cuda:
            self.generators["cuda"] = torch.cuda.get_rng_state(loss.device)

    def seed_global_generators(self, device: torch.device) -> None:
        """Let torch's global generators go on where they were; one of a device that was not there begins anew."""
        torch.set_rng_state(self.generators["cpu"])
        if device.type == "cuda":
            torch.cuda.manual_seed(torch.initial_seed())
            if (state := self.generators.get("cuda")) is not None:
                torch.cuda.set_rng_state(state, device)

    def state_dict(self) -> dict[str, Any]:
        """Return the position as plain data and tensors."""
        return asdict(self)


def position_of(state: dict[str, Any], device: torch.device) -> Position:
    """Return the position of a `state_dict`, for a training on a device."""
    states = {name: each.cpu() for name, each in state["generators"].items()}
    given = {**state, "loss": to_device(state["loss"].clone(), device), "generators": states}
    return Position(**given)
