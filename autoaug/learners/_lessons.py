"""What a `Bilevel` makes of a loop of the user's own: its length, its refusals, and its problem after a step."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from autoaug.hypergrad import Hypergrad, Unrolled
from autoaug.learners._following import OF_A_LOOP, check_unrolled
from autoaug.learners._problem import Batch, Problem, chosen
from autoaug.learners._updates import Updates
from autoaug.models import Part
from autoaug.train import Criterion, Task

if TYPE_CHECKING:
    from torch import nn

    from autoaug.train import Lesson


class Length(NamedTuple):
    """Say how long a loop trains."""

    epochs: int
    steps_per_epoch: int
    batch_size: int

    @property
    def task(self) -> Task:
        """Return a task without data that trains as long."""
        return Task(data=None, epochs=self.epochs, batch_size=self.batch_size)

    @property
    def images(self) -> int:
        """Return how many training images make such epochs."""
        return self.steps_per_epoch * self.batch_size


def length_of(lesson: "Lesson") -> Length | None:
    """Return the length of the loop of a lesson; None where it is not known yet."""
    if lesson.steps_per_epoch is None:
        return None
    return Length(lesson.epochs, lesson.steps_per_epoch, len(lesson.train[1]))


def problem_of(policy: "nn.Module", lesson: "Lesson", updates: Updates, mix: "nn.Module | None" = None) -> Problem:
    """Return the bilevel problem after a step of a loop, on its batch, which `mix` mixes, and on images of the user's.

    Weights that the optimiser does not have stay as they are, so that no hypergradient goes through them.
    """
    return Problem(
        policy,
        lesson.model,
        Batch(*lesson.train),
        Batch(*lesson.val()),
        lesson.rng,
        lesson.logits,
        lesson.micro_batch or updates.micro_batch,
        Criterion() if lesson.criterion is None else per_image(lesson.criterion),
        part=part_of(lesson, updates),
        still=still_in(lesson),
        clip_norm=lesson.clip_norm,
        mix=mix,
    )


def part_of(lesson: "Lesson", updates: Updates) -> Part | Collection[str]:
    """Return what of the network a hypergradient goes through."""
    return updates.part if lesson.weights is None else lesson.weights


def still_in(lesson: "Lesson") -> frozenset[str]:
    """Return the names of the parameters that the optimiser of a lesson does not have."""
    moved = {id(weight) for group in lesson.optimiser.param_groups for weight in group["params"]}
    return frozenset(name for name, weight in lesson.model.named_parameters() if id(weight) not in moved)


def per_image(criterion: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a criterion of the user's that is refused where it gives anything but the loss of each image."""

    def losses(logits: Tensor, targets: Tensor) -> Tensor:
        found = criterion(logits, targets)
        if not isinstance(found, Tensor) or found.shape != targets.shape[:1]:
            shape = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise ValueError(
                f"trial.learn(criterion=...) gives {shape} for logits {list(logits.shape)}: give the loss of each "
                f"image, [{len(logits)}], as losses of torch do with reduction='none'"
            )
        return found

    return losses


@contextmanager
def compiled_named(lesson: "Lesson") -> Iterator[None]:
    """Say in the error, where a network has no second derivative for it is compiled, what to give instead."""
    try:
        yield
    except RuntimeError as error:
        if "compiled" not in str(error) and "double backward" not in str(error):  # PyTorch's words
            raise
        raise RuntimeError(
            f"the {type(lesson.model).__name__} that trial.learn was given is compiled, and so has no second "
            "derivative: give the network that torch.compile was given, which shares its weights, and do not compile "
            f"it in place. {error}"
        ) from error


def check_loop(lesson: "Lesson", hypergrad: Hypergrad, updates: Updates) -> None:
    """Refuse a loop whose steps cannot be followed, or whose weights cannot be chosen so.

    Raises:
        ValueError: it names what to change.
    """
    part, still = part_of(lesson, updates), still_in(lesson)
    chosen(lesson.model, part, {n for n, w in lesson.model.named_parameters() if w.requires_grad and n not in still})
    if not isinstance(hypergrad, Unrolled):
        return
    check_unrolled(lesson.optimiser, OF_A_LOOP)
    if lesson.clip_norm is not None and part != "all":
        raise ValueError(
            f"trial.learn(clip_norm={lesson.clip_norm:g}) clips by the norm of the whole gradient, and an unrolled "
            f"hypergradient through weights={part!r} knows that of a part: give weights='all', or leave clip_norm out"
        )


def check_moves(updates: Updates, length: Length, begin: int) -> None:
    """Refuse settings under which the policy would never move in a loop of this length.

    Args:
        begin: the epoch from which on it may move, counted from 1.

    Raises:
        ValueError: it names the setting.
    """
    if replace(updates, warmup=max(updates.warmup, begin - 1)).expected(length.task, length.images) < 1:
        raise ValueError(
            f"every={updates.every} steps, after a warm-up of {updates.warmup} epochs, is longer than the training of "
            f"{length.epochs} epochs with {length.steps_per_epoch} steps each: the policy would never move; lower it"
        )


def check_epochs(updates: Updates, epochs: int, waits: bool) -> None:
    """Refuse, before the steps of an epoch are known, what no number of steps would let the policy move in.

    Args:
        waits: whether the settings are fitted to the number of steps.

    Raises:
        ValueError: it says what to give.
    """
    if waits and epochs == 1:
        raise ValueError(
            "the learner fits its updates to the steps of an epoch, and a loop of one epoch is over once they are "
            "counted: give trial.epochs(1, steps=...)"
        )
    if not waits and updates.warmup >= epochs:
        raise ValueError(
            f"warmup={updates.warmup} epochs of trial.epochs({epochs}): the policy would never move; lower it"
        )
