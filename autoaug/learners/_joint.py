"""Joint: moves a policy by the training loss itself, on the batch that the classifier learns from."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autoaug.policy import AppliedAtTest
from autoaug.train import NullLearner

if TYPE_CHECKING:
    from autoaug.train import Lesson, MinibatchLoss, Task, TrainingRun


class Joint(NullLearner):
    """Trains the policy and the network by the same loss of the same batch, in the same backward pass.

    Nothing here asks whether images it has not seen are served: a policy that moves images so that they are easy to
    fit is as good to this loss as one that teaches the classifier (Mounsaveng et al. 2021, section 4, compare with it).

    Args:
        policy: an `nn.Module` with parameters.
        lr: learning rate of the policy's SGD, which has momentum 0.9; above 0.

    Raises:
        ValueError: the policy has no parameters.
    """

    moves_policy = True
    joins_loss = True

    def __init__(self, policy: Any, lr: float = 0.01) -> None:
        if not isinstance(policy, nn.Module) or not any(value.requires_grad for value in policy.parameters()):
            kind = type(policy).__name__
            raise ValueError(f"a {kind} has no parameters to train: give a policy such as SpatialTransformer or Warp")
        self.at_test = isinstance(policy, AppliedAtTest) and policy.at_test
        self.optimiser = torch.optim.SGD(policy.parameters(), lr=lr, momentum=0.9)

    def check(self, task: "Task", train_images: int, val_images: int) -> None:
        """Refuse a compiled network that sees a minibatch in parts: it frees what the parts share, the policy's graph.

        Raises:
            ValueError: `Task.compile` and `Task.micro_batch` are both given.
        """
        if task.compile and task.micro_batch is not None:
            raise ValueError(
                "Joint goes back through the policy once for each part of a minibatch, which a compiled network allows "
                "for one part alone: leave out Task.compile or Task.micro_batch"
            )

    def wants_graph(self, run: "TrainingRun") -> bool:
        """Return True: every step differentiates the training loss by the policy's parameters too."""
        return True

    def backward(self, run: "TrainingRun", loss: "MinibatchLoss", images: Tensor, targets: Tensor) -> Tensor:
        """Leave the gradients in the parameters of network and policy and return the loss, a scalar in nats."""
        return loss.backward(shared_graph=True)

    def step(self, run: "TrainingRun") -> None:
        """Descend the gradient that `backward` left in the policy's parameters."""
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def learn(self, lesson: "Lesson") -> None:
        """Descend the gradient that the loop's own backward pass left in the policy's parameters.

        Raises:
            ValueError: the policy is to move the images of evaluations too, which the loop makes by itself.
        """
        if self.at_test:
            raise ValueError(
                "at_test=True: a loop of train= evaluates by itself, on images as they are; give at_test=False"
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the policy's optimiser."""
        return {"optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.optimiser.load_state_dict(state["optimiser"])
