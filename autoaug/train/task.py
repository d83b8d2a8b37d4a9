"""What is trained, and at which learning rate."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from autoaug.data import STANDARDS, Data, anchored, load_data

SAME_IN_ALL_TRIALS = {
    "data": "what a score is measured on",
    "val_fraction": "what a score is measured on",
    "split_seed": "what a score is measured on",
    "resplit": "what a score is measured on",
    "root": "where data lies",
    "device": "where a study runs",
}
"""Fields of a task that are no dimensions, and what each says: the best of several splits is a lucky one."""


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
    micro_batch: int | None = None
    """Images that go through the network at once; the gradients of a minibatch are summed over as many parts as that
    takes. Saves memory and changes nothing else, except in layers that look at the batch, such as BatchNorm."""
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
    """"per_epoch" draws the images that a learner is judged by anew in every epoch (Mounsaveng et al. 2021), where the
    data brings no validation split. Training meets them all, so as many again are held out once, by `split_seed`, and
    the validation scores are of those: the images that are held out by "fixed" too."""
    split_seed: int = 0
    standard: str = "auto"
    """The augmentation that is always on, in all epochs and whatever the policy: a name of `STANDARDS`. "auto" is what
    the dataset brings; without that, a crop and a flip for colour images and a crop alone for grey ones."""
    root: str = "data"
    """Where datasets that are downloaded lie."""
    device: str = "auto"
    """"auto" is the first GPU, or the CPU where there is none."""

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "refine_epochs": 0, "batch_size": 2}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"Task.{name} is {value!r}: give a whole number of at least {least}")
        if self.micro_batch is not None and (not isinstance(self.micro_batch, int) or self.micro_batch < 1):
            raise ValueError(f"Task.micro_batch is {self.micro_batch!r}: give a whole number of at least 1, or None")
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
        standards = ("auto", *STANDARDS)
        if self.standard not in standards:
            raise ValueError(f"Task.standard is {self.standard!r}: give {', '.join(standards)}")

    def load(self, *, test: bool = False) -> Data:
        """Load and split the data as the task says; without `test`, as in every search, there are no test images."""
        return load_data(
            self.data,
            root=self.root,
            val_fraction=self.val_fraction,
            seed=self.split_seed,
            standard=self.standard,
            selection=self.resplit == "per_epoch",
            test=test,
        )

    @property
    def total_epochs(self) -> int:
        return self.epochs + self.refine_epochs

    def anchored(self) -> "Task":
        """The same task with absolute paths, for a process that runs in another folder."""
        return replace(self, data=anchored(self.data), root=str(Path(self.root).absolute()))

    def describe(self) -> dict[str, Any]:
        """The task as plain data, for the record: callables by their name, the same in every process."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: spelt(value) if callable(value) else value for name, value in values.items()}


def spelt(function: Callable[..., Any]) -> str:
    """What a function or an object that can be called is known by, without where it lies in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", getattr(function, "__qualname__", repr(function)))


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
