"""What is trained."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from autoaug.data import Data, anchored, described_data, load_data
from autoaug.fields import SEED, TEXT, Matching, Refused, Within, above, at_least, check_fields
from autoaug.models import check_weights, is_file
from autoaug.train._criterion import ImageLosses, loss_of
from autoaug.train._optimisers import BuildOptimiser, build_optimiser, fields_read, optimiser_of, own_rate, stand_in
from autoaug.train._phases import check_phases, divided_task, share_or_epochs
from autoaug.train._schedules import Schedule, check_schedule, milestones_of, refine_lr_of, refining_rate, schedule_of
from autoaug.train._standard import AlwaysOn, standard_text

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


MANY_STEPS = 1000
"""Of an epoch, where the learning rate at an end of the schedule is asked for and nobody knows how many there are."""

READ_BY_LOOPS = (
    "data",
    "val_fraction",
    "split_seed",
    "standard",
    "size",
    "skip_bad",
    "hold",
    "root",
    "device",
    "epochs",
    "refine_epochs",
    "refine_standard",
    "total_epochs",
    "refine_share",
    "mix_warmup",
    "anneal",
)
"""Fields of a task that a loop of the user's own is given (`Study.train`); all others are of autoaug's own trainer."""


def data_source(given: Any) -> str | Callable[..., Any] | None:
    """Return the value of `Task.data`. A path is kept as a text, and never taken for the name of a dataset."""
    if given is None:
        return None
    source = os.path.join(".", given) if isinstance(given, Path) else given
    if not callable(source) and not TEXT.holds(source):
        raise Refused("the name of a dataset, a path, or a function that reads data")
    return described_data(source) if isinstance(source, str) else source


def folder(given: Any) -> str:
    """Return the value of `Task.root`, a path as a text."""
    path = str(given) if isinstance(given, Path) else given
    if not TEXT.holds(path):
        raise Refused("the path of a folder")
    return path


def weights_source(given: Any) -> str:
    """Return the value of `Task.weights`. A path is kept as a text, and never taken for the name of weights."""
    source = os.path.join(".", given) if isinstance(given, Path) else given
    if not TEXT.holds(source):
        raise Refused("the name of weights, or the path of a file of them")
    return str(source)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained. It is the same for every strategy, so that only the strategy differs."""

    data: Annotated[str | Path | Callable[..., Any] | None, data_source]
    """A name of `DATASETS`, a folder of images, a table of them, an .npz file, or a callable that gives a `Source`. A
    text may say what is made of it: "cifar10:reduced=100,corrupted=0.2". None leaves them to a loop of one's own, which
    reads them itself (`Study.train`)."""
    model: Annotated[str | Callable[..., nn.Module], Matching(TEXT.pattern, says="the name of a model")] = "wrn-16-2"
    """A name of `MODELS`, "torchvision:resnet50", "timm:convnext_tiny", or a callable `(classes, channels) ->
    nn.Module`."""
    weights: Annotated[str | Path | None, weights_source] = None
    """What the network begins with: a name that torchvision or timm has for weights of the model ("IMAGENET1K_V2",
    "pretrained"), or the path of a file (.safetensors, or a state dict); None draws them. The head is drawn where
    theirs is for other classes, and images are normalised as theirs were (`autoaug.models.normalisation`)."""
    freeze_epochs: Annotated[int, at_least(0)] = 0
    """First epochs in which the head alone trains: the backbone gets no gradients and runs as in evaluation."""
    backbone_lr: Annotated[float, above(0)] = 1.0
    """Learning rate of the backbone, all but the head, as a multiple of the head's."""
    epochs: Annotated[int, at_least(1)] = 30
    """Epochs with the policy and the mix."""
    refine_epochs: Annotated[int, at_least(0)] = 0
    """Epochs without them, at the end; the standard augmentation stays (He et al. 2019, algorithm 1)."""
    refine_standard: bool = True
    """False: while refining not even the standard augmentation is on, and training sees images as evaluation does."""
    refine_lr: Annotated[float | str | None, refine_lr_of] = None
    """Learning rate while refining. "last" keeps that of the last augmented step; "restart" begins at the peak again
    and follows the schedule, without warm-up, to the end of refinement. None is "last" for the schedule "step", as in
    the paper, and a tenth of the peak for the others, by measurement (`REFINE_SHARE`)."""
    total_epochs: Annotated[int | None, at_least(1)] = None
    """All epochs, where their number is fixed whatever is searched: `epochs` is then what refinement leaves of it. None
    leaves `epochs` and `refine_epochs` as they are."""
    refine_share: Annotated[float | None, Within(0, 1, "[)")] = None
    """Share of `total_epochs` that refines; it sets `refine_epochs` and `epochs`, in whole epochs of which one at least
    is augmented. None leaves `refine_epochs`."""
    mix_warmup: Annotated[int, at_least(0)] = 0
    """First epochs without the mix (Zhang et al. 2018, section 3.5: 5 of 30 for speech). A strategy whose mix has a
    `warmup`, and the dimension `mix.warmup`, set it."""
    anneal: Annotated[float | int, share_or_epochs] = 0
    """How long the augmentation fades before refinement, at the end of the augmented epochs: a share of them as a float
    in [0, 1), which is rounded to whole ones, or epochs as an int. In n such epochs the policy is applied to n, ..., 2,
    1 of n + 1 images, at random, and the mix has that share of its alpha or its probability (He et al. 2019)."""
    batch_size: Annotated[int, at_least(2)] = 128
    micro_batch: Annotated[int | None, at_least(1)] = None
    """Images that go through the network at once; the gradients of a minibatch are summed over as many parts as that
    takes. Saves memory and changes nothing else, except in layers that look at the batch, such as BatchNorm."""
    lr: Annotated[float, above(0)] = 0.1
    """Peak learning rate of the optimiser. One that brings its own, as a function does, sets this field to it."""
    optimiser: Annotated[str | BuildOptimiser, optimiser_of] = "sgd"
    """A name of `OPTIMISERS`, or a callable `groups of parameters -> torch.optim.Optimizer`. The learning rate of what
    it makes is the peak that the schedule scales, so that `partial(torch.optim.AdamW, lr=1e-3, betas=(0.9, 0.95))`
    says all; of several groups each keeps its ratio to the largest."""
    momentum: Annotated[float, Within(0, 1, "[)")] = 0.9
    """Of "sgd" and "rmsprop". In the others the decay of the gradient's mean is that of torch."""
    nesterov: bool = True
    """Of "sgd"."""
    weight_decay: Annotated[float, Within(0, 1)] = 5e-4
    """Decoupled from the learning rate's adaptation in "adamw", added to the gradient in the other optimisers."""
    decay_norms: bool = True
    """False spares biases and the layers that normalise the weight decay (He et al. 2019, "Bag of Tricks for Image
    Classification", section 3.1)."""
    clip_norm: Annotated[float | None, above(0)] = None
    """The norm that the gradient of all weights together is scaled down to where it is larger; None leaves it."""
    ema: Annotated[float | None, Within(0, 1, "()")] = None
    """Decay of an exponential moving average of the weights and of the running statistics, over about 1 / (1 - ema)
    steps. The network that is evaluated is then the average; learners look at the one that is trained."""
    compile: bool = False
    """Compile the training step by `torch.compile`, which takes a compiler and, at first, a minute. Evaluation is not
    compiled, and strategies that differentiate a training step a second time refuse it."""
    schedule: Annotated[str | Schedule, schedule_of] = "cosine"
    """How the learning rate goes on after the warm-up: a name of `SCHEDULES`, or a callable from the progress in [0, 1]
    to the share of the peak. The progress is 0 in the first step after the warm-up and 1 in the last augmented one."""
    warmup: Annotated[float | int, share_or_epochs] = 0.15
    """How long the learning rate climbs linearly to its peak: a share of the augmented steps as a float in [0, 1), or
    epochs as an int."""
    warmup_from: Annotated[float, Within(0, 1, "[)", says="a share of the peak in [0, 1)")] = 0.0
    """Share of the peak from which the learning rate climbs."""
    milestones: Annotated[tuple[float | int, ...], milestones_of] = (0.5, 0.75)
    """Where the schedule "step" multiplies the rate by `step_factor`: shares of the augmented epochs as floats in
    (0, 1), or epochs as ints, in rising order. 100 is the beginning of the 101st epoch. A number alone is one."""
    step_factor: Annotated[float, Within(0, 1, "()", says="a factor in (0, 1)")] = 0.1
    final_lr: Annotated[float, Within(0, 1)] = 0.01
    """The schedules "cosine" and "linear" end at this share of the peak."""
    loss: Annotated[str | ImageLosses, loss_of] = "cross-entropy"
    """What is minimised: a name of `LOSSES`, or a callable from logits [B, K] and soft targets [B, K] to the loss of
    each image, [B]. The mean over a minibatch is `train_loss`; validation losses are cross-entropies all the same."""
    label_smoothing: Annotated[float, Within(0, 1, "[)")] = 0.0
    """ε of the targets (1 - ε) t + ε / K that are trained on (Szegedy et al. 2016), in every epoch. Evaluations and the
    validation loss of a learner have none."""
    balanced: Literal["none", "sample", "loss"] = "none"
    """"sample" trains on every class equally often: an epoch has as many images as before, those of rare classes
    several times. "loss" weighs the loss of an image by N / (K n) for a class of n of the N images of K classes, which
    is 1 in the mean."""
    dropout: Annotated[float | None, Within(0, 1, "[)")] = None
    """Given to the network as its parameter `dropout`; None leaves that as the network has it."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """"auto" is bfloat16 autocast on a GPU and float32 elsewhere."""
    val_fraction: Annotated[float, Within(0, 1, "()", says="a share of the training images in (0, 1)")] = 0.1
    """Share of the training images held out for validation, where the data brings no validation split."""
    resplit: Literal["fixed", "per_epoch"] = "fixed"
    """"per_epoch" draws the images that a learner is judged by anew in every epoch (Mounsaveng et al. 2021), where the
    data brings no validation split. Training meets them all, so as many again are held out once, by `split_seed`, and
    the validation scores are of those: the images that are held out by "fixed" too."""
    split_seed: Annotated[int, SEED] = 0
    standard: Annotated[AlwaysOn, standard_text] = "auto"
    """The augmentation that is always on, in all epochs and whatever the policy: a name of `STANDARDS` or parts like
    theirs, "resized-crop(0.35-1)+flip", a `Standard`, nodes of a policy, or a pair of one and the nodes after it; kept
    as a text, so that texts are choices of a dimension. "auto" is what the dataset brings; without that a crop, which
    is resized for photos, and a flip for colour images, never for grey ones."""
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
        if "lr" not in fields_read(self.optimiser):
            object.__setattr__(self, "lr", own_rate(self))
        epochs, refine_epochs = divided_task(self)
        object.__setattr__(self, "epochs", epochs)
        object.__setattr__(self, "refine_epochs", refine_epochs)
        check_phases(self)
        check_schedule(self)
        check_weights(self.model, self.weights)  # type: ignore[arg-type]

    def load(self, *, test: bool = False) -> Data:
        """Load and split the data as the task says; without `test`, as in every search, there are no test images.

        Raises:
            ValueError: the task has none: its loop reads them.
        """
        if self.data is None:
            raise ValueError("Task.data is None: the loop reads the data itself; give Task(data=...) to have them here")
        return load_data(
            self.data,
            root=self.root,
            val_fraction=self.val_fraction,
            seed=self.split_seed,
            standard=standard_text(self.standard),
            size=self.size,
            hold=self.hold,
            skip_bad=self.skip_bad,
            selection=self.resplit == "per_epoch",
            test=test,
        )

    @property
    def last_epoch(self) -> int:
        """Return the number of the last epoch: the augmented epochs and the refinement epochs together."""
        return self.epochs + self.refine_epochs

    @property
    def refining_lr(self) -> float:
        """Return the learning rate with which refinement begins."""
        return refining_rate(self, 0, MANY_STEPS)

    def build_optimiser(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimiser of a training of this task for a network: at the peak learning rates of its groups.

        The schedule scales them, and "lr_scale" is the ratio of a group's to `lr`.

        Args:
            model: None is a layer of a weight and a bias, for whoever only asks what kind of optimiser it will be.
        """
        return build_optimiser(stand_in() if model is None else model, self)

    def anchored(self) -> "Task":
        """Return the task with absolute paths, for a process that runs in another folder."""
        weights = self.weights
        if weights is not None and is_file(str(weights)):
            weights = str(Path(weights).absolute())
        data = None if self.data is None else anchored(self.data)
        return replace(self, data=data, root=str(Path(self.root).absolute()), weights=weights)

    def describe(self) -> dict[str, Any]:
        """Return the task as plain data, for the record: callables by their name, the same in every process."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: spelt(value) if callable(value) else value for name, value in values.items()}


def spelt(function: Callable[..., Any]) -> str:
    """Return the name of a function, or the text of another object that can be called, without its memory address."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", getattr(function, "__qualname__", repr(function)))
