"""What a study needs, tried once and small before any time is spent."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug.data import Data, Split
from autoaug.mixing import TrainingMix
from autoaug.study._conditions import part
from autoaug.study._definition import Study
from autoaug.study._draws import refuse_ops, try_draws
from autoaug.study._loading import Loader, read_data
from autoaug.study._measurable import try_metrics
from autoaug.study._preflight_loop import preflight_loop
from autoaug.study._probes import probes, tried
from autoaug.study._setup import Setup, set_up
from autoaug.train import (
    TrainingRun,
    check_mix,
    criterion_of,
    global_generators_guarded,
    pick_device,
    rate_caution,
    smallest_part,
    train_step,
)

FLAT = (0.0, 0.5, 1.0)
"""Values of images whose pixels are all the same, which a network must give numbers for."""

IMAGES = 64
"""Training and validation images, each, that a rehearsed learner may draw from."""


def preflight(study: Study, load: Loader | None = None) -> None:
    """Try everything a study needs, once and small: data, metrics, models, every strategy's policy, mix and learner.

    Each dimension is tried at both ends and at every choice that is made by name, and each network in a training step.
    A loop of the user's own makes its first steps at the lowest point of each strategy, and for some seconds where
    dimensions of its own change.

    Raises:
        ValueError: something cannot work; the message names it. No time was spent and nothing was written.
    """
    load = load or Loader()
    if study.train is not None:
        preflight_loop(study, load)
        return
    read_data(study, load)
    try_metrics(study, load)
    rehearsal = Rehearsal(load)
    for name, strategy in study.strategies.items():
        for changed, point in probes(study.space_of(name), study.conditions_of(name)):
            try:
                for search in (False, True) if strategy.proxy else (False,):
                    rehearsal.perform(name, point, partial(set_up, study, name, point, search=search))
            except Exception as error:  # whatever a user's function may raise
                cause = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                raise ValueError(
                    f"strategy {name!r} of study {study.name!r}: {cause}{tried(changed, point)}"
                ) from error


class Rehearsal:
    """Do with a few images what the trainings will do; what was done before and went well is not done again."""

    def __init__(self, load: Loader) -> None:
        self.load = load
        self.done: list[tuple[Any, ...]] = []

    def perform(self, strategy: str, point: Mapping[str, Any], make: Callable[[], Setup]) -> None:
        """Draw from the policy and the mix, ask the learner, and make a training step, on a GPU too.

        Args:
            make: sets up the point; called anew for each step, since a step moves weights, policy and learner.
        """
        setup = make()
        task, learner, data = setup.task, setup.learner, self.load(setup.task)
        refuse_ops(setup.policy, data)
        try_draws(setup, data.train.images.shape[1:], len(data.classes))
        learner.check(task, len(data.train), len(data.val))
        network = (task.model, task.weights, task.dropout, task.precision, data.fingerprint, data.standard)
        in_training = (setup.mix if isinstance(setup.mix, TrainingMix) else None,)
        moved = (strategy, part("policy", point), part("learner", point)) if learner.moves_policy else ()
        if self.is_new("network", *network):
            try_logits(setup, data)
        loss = (task.loss, task.label_smoothing, task.balanced, data.fingerprint)
        if self.is_new("loss", *loss):
            try_loss(setup, data)
        if self.is_new("cautions", strategy, *network, *moved[:2]):
            for caution in learner.cautions(task, len(data.train)):
                warnings.warn(caution, stacklevel=4)
        parts_of_batch = task.batch_size, task.micro_batch, task.compile, task.resplit
        cautions = list(rate_caution(task))
        if any(in_training) and self.is_new("mix", *network, *in_training, *parts_of_batch):
            cautions += check_mix(setup.mix, task, rehearsed(setup, data).model, data)
        for caution in cautions:
            if self.is_new(caution):
                warnings.warn(caution, stacklevel=4)
        device = pick_device(task.device)
        phases = task.refine_epochs > 0, task.freeze_epochs > 0, task.freeze_epochs < task.epochs, task.backbone_lr != 1
        around = task.optimiser, task.decay_norms, task.clip_norm is None, task.ema is None, task.compile
        parts = (smallest_part(task, len(data.train)), task.micro_batch if moved else None, *phases, *around)
        for name in ("cpu", str(device)) if device.type == "cuda" and torch.cuda.is_available() else ("cpu",):
            only = (strategy,) if name != "cpu" else ()
            if self.is_new("step", name, *network, *in_training, *loss, *parts, *moved, *only):
                try_step(make(), data, name)

    def is_new(self, *what: Any) -> bool:
        """Return whether this is tried for the first time, and remember that it was."""
        if what in self.done:
            return False
        self.done.append(what)
        return True


def rehearsed(setup: Setup, data: Data, device: str = "cpu") -> TrainingRun:
    """Return a training on a few images, whose learner moves the policy in each step by as few as can show an error.

    It is compiled on the kind of device that it will be trained on alone: another may lack what a compiler needs.
    """
    compiled = setup.task.compile and torch.device(device).type == pick_device(setup.task.device).type
    task, sizes = replace(setup.task, device=device, compile=compiled), (len(data.train), len(data.val))
    small = replace(data, train=head(data.train, IMAGES), val=head(data.val, IMAGES))
    learner = setup.learner.rehearsal(task, *sizes, 0.0)
    run = TrainingRun(task, setup.policy, setup.mix, learner, Generator().manual_seed(0), small)
    run.steps_per_epoch = 1
    return run


def head(split: Split, size: int) -> Split:
    """Return the first `size` images of a split and their targets."""
    return Split(split.images[:size], split.targets[:size])


def try_logits(setup: Setup, data: Data) -> None:
    """Compute the logits of two images of noise, and of images of one value, as in validation.

    Policies make such images: solarized, cut out, translated away.

    Raises:
        ValueError: it fails, its logits have another shape, or they are no numbers.
    """
    run, model, shape = rehearsed(setup, data), setup.task.describe()["model"], data.train.images.shape[1:]
    noise = torch.rand(2, *shape, generator=Generator().manual_seed(0))
    flat = torch.tensor(FLAT).view(-1, 1, 1, 1).expand(-1, *shape)
    run.evaluated.eval()
    with global_generators_guarded(run), torch.no_grad():
        with failing(f"{model} fails on two images of {spoken(shape)}"):
            logits = run.logits(noise, run.evaluated)
        if logits.shape != (2, len(data.classes)):
            raise ValueError(
                f"model {model} gives logits of shape {tuple(logits.shape)} for 2 images of {len(data.classes)} "
                "classes: its last layer must have one output per class"
            )
        with failing(f"{model} fails on images of {spoken(shape)} whose pixels are all the same"):
            of_flat = run.logits(flat, run.evaluated)
    refuse_strange_logits(logits, model, "of noise", "check the weights that it begins with")
    for value, each in zip(FLAT, of_flat, strict=True):
        fix = "where it divides by a deviation, add a small number to that"
        refuse_strange_logits(each, model, f"whose pixels are all {value:g}", fix)


def refuse_strange_logits(logits: Tensor, model: str, images: str, fix: str) -> None:
    """Raise ValueError where logits of some images are NaN or infinite; the last two go into the message."""
    if not bool(logits.isfinite().all()):
        raise ValueError(f"model {model} gives logits that are NaN or infinite for images {images}: {fix}")


def try_loss(setup: Setup, data: Data) -> None:
    """Compute the training loss of two images from finite logits.

    Raises:
        ValueError: it fails, gives something else than a loss for each image, or values that are no numbers.
    """
    task, classes = setup.task, len(data.classes)
    name = task.describe()["loss"]
    logits = torch.linspace(-2, 2, 2 * classes).reshape(2, classes).requires_grad_()
    targets = F.one_hot(torch.tensor([0, classes - 1]), classes).float()
    with failing(f"loss {name} fails on two images of {classes} classes"):
        losses = criterion_of(task, data.train, classes)(logits, targets)
        [slopes] = torch.autograd.grad(losses.sum(), logits)
    if not bool(losses.isfinite().all() and slopes.isfinite().all()):
        raise ValueError(
            f"loss {name} gives {losses.tolist()} for finite logits, or slopes that are no numbers: give a loss that "
            "is finite for all of them"
        )


def try_step(setup: Setup, data: Data, device: str = "cpu") -> None:
    """Make a training step with policy, mix and learner on a device, and one of each further phase that there is.

    These are the first step after epochs with a frozen backbone, and one of refinement.

    It is made with as many images as the smallest part of a minibatch will have, but two at most: layers such as
    BatchNorm fail on one alone.

    Raises:
        ValueError: it fails, or its loss is no number.
    """
    task = setup.task
    run, few = rehearsed(setup, data, device), min(2, smallest_part(task, len(data.train)))
    batch, subject = head(run.data.train, few), trained(setup)
    count = "a part of one image" if few == 1 else "two images"
    where = f"on {count} of {spoken(batch.images.shape[1:])}{why(setup, few)}"
    where += "" if device == "cpu" else f" on {device}"
    where += " compiled as Task.compile says" if run.task.compile else ""
    with global_generators_guarded(run):
        with failing(f"{subject} fails in training {where}"):
            loss = step_of(run, batch, epoch=1)
        if not bool(loss.isfinite()):
            raise ValueError(
                f"{subject} begins with a loss of {loss.item()} in training {where}: its logits are no finite numbers"
            )
        if 0 < task.freeze_epochs < task.epochs:
            with failing(f"{subject} fails in training the backbone {where}"):
                step_of(run, batch, epoch=task.freeze_epochs + 1)
        if task.refine_epochs:
            with failing(f"{subject} fails in refining {where}"):
                step_of(run, batch, epoch=task.epochs + 1)


def step_of(run: TrainingRun, batch: Split, epoch: int) -> Tensor:
    """Make the first step of an epoch and return its loss, a detached scalar in nats."""
    run.epoch, run.step = epoch, epoch - 1
    run.policy.at(epoch)
    run.to_training()
    return train_step(run, batch.images, batch.targets)


def trained(setup: Setup) -> str:
    """Return what a step trains, in words: the model, and the learner where there is one."""
    model = setup.task.describe()["model"]
    return f"{model} with {type(setup.learner).__name__}" if setup.learner.moves_policy else model


def spoken(shape: torch.Size) -> str:
    """Return a shape in words: 3x32x32."""
    return "x".join(map(str, shape))


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise the error of a network or a learner again as a ValueError that begins with what failed."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"{what}: {error}") from error


def why(setup: Setup, few: int) -> str:
    """Return what makes parts of one image and how to have larger ones, in brackets; empty for parts of more."""
    task = setup.task
    if few > 1:
        return ""
    if task.micro_batch is None:
        return " (there is no other training image)"
    return f" (Task.micro_batch={task.micro_batch} of Task.batch_size={task.batch_size}: raise it, or leave it out)"
