"""The learner: what happens within a trial, as the trainer, the planner and the preflight see it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from autoaug.train._lesson import Lesson
    from autoaug.train._loss import MinibatchLoss
    from autoaug.train._run import TrainingRun
    from autoaug.train._task import Task


class Learner(Protocol):
    """What happens within a trial: a learner moves the policy's parameters while the network trains.

    The library uses these members and no others. Before any time is spent, the planner and the preflight call `check`,
    `cautions` and `expected_updates`, and make one training step with the `rehearsal`. A training calls `check` once,
    then in every step with the policy on `wants_graph`, `backward` and `step`, at the end of every epoch `metrics`, and
    for its checkpoints `state_dict` and `load_state_dict`. In refinement epochs the policy is off, and so is the
    learner: only `metrics` is called. In a loop of the user's own `looks_at` and `learn` stand for `check`,
    `wants_graph`, `backward` and `step`.

    A learner of one's own may inherit from `NullLearner` and override what differs:

        class Shrinking(NullLearner):
            moves_policy = True

            def __init__(self, policy): self.policy = policy

            @torch.no_grad()
            def step(self, run): self.policy.strength.mul_(0.999)
    """

    @property
    def moves_policy(self) -> bool:
        """Whether the policy changes while the network trains.

        Then it is recorded with every epoch, trained from scratch after a final run (`Study.deploy`), and validation
        images stay apart in final runs, since the learner looks at them.
        """

    def check(self, task: "Task", train_images: int, val_images: int) -> None:
        """Refuse a training that cannot work, before any time is spent on it.

        Called with each point that a study may propose, so it must be cheap: no model is built and no data is read.

        Args:
            task: what is to be trained. `task.build_optimiser()` makes its optimiser, for one that needs a kind.
            train_images: how many images the network trains on.
            val_images: how many images the learner may look at.

        Raises:
            ValueError: names what cannot work, and what to give instead.
        """

    def cautions(self, task: "Task", train_images: int) -> Sequence[str]:
        """Return what makes a training possible but pointless, one sentence each: the preflight warns of it."""

    def expected_updates(self, task: "Task", train_images: int) -> int:
        """Return how often a training of the task on so many images moves the policy: a count, 0 or more.

        The planner multiplies the seconds of one update by it. It depends on the epochs, the batch size and the number
        of images only.
        """

    def rehearsal(self, task: "Task", train_images: int, val_images: int, share: float) -> "Learner":
        """Return a learner of the same policy that moves it in every training step, from a share of its usual images.

        The preflight takes a step with the share 0, the planner measures one with a larger share. What is rehearsed is
        thrown away afterwards, so the returned learner may share its state with this one, or be this one.

        Args:
            share: in [0, 1], of the images that an update usually looks at; 0 means as few as can show an error.
        """

    def wants_graph(self, run: "TrainingRun") -> bool:
        """Return whether the policy's graph is needed in the training step that comes.

        If so, the images of the loss that `backward` gets can be differentiated by the policy's parameters. `run.step`
        counts the steps that were made, so the coming one is `run.step + 1`. Draw no random numbers here.
        """

    def backward(self, run: "TrainingRun", loss: "MinibatchLoss", images: Tensor, targets: Tensor) -> Tensor:
        """Leave the gradients of a training minibatch in the parameters of `run.model`.

        The optimiser's step follows. `loss.backward()` is all that a learner needs that does nothing here. One that
        differentiates the loss itself takes `loss.with_graph()`.

        Args:
            loss: of the minibatch as the network sees it; nothing of it is computed yet.
            images: [B, C, H, W] in [0, 1], as they were given to the policy.
            targets: classes [B] of these images, int64.

        Returns:
            The loss, a detached scalar in nats.
        """

    def step(self, run: "TrainingRun") -> None:
        """Move the policy where an update is due; called after every step of the network's optimiser.

        `run.step` counts the steps that were made, with this one. Draw random numbers from `run.streams["learner"]`.
        Change parameters under `torch.no_grad()`, not by way of `.data`: a policy would not see that, and run on as
        it was.
        """

    @property
    def joins_loss(self) -> bool:
        """Whether the training loss itself moves the policy, so that its images must carry the policy's graph.

        Asked in a loop of the user's own alone, where `wants_graph` and `backward` are not called.
        """

    def looks_at(self, epoch: int, step: int) -> bool:
        """Return whether `learn` may look at the training images of this step of a loop of the user's own.

        Asked before the step is made, perhaps several times, to keep what its gradient is gathered from where that is
        of use. Draw no random numbers here.

        Args:
            epoch: counted from 1.
            step: as `Lesson.step` will be.
        """

    def learn(self, lesson: "Lesson") -> None:
        """Move the policy where an update is due, as `step` does, after a step of a loop of the user's own.

        Draw random numbers from `lesson.rng`. Call `lesson.val()` where an update is due only: it may read files. The
        first call refuses what cannot work, as `check` does.

        Raises:
            ValueError: it cannot learn in such a loop; the message names what to change.
        """

    def metrics(self) -> dict[str, float]:
        """Return what goes into the record of an epoch; called once at its end.

        The values are finite numbers; what has no value is left out. The trainer's own figures, such as `train_loss`,
        keep the trainer's values.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for a resumed run to equal the uninterrupted one bit for bit.

        Tensors and plain data only. A checkpoint may be written after any step, so what is gathered for the `metrics`
        of the present epoch belongs to it; seconds do not, for each attempt counts its own. The policy's parameters are
        stored by the trainer.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


class NullLearner:
    """The learner of a policy that stays as it was built: gradients as usual, no updates, no state.

    It stands where a strategy has none (`Strategy.within` is None) and in refinement epochs. As a base class it gives
    every member of `Learner` its harmless meaning; a subclass that moves the policy sets `moves_policy = True`, and has
    a `learn` of its own if it is to move it in a loop of the user's own too.
    """

    moves_policy: bool = False
    joins_loss: bool = False

    def check(self, task: "Task", train_images: int, val_images: int) -> None:
        """Refuse nothing."""

    def cautions(self, task: "Task", train_images: int) -> Sequence[str]:
        """Return no cautions."""
        return ()

    def expected_updates(self, task: "Task", train_images: int) -> int:
        """Return the number of training steps with the policy on, or 0 where the policy never moves."""
        return task.epochs * max(1, train_images // task.batch_size) if self.moves_policy else 0

    def rehearsal(self, task: "Task", train_images: int, val_images: int, share: float) -> "Learner":
        """Return itself."""
        return self

    def wants_graph(self, run: "TrainingRun") -> bool:
        """Return False: the policy runs without a graph."""
        return False

    def backward(self, run: "TrainingRun", loss: "MinibatchLoss", images: Tensor, targets: Tensor) -> Tensor:
        """Leave the gradients in the parameters of `run.model` and return the loss, a detached scalar in nats."""
        return loss.backward()

    def step(self, run: "TrainingRun") -> None:
        """Move nothing."""

    def looks_at(self, epoch: int, step: int) -> bool:
        """Return whether it moves the policy."""
        return self.moves_policy

    def learn(self, lesson: "Lesson") -> None:
        """Move nothing.

        Raises:
            ValueError: the learner moves the policy in autoaug's own trainer, and would not in a loop.
        """
        if self.moves_policy:
            raise ValueError(
                f"{type(self).__name__} moves the policy in autoaug's own trainer alone: give it a method "
                "learn(lesson), which moves it after a step of the loop of train=, or search with another strategy"
            )

    def metrics(self) -> dict[str, float]:
        """Return no figures."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Read nothing."""
