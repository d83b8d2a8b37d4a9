"""The trial as a training loop of the user's own sees it.

B batch, C channels, H height, W width, K classes
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Generator, Tensor, nn

from autoaug.checkpoint import BEGAN_AGAIN, Checkpoint
from autoaug.data import Data, Split, as_float
from autoaug.fields import MOST_WHOLE
from autoaug.interruption import Interruption
from autoaug.learners import LearnedMix, straight
from autoaug.lookup import suggest
from autoaug.mixing import Mix, TrainingMix, refuse_in_loops
from autoaug.models import Part
from autoaug.photos import Photos
from autoaug.policy import Policy
from autoaug.record import Phase
from autoaug.train import (
    Labelled,
    Learner,
    Lesson,
    Task,
    TrainingRun,
    apply_standard,
    check_epochs,
    check_fading,
    mix_share,
    partly,
    pick_device,
    policy_share,
    shown_size,
    spawn,
    weakened,
)
from autoaug.trial._batches import check_places, float_images, outputs_of, soft_targets
from autoaug.trial._dataset import Items, NumberedItems, numbered
from autoaug.trial._generators import GlobalGenerators
from autoaug.trial._keeping import restore, state_of
from autoaug.trial._lessons import (
    Gathered,
    Looks,
    check_numbers,
    counted_steps,
    device_of,
    labelled,
    source_of,
)
from autoaug.trial._state import check_kept
from autoaug.trial._steps import Steps

if TYPE_CHECKING:
    from autoaug.trial._transform import TrialTransform

SplitName = Literal["train", "val", "test"]


class Trial:
    """One attempt at one point, as a training loop of the user's own is given it.

    The loop is a generator function of a trial. It yields the metrics of an epoch at the end of each:

        def finetune(trial):
            model, optimiser = ...
            for epoch in trial.epochs(20, model=model, optimiser=optimiser):
                for images, targets in loader:
                    mixed, soft = trial.augment(images, targets)
                    ...
                yield {"val_accuracy": ...}

    At a `yield` the epoch is reported, and judged: where the trial ends early the generator is closed there, which runs
    its `finally` blocks.

    Args:
        params: what the point sets of the loop's own dimensions, by name without "train.".
        task: its data, and how many epochs, where the study says so.
        metric: what the study goes by, such as "val_accuracy".
        data: of the task; None where the loop reads its own.
        final: whether it is a final run, which alone reads the test split.
        rehearsing: whether it is a rehearsal of the first steps, before the run and by `--dry-run`: a loop that makes
            files or reports to a service leaves that out there.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        policy: Policy,
        mix: Mix | TrainingMix,
        learner: Learner,
        task: Task,
        seed: int,
        *,
        metric: str = "val_accuracy",
        final: bool = False,
        data: Data | None = None,
        checkpoint: Checkpoint | None = None,
        validates: bool = True,
        pulse: Callable[[], None] = lambda: None,
        interruption: Interruption | None = None,
        rehearsing: bool = False,
    ) -> None:
        self.params, self.policy, self.mix, self.learner, self.task = params, policy, mix, learner, task
        self.seed, self.metric, self.final, self.rehearsing = seed, metric, final, rehearsing
        self.data, self.checkpoint, self.validates = data, checkpoint, validates
        self.pulse, self.interruption = pulse, interruption or Interruption()
        self.streams = spawn(Generator().manual_seed(seed))
        """Generators by purpose, on the CPU: "weights", "order", "augment", "mix", "model" and "learner"."""
        self.device = pick_device(task.device)
        self.policy.to(self.device)
        self.epoch = 0
        """The present epoch, counted from 1."""
        self.step = 0
        """The training steps that were made with the policy on, as `learn` counts them."""
        self.augmented_epochs: int | None = None
        """How many epochs have the policy on; None before the loop said so."""
        self.steps_per_epoch: int | None = None
        self.steps, self.generators = Steps(), GlobalGenerators()
        self.steps.listeners.append(lambda optimiser: self.pulse())
        self.read: set[str] = set()
        """The names of the params that the loop has asked for."""
        check_fading(task, mix)
        self.used: set[str] = set()
        """What of the trial the loop has used: "policy", "mix", "learner"."""
        self.images = 0
        """That were augmented in the present epoch."""
        self.outputs: int | None = None
        """Of the network that was named in `epochs`, where there is one and its head is known."""
        self.taken_transform: TrialTransform | None = None
        self.gathered, self.looks = Gathered(), Looks()
        self.last_lesson = 0
        """The epoch of the latest lesson."""
        self.refusal = ""
        """Why `epochs` may not be begun now; empty where it may."""
        self.finished: Callable[[TrainingRun], object] | None = None
        """Called with the training at the end, where it is one of autoaug's own trainer (`train`)."""
        self.close_error: Exception | None = None
        """What went wrong in the `finally` blocks of a loop that was closed."""

    def __getitem__(self, name: str) -> Any:
        """Return the value of one of the loop's own dimensions, such as `trial["lr"]` of "train.lr".

        Raises:
            KeyError: the study has no such dimension; the message names near matches.
        """
        if name not in self.params:
            known = suggest(name, self.params) if self.params else "the space has no 'train.' dimension"
            raise KeyError(f"trial[{name!r}]: the study has no dimension 'train.{name}': {known}")
        self.read.add(name)
        return self.params[name]

    def get(self, name: str, default: Any) -> Any:
        """Return the value of one of the loop's own dimensions, or a default in studies that do not search it."""
        return self[name] if name in self.params else default

    @property
    def phase(self) -> Phase:
        """Whether the present epoch is one of augmentation or of refinement, in which policy and mix are off."""
        known = self.augmented_epochs
        return "augment" if known is None or self.epoch <= known else "refine"

    @property
    def refining(self) -> bool:
        """Whether the present epoch is one of refinement, in which a loop may lower its learning rate."""
        return self.phase == "refine"

    @property
    def total_epochs(self) -> int | None:
        """Return the augmented epochs and the refinement epochs together; None before the loop said how many."""
        return None if self.augmented_epochs is None else self.augmented_epochs + self.task.refine_epochs

    def epochs(self, total: int | None = None, *, steps: int | None = None, **kept: Any) -> Iterator[int]:
        """Yield the numbers of the epochs that are left, from 1 or from where an interrupted attempt stopped.

        After them come those of refinement, where the study has any (`Task.refine_epochs`, `refining`).

        Args:
            total: epochs with the policy on; None is `Task.epochs`, which a space may search and a proxy may lower.
            steps: training steps of an epoch, such as `len(loader)`, where they are known: the cost of a trial can then
                be predicted, and a learner that fits its updates to them need not count them first. Steps of the
                optimiser are meant, so that batches whose gradients are gathered count as one.
            kept: what an interrupted trial goes on with: networks, optimisers, schedules, anything with `state_dict`
                and `load_state_dict`. Policy, learner and generators are kept beside them. Where nothing is named, an
                interrupted trial begins anew.

        Raises:
            ValueError: a number is none, or what is named cannot be kept; the message names it.
        """
        self.begin(total, steps, kept)
        while self.epoch < (self.total_epochs or 0):
            self.enter_epoch()
            yield self.epoch
            self.leave_epoch(kept)

    def begin(self, total: int | None, steps: int | None, kept: Mapping[str, Any]) -> None:
        """Take in what the loop says of itself, and restore what is kept from the latest attempt that left it."""
        for name, number in {"total": total, "steps": steps}.items():
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise ValueError(f"trial.epochs({name}={number!r}): give a whole number of at least 1")
        if self.refusal:
            raise TypeError(self.refusal)
        if self.augmented_epochs is not None:
            raise ValueError("trial.epochs was called a second time: a trial is one training")
        if self.epoch:
            raise ValueError("the loop yields before trial.epochs is begun: yield once, at the end of each epoch")
        check_epochs(self.task, total)
        self.augmented_epochs, self.steps_per_epoch = total or self.task.epochs, steps
        check_kept(kept)
        self.outputs = outputs_of(kept.values())
        if self.checkpoint and kept:
            self.checkpoint.load(partial(restore, self, kept))
        elif self.checkpoint and self.checkpoint.missing:
            self.checkpoint.passed_over = f"{BEGAN_AGAIN}: the loop names nothing in trial.epochs to go on with"

    def enter_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch += 1
        self.images = 0
        self.policy.at(min(self.epoch, self.augmented_epochs or self.epoch))
        self.tell_workers()
        self.pulse()

    def leave_epoch(self, kept: Mapping[str, Any]) -> None:
        """End an epoch that was reported: write a checkpoint where one is due, and go where that was asked for.

        Raises:
            KeyboardInterrupt: the end was asked for.
        """

        def save() -> None:
            if self.checkpoint and kept:
                self.checkpoint.save(partial(state_of, self, kept))

        if self.epoch == self.total_epochs:
            return
        if self.checkpoint and not self.interruption.requested and self.checkpoint.due():
            save()
        self.interruption.obey(save)

    def augment(self, images: Tensor, targets: Tensor, classes: int | None = None) -> tuple[Tensor, Tensor]:
        """Return images and soft targets [B, K] as a training step sees them: by the policy, then mixed.

        While refining neither is done, and less of both where the task anneals them or warms the mix up. No graph is
        made, unless the training loss moves the policy.

        Args:
            images: [B, C, H, W] with 1 or 3 channels, of uint8 or of floats in [0, 1]; what normalises comes after.
            targets: classes [B], integers, or soft targets [B, K], floats: also several labels of one image, or figures
                that a network predicts, which the mix mixes too.
            classes: K; None is that of the task, or else what the network has outputs for that `epochs` was given.

        Returns:
            Images [B, C, H, W], floats in [0, 1], and soft targets [B, K] of the same type, on their device.

        Raises:
            ValueError: the images are none of these, or not where the policy or the targets are, or nobody knows how
                many classes there are.
        """
        if self.taken_transform is not None:
            raise ValueError(
                "trial.augment would apply the policy a second time, after trial.transform: call "
                "trial.mixed(images, targets), or leave the transform out"
            )
        self.used.add("policy")
        check_places(images, targets, self.device if self.learner.moves_policy else None)
        images = float_images(images, look=not self.images)
        soft = soft_targets(targets, self.known_classes(classes), len(images), look=not self.images)
        if self.refining:
            return self.mixed(images, soft)
        with torch.set_grad_enabled(self.learner.joins_loss and torch.is_grad_enabled()):
            seen = self.policy(images, self.streams["augment"])
            return self.mixed(partly(images, seen, self.policy_share, self.streams["augment"]), soft, classes)

    @property
    def transform(self) -> "TrialTransform":
        """Return the policy as a transform of torchvision v2 that DataLoader workers may hold.

        It takes PIL images (RGB or L), and tensors [..., C, H, W] with 1 or 3 channels, of uint8 or of floats in
        [0, 1], alone or within tuples and dicts; what normalises comes after. `tv_tensors.Mask` and
        `tv_tensors.BoundingBoxes` beside an image follow it: masks by the nearest value, with 0 where nothing was, and
        boxes around their four corners, cut off at the border. A box that left the image is empty then, which
        torchvision's `SanitizeBoundingBoxes` removes. Other tensors beside an image pass through.

        What an image meets depends on the seed of the trial, the epoch and the index of the item alone, where the
        dataset is read through `trial.dataset`. Elsewhere what the image holds stands for the index: equal images, such
        as several views of one, then meet the same. In refinement epochs the transform does nothing. Workers hear of a
        new epoch wherever they are, also with `persistent_workers`; what they read ahead of it is of the old one. The
        mix is `trial.mixed(images, targets)`.

        Raises:
            ValueError: a learner moves the policy, of which a worker would hold an old copy; the policy was applied by
                `trial.augment` before; or no tree says what it does.
            PolicyError: when a mask or a box is given and the policy has an operation that it cannot follow.
        """
        if self.taken_transform is None:
            from autoaug.trial._transform import Present, transform_of  # here: torchvision takes long to import

            if "policy" in self.used:
                raise ValueError(
                    "trial.transform would apply the policy a second time, beside trial.augment: call "
                    "trial.mixed(images, targets) instead of trial.augment, or leave the transform out"
                )
            self.taken_transform = transform_of(self.policy, self.learner.moves_policy, self.seed, Present())
            self.tell_workers()
        self.used.add("policy")
        return self.taken_transform

    def dataset(self, dataset: Items) -> NumberedItems:
        """Return a map-style dataset that reads another, and tells `transform` the index of the item that it reads.

        Wrap the one that applies the transform; a sampler or `Subset` around it changes no draw. Each call of the
        transform for one item has draws of its own, so that two views of an image differ.

        Raises:
            TypeError: the dataset has no length, or no items by index.
        """
        return numbered(dataset)

    def tell_workers(self) -> None:
        """Let the transform know the present epoch, in whichever process it is."""
        if self.taken_transform is not None:
            self.taken_transform.present.enter(self.epoch, self.policy_share)

    @property
    def policy_share(self) -> float:
        """Return the share of its images that the policy is applied to in the present epoch."""
        return policy_share(self.task, self.epoch, self.augmented_epochs) if self.augmented_epochs else 1.0

    @property
    def mix_share(self) -> float:
        """Return the share of its strength that the mix has in the present epoch."""
        counting = self.augmented_epochs is None  # itself, so that the present epoch is one ahead of what it reported
        return mix_share(self.task, self.epoch + counting, self.augmented_epochs or MOST_WHOLE)

    def mixed(self, images: Tensor, targets: Tensor, classes: int | None = None) -> tuple[Tensor, Tensor]:
        """Return images and soft targets as `augment` does, but for the policy: for images that a transform has met.

        Args:
            images: [B, C, H, W], floats.
            targets: classes [B], integers, or soft targets [B, K], floats.
            classes: K, as in `augment`.

        Raises:
            ValueError: the mix needs what only autoaug's own trainer knows.
        """
        self.used.add("mix")
        self.pulse()
        look = not self.images
        self.images += len(images)
        soft = soft_targets(targets, self.known_classes(classes), len(images), look=look).to(images.dtype)
        refuse_in_loops(self.mix)
        plain = self.mix.plain() if isinstance(self.mix, LearnedMix) else self.mix  # as it stands, without its graph
        mix = weakened(plain, self.mix_share)
        if mix is None:
            return images, soft
        assert not isinstance(mix, TrainingMix), "refused"
        return mix(images, soft, self.streams["mix"])

    def known_classes(self, classes: int | None) -> int | None:
        """Return how many classes there are: as given, or of the task, or of the network; None where nobody knows."""
        return classes or (len(self.data.classes) if self.data is not None else None) or self.outputs

    def standard(self, images: Tensor | Photos) -> Tensor:
        """Return images of the task's data [B, C, H, W], float32 in [0, 1], with the augmentation that is always on.

        Raises:
            ValueError: the task has no data; a loop that reads its own images augments them as it likes.
        """
        data = self.data_on_device
        if self.refining and not self.task.refine_standard:
            return as_float(images)
        return apply_standard(data.standard, images, shown_size(data), self.streams["augment"])

    def split(self, name: SplitName) -> Split:
        """Return the images of a split of the task's data, on the device, and their classes.

        Raises:
            ValueError: there is no such split, or none that this trial may read.
        """
        data = self.data_on_device
        splits = {"train": data.train, "val": data.scored, "test": data.test}
        if name not in splits:
            raise ValueError(f"trial.split({name!r}): {suggest(name, splits)}")
        split = splits[name]
        if split is None:
            raise ValueError("trial.split('test'): only a final run reads the test split: ask trial.final first")
        return split

    @cached_property
    def data_on_device(self) -> Data:
        """Return the data of the task; raise ValueError where it has none."""
        if self.data is None:
            raise ValueError(
                "the study has no data of its own, the loop reads them: give Study(task=Task(data=...)) to have a split"
            )
        return self.data.to(self.device)

    def learn(
        self,
        model: nn.Module,
        train: Labelled,
        val: Labelled | Callable[[], Labelled] | None,
        optimiser: torch.optim.Optimizer,
        logits: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor] = straight,
        *,
        weights: Part | Collection[str] | None = None,
        criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
        clip_norm: float | None = None,
        micro_batch: int | None = None,
    ) -> None:
        """Let a learner move the policy, after a step of the optimiser; nothing where none does.

        Where a gradient is gathered from several batches, call it after each of them: it acts once the optimiser has
        made a step, on all that it was given since the step before. Network, gradients and optimiser stay as they are.

        A learner that fits its settings to the length of the training, as that of `madao` does, begins in the second
        epoch, unless `epochs` was given the steps of an epoch.

        Args:
            model: in the mode in which it trains; not compiled and not wrapped, as it is differentiated twice.
            train: the images of the step before `augment`, [B, C, H, W], uint8 or floats in [0, 1], and their classes
                [B], integers.
            val: images that the policy never touches, and their classes; or what gives them, called where they are
                needed alone. None is for learners that need none, such as that of `stn`.
            optimiser: of the network; `truncated` looks ahead through its steps. Weights that it does not have are
                taken for constant.
            logits: how images in [0, 1] go through a network, such as `lambda images, network: network(norm(images))`.
            weights: what of the network a hypergradient goes through: "head", "last-block", "all", or names of its
                parameters and modules. None is what the strategy says. In two fine-tuning loops by AdamW an update
                through the head took .15 to .46 of the time of one through all, and the cosine of the two was .4 to .9
                in the first steps and .3 to .7 later, scattered by up to .7 (`benchmarks/parts_in_a_loop.py`).
            criterion: the training loss of each image [B] from logits [B, K] and classes [B], or soft targets [B, K]
                where the strategy learns its mix; None is cross-entropy.
            clip_norm: what the loop clips the norm of the gradient to.
            micro_batch: images that go through the network at once in an update; None is all of them.

        Raises:
            ValueError: an argument is not as above, or the learner cannot learn in this loop.
        """
        self.pulse()
        epoch = self.epoch + (self.augmented_epochs is None)  # a loop that counts its epochs itself is a report behind
        if self.refining or not self.learner.moves_policy:
            self.used.add("learner")
            return
        device = device_of(model, optimiser, self.device)
        looked_at = self.learner.looks_at(epoch, self.step + 1)
        whole = self.gathered.taken(labelled(train, "training", device), looked_at, self.steps.count)
        if whole is None:
            return
        if looked_at:
            self.looks.at(whole, "training", epoch)
        self.used.add("learner")
        check_numbers(clip_norm, micro_batch)
        if epoch != self.last_lesson:
            self.steps_per_epoch = counted_steps(self.steps_per_epoch, self.step, epoch - 1)
        self.last_lesson = epoch
        self.step += 1
        lesson = Lesson(
            epoch=epoch,
            epochs=self.augmented_epochs or self.task.epochs,
            step=self.step,
            steps_per_epoch=self.steps_per_epoch,
            model=model,
            optimiser=optimiser,
            train=whole,
            val=source_of(
                val,
                device,
                needed=not self.learner.joins_loss,
                look=lambda batch: self.looks.at(batch, "validation", epoch),
            ),
            rng=self.streams["learner"],
            logits=logits,
            criterion=criterion,
            weights=weights,
            clip_norm=clip_norm,
            micro_batch=micro_batch,
        )
        with self.steps.not_counted():
            self.learner.learn(lesson)

    def seed_everything(self) -> int:
        """Seed the global generators of Python, numpy and torch by the seed of the trial once more, and return it.

        They are seeded so when the loop begins, and a checkpoint keeps them. For code that has no generator of its own,
        and is to draw the same whatever was drawn before. Outside of the loop they are what they were.
        """
        self.generators.seed(self.seed)
        return self.seed
