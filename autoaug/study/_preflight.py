"""What a study needs, tried once and small before any time is spent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug.data import Data, Split
from autoaug.study._conditions import part
from autoaug.study._definition import Study
from autoaug.study._loading import Loader, read_data
from autoaug.study._probes import probes
from autoaug.study._setup import Setup, set_up
from autoaug.train import TrainingRun, global_generators_guarded, pick_device, smallest_part, train_step

DRAWS = 8
"""Images that a policy and a mix are tried on: so many that a mix with probability 1/2 mixes at least one of them."""


def preflight(study: Study, load: Loader | None = None) -> None:
    """Try everything a study needs, once and small: its data, its models, every strategy's policy, mix and learner.

    Each dimension is tried at both ends and at every choice that is made by name, and each network in a training step.

    Raises:
        ValueError: something cannot work; the message names it. No time was spent and nothing was written.
    """
    load = load or Loader()
    read_data(study, load)
    rehearsal = Rehearsal(load)
    for name, strategy in study.strategies.items():
        for changed, point in probes(study.space_of(name), study.conditions_of(name)):
            try:
                for search in (False, True) if strategy.proxy else (False,):
                    rehearsal.perform(name, point, set_up(study, name, point, search=search))
            except Exception as error:  # whatever a user's function may raise
                said = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                raise ValueError(f"strategy {name!r} of study {study.name!r}: {said}{tried(changed, point)}") from error


def tried(changed: str, point: Mapping[str, Any]) -> str:
    """The point at which something failed; what was changed to get there comes first."""
    first = {changed: point[changed]} if changed else {}
    told = [f"{name}={value!r}" for name, value in {**first, **point}.items()]
    return f" (tried: {', '.join(told)})" if told else ""


class Rehearsal:
    """Does with a few images what the trainings will do; what was done before and went well is not done again."""

    def __init__(self, load: Loader) -> None:
        self.load = load
        self.done: list[tuple[Any, ...]] = []

    def perform(self, strategy: str, point: Mapping[str, Any], setup: Setup) -> None:
        """Draw from the policy and the mix, train the network for a step, on a GPU too, and let the learner try."""
        data = self.load(setup.task)
        try_draws(setup, data)
        policy = (strategy, part("policy", point))
        network = (setup.task.model, setup.task.precision, data.fingerprint, data.standard)
        joint = policy if getattr(setup.learner, "joint", False) else ()
        new_network = self.is_new("network", *network, smallest_part(setup.task, len(data.train)), *joint)
        if new_network:
            try_logits(setup, data)
        if rehearse := getattr(setup.learner, "preflight", None):
            new = self.is_new("learner", *network, *policy)
            rehearse(setup.task, data, rehearsed(setup, data).model.train() if new else None)
        if new_network:
            try_step(setup, data)
        device = pick_device(setup.task.device)
        if device.type == "cuda" and torch.cuda.is_available() and self.is_new("device", strategy, *network):
            try_step(setup, data, str(device))

    def is_new(self, *what: Any) -> bool:
        if what in self.done:
            return False
        self.done.append(what)
        return True


def try_draws(setup: Setup, data: Data) -> None:
    """Send a few images of noise through the policy and the mix.

    Raises:
        ValueError: what comes out are no images of the same shape, or no numbers.
    """
    rng = Generator().manual_seed(0)
    images = torch.rand(DRAWS, *data.train.images.shape[1:], generator=rng)
    soft = F.one_hot(torch.arange(DRAWS) % len(data.classes), len(data.classes)).float()
    setup.policy.at(1)
    with torch.no_grad():
        drawn = setup.policy(images, rng)
        if not isinstance(drawn, Tensor) or drawn.shape != images.shape:
            found = list(drawn.shape) if isinstance(drawn, Tensor) else f"a {type(drawn).__name__}"
            raise ValueError(f"the policy makes {found} of images {list(images.shape)}: give back the same shape")
        refuse_no_numbers(drawn, "policy")
        for mixed in setup.mix(drawn, soft, rng):
            refuse_no_numbers(mixed, "mix")


def refuse_no_numbers(made: Tensor, maker: str) -> None:
    if not bool(made.isfinite().all()):
        raise ValueError(f"the {maker} makes values that are NaN or infinite: narrow the ranges of its parameters")


def rehearsed(setup: Setup, data: Data, device: str = "cpu") -> TrainingRun:
    """A training of the smallest part of a minibatch, but two images at most, without its learner."""
    few = min(2, smallest_part(setup.task, len(data.train)))
    small = replace(data, train=Split(data.train.images[:few], data.train.targets[:few]))
    task = replace(setup.task, device=device)
    run = TrainingRun(task, setup.policy, setup.mix, setup.learner, Generator().manual_seed(0), small)
    run.learner, run.epoch = None, 1
    return run


def try_logits(setup: Setup, data: Data) -> None:
    """Ask the network for the logits of two images of noise, as in validation.

    Raises:
        ValueError: it fails, or its logits have another shape.
    """
    run, model, shape = rehearsed(setup, data), setup.task.model, data.train.images.shape[1:]
    images = torch.rand(2, *shape, generator=Generator().manual_seed(0))
    with global_generators_guarded(run), failing(f"{model} fails on two images of {spoken(shape)}"), torch.no_grad():
        run.model.eval()
        logits = run.logits(images)
    if logits.shape != (2, len(data.classes)):
        raise ValueError(
            f"model {model} gives logits of shape {tuple(logits.shape)} for 2 images of {len(data.classes)} "
            "classes: its last layer must have one output per class"
        )


def try_step(setup: Setup, data: Data, device: str = "cpu") -> None:
    """Train the network for one step on a device, to which the policy then has moved.

    It is made with as many images as the smallest part of a minibatch will have, but two at most: layers such as
    BatchNorm fail on one alone.

    Raises:
        ValueError: it fails, or its loss is no number.
    """
    run, model = rehearsed(setup, data, device), setup.task.model
    images, targets = run.data.train.images, run.data.train.targets
    count = "a part of one image" if len(images) == 1 else "two images"
    where = f"in training on {count} of {spoken(images.shape[1:])}{why(setup, len(images))}"
    where += "" if device == "cpu" else f" on {device}"
    with global_generators_guarded(run), failing(f"{model} fails {where}"):
        run.model.train()
        loss = train_step(run, images, targets)
    if not bool(loss.isfinite()):
        raise ValueError(f"{model} begins with a loss of {loss.item()} {where}: its logits are no finite numbers")


def spoken(shape: torch.Size) -> str:
    return "x".join(map(str, shape))


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Say of an error in a network what was asked of it."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{what}: {error}") from error


def why(setup: Setup, few: int) -> str:
    """What makes parts of one image, and how to have larger ones."""
    task = setup.task
    if few > 1:
        return ""
    if task.micro_batch is None:
        return " (there is no other training image)"
    return f" (Task.micro_batch={task.micro_batch} of Task.batch_size={task.batch_size}: raise it, or leave it out)"
