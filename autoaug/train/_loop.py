"""The loop: augmented epochs, then refinement epochs.

B batch, C channels, H height, W width, K classes
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Generator, Tensor, nn

from autoaug.checkpoint import Checkpoint
from autoaug.data import Data, Split, as_float, resplit
from autoaug.devices import Clock
from autoaug.interruption import Interruption
from autoaug.metrics import on_split
from autoaug.mixing import Mix, TrainingMix
from autoaug.photos import Photos
from autoaug.policy import Policy
from autoaug.record import Record
from autoaug.seeding import derive_seed
from autoaug.train._evaluation import Evaluation
from autoaug.train._figures import finite_figures, remedy, snapshot
from autoaug.train._learner import Learner
from autoaug.train._loss import MinibatchLoss
from autoaug.train._order import epoch_order
from autoaug.train._position import Position
from autoaug.train._run import TrainingRun
from autoaug.train._schedules import learning_rate
from autoaug.train._task import Task


def train(
    task: Task,
    policy: Policy,
    mix: Mix | TrainingMix,
    learner: Learner | None = None,
    rng: Generator | None = None,
    resume: Checkpoint | None = None,
    *,
    test: bool = False,
    validate: bool = True,
    data: Data | None = None,
    pulse: Callable[[], None] | None = None,
    interruption: Interruption | None = None,
    finished: Callable[[TrainingRun], object] | None = None,
    watched: Callable[[TrainingRun], object] | None = None,
) -> Iterator[Record]:
    """Train a network on the task and yield one Record per epoch.

    Args:
        policy: applied to every training image of an augmented epoch, with one draw per image.
        mix: applied to every minibatch of an augmented epoch, after the policy.
        learner: moves the policy's parameters while the network trains; None where nothing moves.
        rng: the only source of randomness; without one the run is that of seed 0.
        resume: where the state of an interrupted run is read from and ours is written to, also within an epoch. A
            resumed run on a CPU equals the uninterrupted one bit for bit.
        test: read the test split, once, after the last epoch. Final runs do; a search never does.
        validate: measure the validation split after each epoch.
        data: what is trained on, with a test split if it is to be read; without it, what the task names.
        pulse: called at every step, as a sign that the training makes progress.
        interruption: by which it can be asked to end: at the next step it writes its state, and goes.
        finished: called once with the training, after its last record was taken: its `model` is the trained network,
            for `TrainingRun.save_weights` or whatever else is done with it.
        watched: called with the training after each epoch, before the next one begins: what looks at the network
            between augmentation and refinement. It must leave weights, generators and policy as they are.

    Raises:
        KeyboardInterrupt: it was asked to end.
        ValueError: the learner cannot work in this training (`Learner.check`).
        Diverged: a loss, or any other figure of an epoch, became NaN or infinite.
    """
    if data is None:
        data = task.load(test=test)
    run = TrainingRun(task, policy, mix, learner, rng or Generator().manual_seed(0), data)
    run.pulse = pulse or run.pulse
    run.learner.check(task, len(data.train), len(data.val))
    if resume:
        resume.load(run.restore)
    run.saving_point = partial(save_where_due, run, resume, interruption or Interruption())
    while run.position or run.epoch < task.last_epoch:
        with global_generators_guarded(run):
            record = one_epoch(run, test, validate)
        if watched:
            watched(run)
        yield record
        if run.epoch < task.last_epoch:
            run.saving_point(False)
    if finished:
        finished(run)


def save_where_due(run: TrainingRun, resume: Checkpoint | None, interruption: Interruption, at_end: bool) -> None:
    """Write the state where that is due, or where the training is asked to end, which it then does.

    Args:
        at_end: the last step was made just now, and only the last evaluation is left.

    Raises:
        KeyboardInterrupt: it was asked to end.
    """

    def save() -> None:
        if resume:
            resume.save(run.state_dict)

    within = run.position is not None
    if resume and not interruption.requested and resume.due(within_epoch=within, at_end=at_end):
        save()
    interruption.obey(save)


def one_epoch(run: TrainingRun, test: bool, validate: bool = True) -> Record:
    """Train for one epoch, or for the rest of one, validate, and return its record, which says what it cost.

    The cost, and the images, of an epoch that was cut off are those since then: what it had cost before is stored with
    the attempt that was cut off (`execution._limits.metered`), and nothing is counted twice.
    """
    clock, wall, begun = Clock(run.device), time.perf_counter(), run.position.steps if run.position else 0
    enter_epoch(run)
    metrics = {"train_loss": train_epoch(run), "lr": learning_rate(run.task, run.step - 1, run.steps_per_epoch)}
    scores, by_class = evaluate(run, run.data.scored, "val") if validate else {}, None
    if test and run.epoch == run.task.last_epoch:
        assert run.data.test is not None, "a final run is given the test split"
        tested = evaluation_of(run, run.data.test)
        scores |= named(tested, "test")
        by_class = {"names": list(run.data.classes), **tested.by_class()}
    run.position = None  # what is saved from here on has the whole epoch
    metrics = metrics | run.learner.metrics() | metrics | scores  # what is measured here has its name for itself
    cost = {"gpu_seconds": clock.seconds(), "wall_seconds": time.perf_counter() - wall}
    seconds = finite_figures(run.epoch, cost, partial(remedy, run))
    return Record(
        epoch=run.epoch,
        phase=run.phase,
        metrics=finite_figures(run.epoch, metrics, partial(remedy, run)),
        policy=snapshot(run.policy, run.learner, run.epoch),
        gpu_seconds=seconds["gpu_seconds"],
        wall_seconds=seconds["wall_seconds"],
        device=run.device.type,
        images=(run.steps_per_epoch - begun) * min(run.task.batch_size, len(run.data.train)),
        by_class=by_class,
    )


def enter_epoch(run: TrainingRun) -> None:
    """Begin the next epoch, or go on with one: its policy, its images, and where in it the training is."""
    if run.position is None:
        run.epoch += 1
        run.position = Position(run.streams["order"].get_state(), torch.zeros((), device=run.device))
    run.policy.at(run.epoch)
    if run.task.resplit == "per_epoch":
        rng = Generator().manual_seed(derive_seed(run.task.split_seed, "resplit", run.epoch))
        run.data = resplit(run.loaded, run.task.val_fraction, rng)


def train_epoch(run: TrainingRun) -> float:
    """Train on all images once, in a fresh random order, or on those that are left; return the mean loss."""
    assert run.position is not None, "the epoch has been entered"
    run.to_training()
    order = list(batches(run))
    for chosen, (images, targets) in zip(order, run.data.train.minibatches(order), strict=True):
        run.position.advance(train_step(run, images, targets, chosen))
        run.saving_point(run.epoch == run.task.last_epoch and run.position.steps == run.steps_per_epoch)
    return (run.position.loss / run.steps_per_epoch).item()


def train_step(run: TrainingRun, images: Tensor | Photos, targets: Tensor, chosen: Tensor | None = None) -> Tensor:
    """Train the network on one minibatch, by way of the learner, and return its loss: a detached scalar.

    Every training step of the library is this one: of trainings, of the preflight and of measurements.

    Args:
        images: [B, C, H, W], uint8 or floats in [0, 1], or photos, before the standard augmentation.
        targets: classes [B], int64.
        chosen: which of the training images they are, [B], int64; None are the first.
    """
    set_learning_rate(run)
    learner, images = run.active_learner, run.standard(images)
    with torch.set_grad_enabled(learner.wants_graph(run)):
        seen = run.augment(images, targets, chosen)
    run.optimiser.zero_grad(set_to_none=True)
    loss = learner.backward(run, MinibatchLoss(run, *seen), images, targets)
    step_optimiser(run)
    run.step += 1
    learner.step(run)
    run.pulse()
    return loss


def step_optimiser(run: TrainingRun) -> None:
    """Move the weights by the gradients that are left in them, clipped where the task says so, and their average."""
    if run.task.clip_norm is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), run.task.clip_norm)
    run.optimiser.step()
    if run.average:
        run.average.update_parameters(run.model)


def batches(run: TrainingRun) -> Iterator[Tensor]:
    """Yield the indices [B], int64, on the CPU, of the full minibatches that an epoch still has.

    The images left over wait for the next epoch's order.
    """
    order = epoch_order(run.task, run.data.train.targets, run.streams["order"])
    for k in range(run.position.steps if run.position else 0, run.steps_per_epoch):
        yield order[k * run.task.batch_size : (k + 1) * run.task.batch_size]


def set_learning_rate(run: TrainingRun) -> None:
    """Set the learning rate of the step that comes, in each group of parameters by its "lr_scale"."""
    lr = learning_rate(run.task, run.step, run.steps_per_epoch)
    for group in run.optimiser.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def evaluate(run: TrainingRun, split: Split, name: str) -> dict[str, float]:
    """Return every row of `METRICS` for a split, unaugmented, under its name on that split.

    With `Task.ema` it is the average of the weights that is measured.
    """
    return named(evaluation_of(run, split), name)


def named(evaluation: Evaluation, split: str) -> dict[str, float]:
    """Return the values of an evaluation under their names on a split."""
    return {on_split(split, row): value for row, value in evaluation.values().items()}


@torch.no_grad()
def evaluation_of(run: TrainingRun, split: Split) -> Evaluation:
    """Return what the network, or its average, makes of the images of a split, as `TrainingRun.shown` has them.

    Every evaluation draws from the stream as it began: epochs are compared, and resumed, with the same draws.
    """
    run.evaluated.eval()
    rng = Generator()
    rng.set_state(run.streams["evaluate"].get_state())
    evaluation = Evaluation(run.device, len(run.data.classes))
    for images, targets in split.parts(1000):
        evaluation.add(run.logits(run.shown(as_float(images), rng), run.evaluated), targets)
        run.pulse()
        run.saving_point(False)
    return evaluation


@contextmanager
def global_generators_guarded(run: TrainingRun) -> Iterator[None]:
    """Dropout and the like know only torch's global generators: seed them per epoch, put them back after."""
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        if run.position:
            run.position.seed_global_generators(run.device)
        else:
            torch.manual_seed(int(torch.randint(2**62, (), generator=run.streams["model"])))
        yield
