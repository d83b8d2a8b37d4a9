"""What is trained, and how: augmented epochs, then refinement epochs, one Record for each.

He et al. 2019, "Data Augmentation Revisited", algorithm 1: first train on augmented data, then a few epochs on
data with the standard augmentation only, at the learning rate that the schedule ended with, nothing reset.

    B batch, C channels, H height, W width, K classes
"""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.checkpoint import Checkpoint
from autoaug.data import DATASETS, Data, Split, load_data, resplit
from autoaug.mixing import Mix
from autoaug.models import build
from autoaug.ops import OPS
from autoaug.policy import Policy
from autoaug.record import Phase, Record
from autoaug.seeding import derive_seed


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained. It is the same for every strategy, so that only the strategy differs."""

    data: str | Callable[..., Any]
    """A name of `DATASETS`, a folder of images, an .npz file, or a callable that gives a `Source`."""
    model: str | Callable[..., nn.Module] = "wrn-16-2"
    """A name of `MODELS`, or a callable `(classes, channels) -> nn.Module`."""
    epochs: int = 30
    """Epochs with the policy and the mix."""
    refine_epochs: int = 0
    """Epochs without them, at the end; the standard augmentation stays (He et al. 2019, algorithm 1)."""
    refine_lr: float | None = None
    """Learning rate while refining; None keeps the last value of the schedule."""
    batch_size: int = 128
    lr: float = 0.1
    """Peak learning rate of SGD."""
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    warmup: float = 0.15
    """Share of the augmented steps in which the learning rate climbs linearly to its peak."""
    final_lr: float = 0.01
    """The cosine ends at this share of the peak: not at zero, or refinement would move nothing."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """"auto" is bfloat16 autocast on a GPU and float32 elsewhere."""
    val_fraction: float = 0.1
    """Share of the training images held out for validation, where the data brings no validation split."""
    resplit: Literal["fixed", "per_epoch"] = "fixed"
    """"per_epoch" draws the held-out images anew in every epoch (Mounsaveng et al. 2021), where the data brings no
    validation split. Validation figures are then of images that earlier epochs trained on: do not select by them."""
    split_seed: int = 0
    root: str = "data"
    """Where datasets that are downloaded lie."""
    device: str = "auto"
    """"auto" is the first GPU, or the CPU where there is none."""

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "refine_epochs": 0, "batch_size": 2}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"Task.{name} is {value!r}: give a whole number of at least {least}")
        for name in ("lr", "final_lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"Task.{name} is {getattr(self, name)!r}: give a number above 0")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"Task.warmup is {self.warmup!r}: give a share of the steps in [0, 1)")
        choices = {
            "precision": "auto|float32|bfloat16",
            "device": "auto|cpu|cuda|cuda:[0-9]+",
            "resplit": "fixed|per_epoch",
        }
        for name, known in choices.items():
            if not re.fullmatch(known, getattr(self, name)):
                raise ValueError(f"Task.{name} is {getattr(self, name)!r}: give {known.replace('|', ', ')}")

    @property
    def total_epochs(self) -> int:
        return self.epochs + self.refine_epochs

    def anchored(self) -> "Task":
        """The same task with absolute paths, for a process that runs in another folder."""
        path = isinstance(self.data, str) and self.data not in DATASETS
        data = str(Path(self.data).absolute()) if path and isinstance(self.data, str) else self.data
        return replace(self, data=data, root=str(Path(self.root).absolute()))

    def describe(self) -> dict[str, Any]:
        """The task as plain data, for the record: callables by their name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: getattr(value, "__qualname__", repr(value)) if callable(value) else value
            for name, value in values.items()
        }


class Learner(Protocol):
    """What happens within a trial: moves the policy's parameters while the network trains.

    With an attribute `joint = True` the training loss is differentiated by the policy's parameters too, and `step`
    finds these gradients in them.
    """

    def step(self, run: "Run") -> None:
        """Called once after every training step with the policy on."""

    def metrics(self) -> dict[str, float]:
        """What goes into the record of an epoch, read once at its end."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Diverged(ArithmeticError):
    """The training loss is no longer a finite number."""


STREAMS = ("weights", "order", "augment", "mix", "model", "learner")
"""Separate generators, so that two strategies share initial weights and data order whatever else they draw."""


class Run:
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

    @property
    def phase(self) -> Phase:
        return "augment" if self.epoch <= self.task.epochs else "refine"

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

    def pixels(self, images: Tensor) -> Tensor:
        """uint8 or float images as floats in [0, 1]."""
        return images.float().div_(255) if images.dtype == torch.uint8 else images.float()

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
            heads = torch.rand(len(images), generator=rng).to(images.device) < 0.5
            images = torch.where(heads.view(-1, 1, 1, 1), images.flip(3), images)
        return images


def train(
    task: Task,
    policy: Policy,
    mix: Mix,
    learner: Learner | None = None,
    rng: Generator | None = None,
    resume: Checkpoint | None = None,
    *,
    test: bool = False,
) -> Iterator[Record]:
    """Train a network on the task and yield one Record per epoch.

    Args:
        policy: applied to every training image of an augmented epoch, with one draw per image.
        mix: applied to every minibatch of an augmented epoch, after the policy.
        learner: moves the policy's parameters while the network trains; None where nothing moves.
        rng: the only source of randomness; without one the run is that of seed 0.
        resume: where the state of an interrupted run is read from and ours is written to. A resumed run on a CPU
            equals the uninterrupted one bit for bit.
        test: read the test split, once, after the last epoch. Final runs do; a search never does.

    Raises:
        Diverged: the training loss became NaN or infinite.
    """
    data = load_data(task.data, root=task.root, val_fraction=task.val_fraction, seed=task.split_seed, test=test)
    run = Run(task, policy, mix, learner, rng or Generator().manual_seed(0), data)
    if resume and (state := resume.load(run.device)):
        run.load_state_dict(state)
    while run.epoch < task.total_epochs:
        with global_generators_guarded(run):
            record = one_epoch(run, test)
        yield record
        if resume and run.epoch < task.total_epochs:
            resume.save(run.state_dict)


def one_epoch(run: Run, test: bool) -> Record:
    """Train for one epoch, validate, and say what it cost."""
    clock = Clock(run.device)
    run.epoch += 1
    run.policy.at(run.epoch)
    if run.task.resplit == "per_epoch":
        rng = Generator().manual_seed(derive_seed(run.task.split_seed, "resplit", run.epoch))
        run.data = resplit(run.loaded, run.task.val_fraction, rng)
    metrics = {"train_loss": train_epoch(run), "lr": run.optimiser.param_groups[0]["lr"]}
    if run.learner:
        metrics |= run.learner.metrics()
    metrics |= evaluate(run, run.data.val, "val")
    if test and run.epoch == run.task.total_epochs:
        assert run.data.test is not None, "a final run is given the test split"
        metrics |= evaluate(run, run.data.test, "test")
    return Record(
        epoch=run.epoch,
        phase=run.phase,
        metrics=metrics,
        policy=run.policy.tree().model_dump(mode="json") if run.learner else None,
        gpu_seconds=clock.seconds(),
        device=run.device.type,
        images=run.steps_per_epoch * min(run.task.batch_size, len(run.data.train)),
    )


def train_epoch(run: Run) -> float:
    """One pass over the training images in a fresh random order; returns the mean loss in nats."""
    run.model.train()
    total = torch.zeros((), device=run.device)
    for batch in batches(run):
        total += train_step(run, run.data.train.images[batch], run.data.train.targets[batch])
    mean = (total / run.steps_per_epoch).item()
    if not math.isfinite(mean):
        raise Diverged(f"the training loss is {mean} in epoch {run.epoch}: lower Task.lr ({run.task.lr})")
    return mean


def train_step(run: Run, images: Tensor, targets: Tensor) -> Tensor:
    """One step of SGD on a minibatch; returns its loss, detached."""
    set_learning_rate(run)
    images = run.standard(run.pixels(images))
    soft = F.one_hot(targets, len(run.data.classes)).to(images.dtype)
    if run.phase == "augment":
        with torch.set_grad_enabled(run.joint):
            images = run.policy(images, run.streams["augment"])
            images, soft = run.mix(images, soft, run.streams["mix"])
    loss = F.cross_entropy(run.logits(images), soft)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    run.optimiser.step()
    run.step += 1
    if run.learner and run.phase == "augment":
        run.learner.step(run)
    return loss.detach()


def batches(run: Run) -> Iterator[Tensor]:
    """Index tensors of full minibatches; what is left over waits for the next epoch's order."""
    order = torch.randperm(len(run.data.train), generator=run.streams["order"]).to(run.device)
    for k in range(run.steps_per_epoch):
        yield order[k * run.task.batch_size : (k + 1) * run.task.batch_size]


def set_learning_rate(run: Run) -> None:
    lr = learning_rate(run.task, run.step, run.steps_per_epoch)
    for group in run.optimiser.param_groups:
        group["lr"] = lr


def learning_rate(task: Task, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, cosine down to `final_lr` of the peak, then constant while refining."""
    steps = task.epochs * steps_per_epoch
    last = task.lr * task.final_lr
    if step >= steps:
        return last if task.refine_lr is None else task.refine_lr
    climb = int(task.warmup * steps)
    if step < climb:
        return task.lr * (step + 1) / climb
    progress = (step - climb) / max(1, steps - 1 - climb)
    return last + (task.lr - last) * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def evaluate(run: Run, split: Split, name: str) -> dict[str, float]:
    """Accuracy in [0, 1] and negative log-likelihood in nats of a split, unaugmented."""
    run.model.eval()
    right, nll = torch.zeros((), device=run.device), torch.zeros((), device=run.device)
    for images, targets in zip(split.images.split(1000), split.targets.split(1000), strict=True):
        logits = run.logits(run.pixels(images))
        right += (logits.argmax(1) == targets).sum()
        nll += F.cross_entropy(logits, targets, reduction="sum")
    return {f"{name}_accuracy": (right / len(split)).item(), f"{name}_nll": (nll / len(split)).item()}


class Clock:
    """Cost of a stretch of work: wall seconds on a GPU, CPU-seconds of this process elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start = self.now()

    def now(self) -> float:
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def seconds(self) -> float:
        return self.now() - self.start


def pick_device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def spawn(rng: Generator) -> dict[str, Generator]:
    """One generator per purpose. They stay on the CPU: every device then draws the same, and none has to wait."""
    seeds = torch.randint(2**62, (len(STREAMS),), generator=rng, device=rng.device).tolist()
    return {name: Generator().manual_seed(seed) for name, seed in zip(STREAMS, seeds, strict=True)}


@contextmanager
def global_generators_guarded(run: Run) -> Iterator[None]:
    """Dropout and the like know only torch's global generators: seed them per epoch, put them back after."""
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        seed = int(torch.randint(2**62, (), generator=run.streams["model"]))
        torch.manual_seed(seed)
        yield
