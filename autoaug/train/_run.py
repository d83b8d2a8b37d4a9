"""A training under way."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from autoaug.data import Data, as_float
from autoaug.mixing import Mix, Mixed, TrainingBatch, TrainingMix, TrainingSetting
from autoaug.models import build, normalisation, save_weights
from autoaug.photos import Photos, Streamed
from autoaug.policy import AppliedAtTest, Policy
from autoaug.record import Phase
from autoaug.train._backbone import Freezer
from autoaug.train._criterion import criterion_of
from autoaug.train._fading import check_fading, partly, weakened
from autoaug.train._learner import Learner, NullLearner
from autoaug.train._loss import parts
from autoaug.train._phases import mix_share, policy_share
from autoaug.train._position import Position, position_of
from autoaug.train._standard import apply_standard, shown_size
from autoaug.train._task import Task

STREAMS = ("weights", "order", "augment", "mix", "model", "learner", "evaluate")
"""Separate generators, so that two strategies share initial weights and data order whatever else they draw. A new one
stands at the end: those before it then begin as they did."""


THUMBNAIL = 64
"""Height and width at which photos are compared with each other, in pixels."""


class TrainingRun:
    """A training under way: all that a learner may look at, and all that a checkpoint must hold.

    Args:
        task: what is trained.
        policy: applied to the images of augmented epochs.
        mix: applied after the policy.
        learner: moves the policy; None is a `NullLearner`.
        rng: the source of the separate generators in `streams`.
        data: the images, which are moved to the device of the task.
    """

    def __init__(
        self,
        task: Task,
        policy: Policy,
        mix: Mix | TrainingMix,
        learner: Learner | None,
        rng: Generator,
        data: Data,
    ) -> None:
        self.task, self.policy, self.mix, self.learner = task, policy, mix, learner or NullLearner()
        check_fading(task, mix)
        self.device = pick_device(task.device)
        self.data = self.loaded = data.to(self.device)
        self.streams = spawn(rng)
        weights = None if task.weights is None else str(task.weights)
        settings = {} if task.dropout is None else {"dropout": task.dropout}
        self.model = build(
            task.model,
            len(data.classes),
            data.channels,
            self.streams["weights"],
            weights,
            size=shown_size(data),
            **settings,
        )
        self.model.to(self.device).to(memory_format=torch.channels_last)
        check_mix(mix, task, self.model, data)
        self.freezer = Freezer(self.model, used=task.freeze_epochs > 0)
        self.policy.to(self.device)
        self.optimiser = task.build_optimiser(self.model)
        self.forward: Callable[[Tensor], Tensor] = torch.compile(self.model) if task.compile else self.model
        """The network as training steps go through it; its parameters and their names are those of `model`."""
        self.average = averaged(self.model, task.ema)
        figures = normalisation(task.model, weights, data.channels) or (data.mean, data.std)
        self.mean, self.std = (torch.tensor(value, device=self.device).view(1, -1, 1, 1) for value in figures)
        self.criterion = criterion_of(task, self.data.train, len(data.classes))
        self.steps_per_epoch = max(1, len(data.train) // task.batch_size)
        self.epoch = 0
        self.step = 0
        self.pulse: Callable[[], None] = lambda: None
        """Called at every step: a sign that the training makes progress."""
        self.position: Position | None = None
        """Where it is within the present epoch; None between two."""
        self.saving_point: Callable[[bool], None] = lambda at_end: None
        """Called wherever a checkpoint may be written: between two steps, two parts of an evaluation, two epochs. It is
        told whether the last step of the training was made just now."""

    @property
    def phase(self) -> Phase:
        """Whether the present epoch is one of augmentation or of refinement."""
        return "augment" if self.epoch <= self.task.epochs else "refine"

    @property
    def frozen(self) -> bool:
        """Whether the head alone trains in the present epoch."""
        return self.epoch <= self.task.freeze_epochs

    def to_training(self) -> None:
        """Put the network into training mode, or the head alone where the backbone is frozen in the present epoch."""
        self.freezer.to_training(self.frozen)

    @property
    def active_learner(self) -> Learner:
        """Return the learner where the policy is on; while refining a `NullLearner`."""
        return self.learner if self.phase == "augment" else NullLearner()

    def augment(self, images: Tensor, targets: Tensor, chosen: Tensor | None = None) -> Mixed:
        """Return images [B, C, H, W] and soft targets [B, K] as a training step of the present epoch sees them.

        In augmented epochs the policy transforms the images, and the mix combines pairs; while refining neither does.
        Where the task anneals them, or warms the mix up, they have the share that the epoch has.

        Args:
            images: [B, C, H, W] in [0, 1], after the standard augmentation.
            targets: classes [B], int64.
            chosen: which of the training images they are, [B], int64; None are the first.
        """
        soft = F.one_hot(targets, len(self.data.classes)).to(images.dtype)
        if self.phase != "augment":
            return Mixed(images, soft)
        seen = self.by_policy(images)
        mix = weakened(self.mix, mix_share(self.task, self.epoch, self.task.epochs))
        if mix is None:
            return Mixed(seen, soft)
        if isinstance(mix, TrainingMix):
            return mix.mix_in_training(self.batch_to_mix(seen, soft, chosen))
        return Mixed(*mix(seen, soft, self.streams["mix"]))

    def by_policy(self, images: Tensor) -> Tensor:
        """Return images [B, C, H, W] by the policy, or by it as far as it is annealed in the present epoch."""
        rng = self.streams["augment"]
        share = policy_share(self.task, self.epoch, self.task.epochs)
        return partly(images, self.policy(images, rng), share, rng)

    def batch_to_mix(self, seen: Tensor, soft: Tensor, chosen: Tensor | None) -> TrainingBatch:
        """Return what a mix may look at beyond a minibatch."""

        def others(indices: Tensor) -> tuple[Tensor, Tensor]:
            images, targets = self.data.train.taken(indices)
            more = self.by_policy(self.standard(images))
            return more, F.one_hot(targets, len(self.data.classes)).to(more.dtype)

        return TrainingBatch(
            images=seen,
            targets=soft,
            chosen=torch.arange(len(seen)) % len(self.data.train) if chosen is None else chosen,
            model=self.model,
            losses=lambda images, targets: self.criterion(self.logits(images), targets),
            others=others,
            split=self.data.train,
            all_images=lambda: torch.cat([shown(images) for images, _ in self.data.train.parts(1000)]),
            all_targets=self.data.train.targets,
            rng=self.streams["mix"],
        )

    def shown(self, images: Tensor, rng: Generator) -> Tensor:
        """Return images [B, C, H, W] in [0, 1] as the network is evaluated on them.

        They are as they were given, unless the policy is one that is applied at test (`AppliedAtTest`) and is on.
        """
        if self.phase == "augment" and isinstance(self.policy, AppliedAtTest) and self.policy.at_test:
            return self.policy.evaluated(images, rng)
        return images

    @property
    def evaluated(self) -> nn.Module:
        """Return the network that is evaluated: the moving average of `Task.ema`, or the one that is trained."""
        return self.average.module if self.average else self.model

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed training needs: counts, model, average, optimiser, policy, learner, generators."""
        return {
            "epoch": self.epoch,
            "position": self.position.state_dict() if self.position else None,
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimiser": self.optimiser.state_dict(),
            "policy": self.policy.state_dict(),
            "learner": self.learner.state_dict(),
            "streams": {name: stream.get_state() for name, stream in self.streams.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.policy.load_state_dict(state["policy"])
        self.learner.load_state_dict(state["learner"])
        for name, stream in self.streams.items():
            stream.set_state(state["streams"][name].cpu())
        self.position = None
        if state["position"] is not None:
            self.position = position_of(state["position"], self.device)
            self.streams["order"].set_state(self.position.order.cpu())

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state, or stay as it was.

        Raises:
            Exception: whatever makes the state unfit for this training.
        """
        before = deepcopy(self.state_dict())
        try:
            self.load_state_dict(state)
            if not self.is_unfinished():
                raise ValueError(f"epoch {self.epoch} of {self.task.last_epoch}")
        except Exception:
            self.load_state_dict(before)
            raise

    def is_unfinished(self) -> bool:
        """Whether it has begun, and there is something left to do."""
        if self.position:
            return 0 < self.epoch <= self.task.last_epoch and 0 < self.position.steps <= self.steps_per_epoch
        return 0 < self.epoch < self.task.last_epoch

    def save_weights(self, path: str | Path) -> None:
        """Write the network that is evaluated, and the mean and deviation of its images, for `Task.weights` elsewhere.

        A policy that is applied at test is no part of it: its `state_dict` is to be kept beside it.

        Raises:
            ValueError: the path does not end in .safetensors.
        """
        save_weights(self.evaluated, path, self.mean.flatten().tolist(), self.std.flatten().tolist())

    def normalise(self, images: Tensor) -> Tensor:
        """Return images [B, C, H, W] in [0, 1] with the mean 0 and standard deviation 1 of each channel."""
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def logits(self, images: Tensor, network: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the logits [B, K], in float32, of the network or another one for images [B, C, H, W] in [0, 1]."""
        with self.autocast():
            return (network or self.forward)(self.normalise(images)).float()

    def autocast(self) -> Any:
        """Return the context of a forward pass: bfloat16 autocast or none, by `Task.precision`."""
        wanted = self.task.precision
        if wanted == "float32" or (wanted == "auto" and self.device.type != "cuda"):
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def standard(self, images: Tensor | Photos, rng: Generator | None = None) -> Tensor:
        """Return images [B, C, H, W], float32 in [0, 1], with the augmentation that is always on.

        It is off only while refining, where the task says so (`Task.refine_standard`).

        Args:
            images: [B, C, H, W], bytes or floats in [0, 1], or photos, as the data hold them.
            rng: of the draws; None is the stream "augment".
        """
        if self.phase == "refine" and not self.task.refine_standard:
            return as_float(images)
        rng = rng or self.streams["augment"]
        return apply_standard(self.data.standard, images, shown_size(self.data), rng)


def check_mix(mix: Mix | TrainingMix, task: Task, model: nn.Module, data: Data) -> Sequence[str]:
    """Return what whoever starts a training should know of its mix, one sentence each.

    Args:
        mix: a `TrainingMix` is asked; any other works everywhere.
        task: what is trained.
        model: the network that is trained.
        data: the images that it is trained on.

    Raises:
        ValueError: the mix cannot work in this training; the message says what to change.
    """
    if not isinstance(mix, TrainingMix):
        return ()
    images = data.train.images
    hold: Any = (
        "tensor" if not isinstance(images, Photos) else "stream" if isinstance(images.holder, Streamed) else "photos"
    )
    setting = TrainingSetting(
        model=model,
        size=(int(images.shape[2]), int(images.shape[3])),
        class_sizes=tuple(torch.bincount(data.train.targets.cpu(), minlength=len(data.classes)).tolist()),
        in_parts=parts(task, min(task.batch_size, len(data.train))) > 1,
        compiled=task.compile,
        resplit=task.resplit == "per_epoch",
        hold=hold,
    )
    return mix.check(setting)


def shown(images: Tensor | Photos) -> Tensor:
    """Return images as they are held; of photos, which have several sizes, small bytes [B, 3, 64, 64]."""
    if not isinstance(images, Photos):
        return images
    return (255 * F.interpolate(as_float(images), size=THUMBNAIL, mode="area")).round().to(torch.uint8)


def averaged(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Return the moving average of a network that has not begun, or None without a decay.

    Running statistics are averaged as the weights are: those of the last steps alone would be of other activations than
    the averaged weights make.
    """
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def pick_device(wanted: str) -> torch.device:
    """Return the device of a name; "auto" is the first GPU, or the CPU where there is none."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def spawn(rng: Generator) -> dict[str, Generator]:
    """Return one generator per purpose, on the CPU: every device then draws the same, and none has to wait."""
    seeds = torch.randint(2**62, (len(STREAMS),), generator=rng, device=rng.device).tolist()
    return {name: Generator().manual_seed(seed) for name, seed in zip(STREAMS, seeds, strict=True)}
