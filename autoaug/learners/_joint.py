"""Joint: moves a policy by the training loss itself, on the batch that the classifier learns from."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from autoaug.train import TrainingRun


class Joint:
    """Both networks descend the same loss of the same batch, in the same backward pass.

    Nothing here asks whether images it has not seen are served: a policy that moves images so that they are easy to
    fit is as good to this loss as one that teaches the classifier (Mounsaveng et al. 2021, section 4, compare with it).

    Args:
        policy: an `nn.Module` with parameters.
        lr: of SGD with momentum 0.9.
    """

    joint = True
    """The trainer differentiates the training loss by the policy's parameters too."""

    def __init__(self, policy: Any, lr: float = 0.01) -> None:
        if not isinstance(policy, nn.Module) or not any(value.requires_grad for value in policy.parameters()):
            kind = type(policy).__name__
            raise ValueError(f"a {kind} has no parameters to train: give a policy such as SpatialTransformer or Warp")
        self.optimiser = torch.optim.SGD(policy.parameters(), lr=lr, momentum=0.9)

    def step(self, run: "TrainingRun") -> None:
        """Descend the gradient that the training step left in the policy's parameters."""
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def metrics(self) -> dict[str, float]:
        """Nothing beside the training loss."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
