"""What is trained, and at which learning rate."""

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from autoaug.data import STANDARDS, Data, anchored, load_data
from autoaug.fields import SEED, TEXT, Matching, Refused, Within, above, among, at_least, check_fields
from autoaug.train._optimisers import OPTIMISERS, optimiser_name

SAME_IN_ALL_TRIALS = {
    "data": "what a score is measured on",
    "val_fraction": "what a score is measured on",
    "split_seed": "what a score is measured on",
    "resplit": "what a score is measured on",
    "size": "what a score is measured on",
    "skip_bad": "what a score is measured on",
    "root": "where data lies",
    "hold": "how a study runs",
    "device": "where a study runs",
}
"""Fields of a task that are no dimensions, and what each says: the best of several splits is a lucky one."""


REFINE_SHARE = 0.1
"""The learning rate of refinement as a share of the peak, chosen by measurement: of seven rates it added most to test
accuracy over nine cases on digits and CIFAR-10 (`benchmarks/results/refinement-cpu.md`). The cosine's last rate, 0.01,
hardly moves a network; from 0.3 on, small datasets lose."""


def data_source(given: Any) -> str | Callable[..., Any]:
    """Return the value of `Task.data`. A path is kept as a text, and never taken for the name of a dataset."""
    source = os.path.join(".", given) if isinstance(given, Path) else given
    if not callable(source) and not TEXT.holds(source):
        raise Refused("the name of a dataset, a path, or a function that reads data")
    return source


def folder(given: Any) -> str:
    """Return the value of `Task.root`, a path as a text."""
    path = str(given) if isinstance(given, Path) else given
    if not TEXT.holds(path):
        raise Refused("the path of a folder")
    return path


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained. It is the same for every strategy, so that only the strategy differs."""

    data: Annotated[str | Path | Callable[..., Any], data_source]
    """A name of `DATASETS`, a folder of images, an .npz file, or a callable that gives a `Source`."""
    model: Annotated[str | Callable[..., nn.Module], Matching(TEXT.pattern, says="the name of a model")] = "wrn-16-2"
    """A name of `MODELS`, or a callable `(classes, channels) -> nn.Module`."""
    epochs: Annotated[int, at_least(1)] = 30
    """Epochs with the policy and the mix."""
    refine_epochs: Annotated[int, at_least(0)] = 0
    """Epochs without them, at the end; the standard augmentation stays (He et al. 2019, algorithm 1)."""
    refine_lr: Annotated[float | None, above(0)] = None
    """Learning rate while refining; None is a tenth of the peak (`REFINE_SHARE`)."""
    batch_size: Annotated[int, at_least(2)] = 128
    micro_batch: Annotated[int | None, at_least(1)] = None
    """Images that go through the network at once; the gradients of a minibatch are summed over as many parts as that
    takes. Saves memory and changes nothing else, except in layers that look at the batch, such as BatchNorm."""
    lr: Annotated[float, above(0)] = 0.1
    """Peak learning rate of the optimiser."""
    optimiser: Annotated[str, optimiser_name] = "sgd"
    """A name of `OPTIMISERS`."""
    momentum: Annotated[float, Within(0, 1, "[)")] = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Within(0, 1)] = 5e-4
    warmup: Annotated[float, Within(0, 1, "[)", says="a share of the steps in [0, 1)")] = 0.15
    """Share of the augmented steps in which the learning rate climbs linearly to its peak."""
    final_lr: Annotated[float, Within(0, 1, "(]")] = 0.01
    """The cosine ends at this share of the peak."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """"auto" is bfloat16 autocast on a GPU and float32 elsewhere."""
    val_fraction: Annotated[float, Within(0, 1, "()", says="a share of the training images in (0, 1)")] = 0.1
    """Share of the training images held out for validation, where the data brings no validation split."""
    resplit: Literal["fixed", "per_epoch"] = "fixed"
    """"per_epoch" draws the images that a learner is judged by anew in every epoch (Mounsaveng et al. 2021), where the
    data brings no validation split. Training meets them all, so as many again are held out once, by `split_seed`, and
    the validation scores are of those: the images that are held out by "fixed" too."""
    split_seed: Annotated[int, SEED] = 0
    standard: Annotated[str, among("auto", *STANDARDS)] = "auto"
    """The augmentation that is always on, in all epochs and whatever the policy: a name of `STANDARDS`. "auto" is what
    the dataset brings; without that, a crop and a flip for colour images and a crop alone for grey ones."""
    size: Annotated[int | None, at_least(1)] = None
    """Height and width of what a network sees, in pixels. Of photos, images of which one is longer than 128 pixels, the
    shorter side is resized to size / 0.875 and all crops are taken from that; None is 224, or less where they are
    smaller. Other images are resized whole; None leaves them as they are."""
    skip_bad: bool = False
    """Leave out files that cannot be read, and count them in the plan. Otherwise they stop a run before it starts."""
    hold: Literal["auto", "memory", "cache", "stream"] = "auto"
    """How photos are held. "memory": their bytes, on the device. "cache": decoded once for all trials of a machine, in
    a file that they share. "stream": decoded by other processes whenever they are needed. "auto" is what fits."""
    root: Annotated[str | Path, folder] = "data"
    """Where datasets that are downloaded lie."""
    device: Annotated[str, Matching("auto|cpu|cuda(:[0-9]{1,3})?", says="auto, cpu, cuda or cuda:0, cuda:1, ...")] = (
        "auto"
    )
    """"auto" is the first GPU, or the CPU where there is none."""

    def __post_init__(self) -> None:
        check_fields(self)

    def load(self, *, test: bool = False) -> Data:
        """Load and split the data as the task says; without `test`, as in every search, there are no test images."""
        return load_data(
            self.data,
            root=self.root,
            val_fraction=self.val_fraction,
            seed=self.split_seed,
            standard=self.standard,
            size=self.size,
            hold=self.hold,
            skip_bad=self.skip_bad,
            selection=self.resplit == "per_epoch",
            test=test,
        )

    @property
    def total_epochs(self) -> int:
        """Return the augmented epochs and the refinement epochs together."""
        return self.epochs + self.refine_epochs

    @property
    def refining_lr(self) -> float:
        """Return the learning rate while refining."""
        return self.lr * REFINE_SHARE if self.refine_lr is None else self.refine_lr

    def build_optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of a training of this task at the peak learning rate, which the schedule scales."""
        return OPTIMISERS[self.optimiser](parameters, self)

    def anchored(self) -> "Task":
        """Return the task with absolute paths, for a process that runs in another folder."""
        return replace(self, data=anchored(self.data), root=str(Path(self.root).absolute()))

    def describe(self) -> dict[str, Any]:
        """Return the task as plain data, for the record: callables by their name, the same in every process."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: spelt(value) if callable(value) else value for name, value in values.items()}


def spelt(function: Callable[..., Any]) -> str:
    """Return the name of a function, or the text of another object that can be called, without its memory address."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", getattr(function, "__qualname__", repr(function)))


def learning_rate(task: Task, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0 over the whole training.

    It climbs linearly to the peak `Task.lr`, falls by a cosine to the share `Task.final_lr` of it, and is constant
    while refining.
    """
    steps = task.epochs * steps_per_epoch
    if step >= steps:
        return task.refining_lr
    last = task.lr * task.final_lr
    climb = int(task.warmup * steps)
    if step < climb:
        return task.lr * (step + 1) / climb
    progress = (step - climb) / max(1, steps - 1 - climb)
    return last + (task.lr - last) * 0.5 * (1 + math.cos(math.pi * progress))
