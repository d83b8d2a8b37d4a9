"""The loop: augmented epochs, then refinement epochs.

B batch, C channels, H height, W width, K classes
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug.checkpoint import Checkpoint
from autoaug.data import Data, Split, as_float, resplit
from autoaug.devices import Clock, to_device
from autoaug.hypergrad import TwiceDifferentiable
from autoaug.metrics import on_split
from autoaug.mixing import Mix
from autoaug.policy import Policy
from autoaug.record import Record
from autoaug.seeding import derive_seed
from autoaug.train._evaluation import Evaluation
from autoaug.train._figures import finite_figures, snapshot
from autoaug.train._run import Learner, TrainingRun
from autoaug.train._task import Task, learning_rate


def train(
    task: Task,
    policy: Policy,
    mix: Mix,
    learner: Learner | None = None,
    rng: Generator | None = None,
    resume: Checkpoint | None = None,
    *,
    test: bool = False,
    validate: bool = True,
    data: Data | None = None,
    pulse: Callable[[], None] | None = None,
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
        validate: measure the validation split after each epoch.
        data: what is trained on, with a test split if it is to be read; without it, what the task names.
        pulse: called at every step, so that somebody can see that the training gets on.

    Raises:
        Diverged: a loss, or any other figure of an epoch, became NaN or infinite.
    """
    if data is None:
        data = task.load(test=test)
    run = TrainingRun(task, policy, mix, learner, rng or Generator().manual_seed(0), data)
    run.pulse = pulse or run.pulse
    if resume:
        resume.load(run.restore)
    while run.epoch < task.total_epochs:
        with global_generators_guarded(run):
            record = one_epoch(run, test, validate)
        yield record
        if resume and run.epoch < task.total_epochs:
            resume.save(run.state_dict)


def one_epoch(run: TrainingRun, test: bool, validate: bool = True) -> Record:
    """Train for one epoch, validate, and say what it cost."""
    clock, wall = Clock(run.device), time.perf_counter()
    run.epoch += 1
    run.policy.at(run.epoch)
    if run.task.resplit == "per_epoch":
        rng = Generator().manual_seed(derive_seed(run.task.split_seed, "resplit", run.epoch))
        run.data = resplit(run.loaded, run.task.val_fraction, rng)
    metrics = {"train_loss": train_epoch(run), "lr": run.optimiser.param_groups[0]["lr"]}
    if run.learner:
        metrics = metrics | run.learner.metrics() | metrics  # what is measured here has its name for itself
    if validate:
        metrics |= evaluate(run, run.data.scored, "val")
    if test and run.epoch == run.task.total_epochs:
        assert run.data.test is not None, "a final run is given the test split"
        metrics |= evaluate(run, run.data.test, "test")
    seconds = finite_figures(run, {"gpu_seconds": clock.seconds(), "wall_seconds": time.perf_counter() - wall})
    return Record(
        epoch=run.epoch,
        phase=run.phase,
        metrics=finite_figures(run, metrics),
        policy=snapshot(run),
        gpu_seconds=seconds["gpu_seconds"],
        wall_seconds=seconds["wall_seconds"],
        device=run.device.type,
        images=run.steps_per_epoch * min(run.task.batch_size, len(run.data.train)),
    )


def train_epoch(run: TrainingRun) -> float:
    """One pass over the training images in a fresh random order; returns the mean loss in nats."""
    run.model.train()
    total = torch.zeros((), device=run.device)
    for batch in batches(run):
        total += train_step(run, run.data.train.images[batch], run.data.train.targets[batch])
    return (total / run.steps_per_epoch).item()


def train_step(run: TrainingRun, images: Tensor, targets: Tensor) -> Tensor:
    """One step of SGD on a minibatch; returns its loss, detached."""
    set_learning_rate(run)
    images = given = run.standard(as_float(images))
    wants_graph = run.wants_graph()
    soft = F.one_hot(targets, len(run.data.classes)).to(images.dtype)
    if run.phase == "augment":
        with torch.set_grad_enabled(run.joint or wants_graph):
            images = run.policy(images, run.streams["augment"])
            images, soft = run.mix(images, soft, run.streams["mix"])
    run.optimiser.zero_grad(set_to_none=True)
    loss = followed_backward(run, images, soft, Split(given, targets)) if wants_graph else backward(run, images, soft)
    run.optimiser.step()
    run.step += 1
    if run.learner and run.phase == "augment":
        run.learner.step(run)
    run.pulse()
    return loss


def backward(run: TrainingRun, images: Tensor, soft: Tensor) -> Tensor:
    """Leave the gradients of the mean loss of a minibatch in the parameters, in parts of `Task.micro_batch` images."""
    total = torch.zeros((), device=run.device)
    for loss, last in losses(run, images, soft):
        loss.backward(retain_graph=run.joint and not last)  # the parts share the graph of the policy
        total += loss.detach()
    return total


def followed_backward(run: TrainingRun, images: Tensor, soft: Tensor, given: Split) -> Tensor:
    """The same by the learner, which differentiates all parts together and twice. `given` is what the policy got."""
    learner: Any = run.learner
    with TwiceDifferentiable():
        loss = torch.stack([part for part, _ in losses(run, images, soft)]).sum()
        learner.backward(run, loss, given.images, given.targets)
    return loss.detach()


def losses(run: TrainingRun, images: Tensor, soft: Tensor) -> Iterator[tuple[Tensor, bool]]:
    """What each part of a minibatch adds to its mean loss, and whether it is the last one."""
    count = parts(run.task, len(images))
    pairs = list(zip(images.tensor_split(count), soft.tensor_split(count), strict=True))
    for k, (some, goals) in enumerate(pairs, start=1):
        yield F.cross_entropy(run.logits(some), goals) * (len(some) / len(images)), k == len(pairs)


def parts(task: Task, images: int) -> int:
    """In how many parts of about the same size a minibatch goes through the network."""
    return math.ceil(images / (task.micro_batch or images))


def smallest_part(task: Task, images: int) -> int:
    """The fewest images that go through the network at once while it trains on a dataset of so many images."""
    minibatch = min(task.batch_size, images)
    return minibatch // parts(task, minibatch)


def batches(run: TrainingRun) -> Iterator[Tensor]:
    """Index tensors of full minibatches; what is left over waits for the next epoch's order."""
    order = to_device(torch.randperm(len(run.data.train), generator=run.streams["order"]), run.device)
    for k in range(run.steps_per_epoch):
        yield order[k * run.task.batch_size : (k + 1) * run.task.batch_size]


def set_learning_rate(run: TrainingRun) -> None:
    lr = learning_rate(run.task, run.step, run.steps_per_epoch)
    for group in run.optimiser.param_groups:
        group["lr"] = lr


@torch.no_grad()
def evaluate(run: TrainingRun, split: Split, name: str) -> dict[str, float]:
    """Return every row of `METRICS` for a split, unaugmented, under its name on that split."""
    run.model.eval()
    evaluation = Evaluation(run.device)
    for images, targets in zip(split.images.split(1000), split.targets.split(1000), strict=True):
        evaluation.add(run.logits(as_float(images)), targets)
        run.pulse()
    return {on_split(name, row): value for row, value in evaluation.values().items()}


@contextmanager
def global_generators_guarded(run: TrainingRun) -> Iterator[None]:
    """Dropout and the like know only torch's global generators: seed them per epoch, put them back after."""
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        seed = int(torch.randint(2**62, (), generator=run.streams["model"]))
        torch.manual_seed(seed)
        yield
