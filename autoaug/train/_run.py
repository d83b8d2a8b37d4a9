"""A training under way."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from autoaug.data import Data
from autoaug.devices import to_device
from autoaug.mixing import Mix
from autoaug.models import build
from autoaug.ops import OPS
from autoaug.policy import Policy
from autoaug.record import Phase
from autoaug.train._task import Task


class Learner(Protocol):
    """What happens within a trial: moves the policy's parameters while the network trains.

    With an attribute `joint = True` the training loss is differentiated by the policy's parameters too, and `step`
    finds these gradients in them.

    With `wants_graph(run)`, called before each training step with the policy on, it may ask for that step's graph.
    Then `backward(run, loss, images, targets)` takes the place of `loss.backward()`: the loss can be differentiated
    twice, by the policy's parameters too, and the images [B, C, H, W] are those that the policy was given.
    """

    def step(self, run: "TrainingRun") -> None:
        """Called once after every training step with the policy on."""

    def metrics(self) -> dict[str, float]:
        """What goes into the record of an epoch, read once at its end: finite numbers. What has no value is left out.

        The names of the trainer's own figures, such as `train_loss`, keep the trainer's values.
        """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


STREAMS = ("weights", "order", "augment", "mix", "model", "learner")
"""Separate generators, so that two strategies share initial weights and data order whatever else they draw."""


class TrainingRun:
    """A training under way: all that a learner may look at, and all that a checkpoint must hold."""

    def __init__(
        self, task: Task, policy: Policy, mix: Mix, learner: Learner | None, rng: Generator, data: Data
    ) -> None:
        self.task, self.policy, self.mix, self.learner = task, policy, mix, learner
        self.device = pick_device(task.device)
        self.data = self.loaded = data.to(self.device)
        self.joint = bool(getattr(learner, "joint", False))
        self.streams = spawn(rng)
        self.model = build(task.model, len(data.classes), data.channels, self.streams["weights"])
        self.model.to(self.device).to(memory_format=torch.channels_last)
        self.policy.to(self.device)
        self.optimiser = torch.optim.SGD(
            self.model.parameters(),
            lr=task.lr,
            momentum=task.momentum,
            nesterov=task.nesterov and task.momentum > 0,
            weight_decay=task.weight_decay,
        )
        self.mean, self.std = (
            torch.tensor(value, device=self.device).view(1, -1, 1, 1) for value in (data.mean, data.std)
        )
        self.steps_per_epoch = max(1, len(data.train) // task.batch_size)
        self.epoch = 0
        self.step = 0
        self.pulse: Callable[[], None] = lambda: None
        """Called at every step: a sign that the training gets on."""

    @property
    def phase(self) -> Phase:
        return "augment" if self.epoch <= self.task.epochs else "refine"

    def wants_graph(self) -> bool:
        """Whether the learner asks for the graph of the training step that comes."""
        follows = getattr(self.learner, "wants_graph", None)
        return self.phase == "augment" and follows is not None and bool(follows(self))

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "policy": self.policy.state_dict(),
            "learner": self.learner.state_dict() if self.learner else {},
            "streams": {name: stream.get_state() for name, stream in self.streams.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.step = state["epoch"], state["step"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.policy.load_state_dict(state["policy"])
        if self.learner:
            self.learner.load_state_dict(state["learner"])
        for name, stream in self.streams.items():
            stream.set_state(state["streams"][name].cpu())

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state, or stay as it was.

        Raises:
            Exception: whatever makes the state unfit for this training.
        """
        before = deepcopy(self.state_dict())
        try:
            self.load_state_dict(state)
            if not 0 < self.epoch < self.task.total_epochs:
                raise ValueError(f"epoch {self.epoch} of {self.task.total_epochs}")
        except Exception:
            self.load_state_dict(before)
            raise

    def normalise(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def logits(self, images: Tensor, network: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What the network, or another in its place, says of images in [0, 1], in float32."""
        with self.autocast():
            return (network or self.model)(self.normalise(images)).float()

    def autocast(self) -> Any:
        wanted = self.task.precision
        if wanted == "float32" or (wanted == "auto" and self.device.type != "cuda"):
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def standard(self, images: Tensor, rng: Generator | None = None) -> Tensor:
        """The dataset's standard augmentation, which stays on in every epoch: random crop and flip."""
        rng, rule = rng or self.streams["augment"], self.data.standard
        if rule.pad:
            images = OPS["crop"].function(images, images.new_full((len(images),), rule.pad), rng)
        if rule.flip:
            heads = to_device(torch.rand(len(images), generator=rng), images.device) < 0.5
            images = torch.where(heads.view(-1, 1, 1, 1), images.flip(3), images)
        return images


def pick_device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def spawn(rng: Generator) -> dict[str, Generator]:
    """One generator per purpose. They stay on the CPU: every device then draws the same, and none has to wait."""
    seeds = torch.randint(2**62, (len(STREAMS),), generator=rng, device=rng.device).tolist()
    return {name: Generator().manual_seed(seed) for name, seed in zip(STREAMS, seeds, strict=True)}
