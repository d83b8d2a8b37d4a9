"""What a loop of the user's own gives to `Trial.learn`, looked at before a learner is."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoaug.data import as_float
from autoaug.train import Labelled
from autoaug.trial._batches import check_range, is_at

LINE = "trial.learn(model, (images, targets), (val_images, val_targets), optimiser)"
"""The line to write."""

BEFORE = "uint8, or floats in [0, 1] as they are before trial.augment, and what normalises them as logits="
"""The images to give."""


def labelled(given: Any, which: str, device: torch.device) -> Labelled:
    """Return a batch of the user's as it is: images [B, C, H, W] and classes [B], integers.

    Args:
        given: images and targets.
        which: what the batch is for, "training" or "validation".

    Raises:
        ValueError: it is no such batch, or not on the device.
    """
    if given is None:
        raise ValueError(
            f"trial.learn has no {which} data: write {LINE}, of which the policy never touches val_images; or give a "
            "function that returns the pair where it is needed"
        )
    if not isinstance(given, tuple | list) or len(given) != 2 or not all(isinstance(part, Tensor) for part in given):
        raise ValueError(
            f"trial.learn was given {kind_of(given)} as {which} data: give images and their classes, as in {LINE}"
        )
    images, targets = given
    if images.dim() != 4 or not len(images):
        raise ValueError(f"trial.learn was given {which} images {list(images.shape)}: give some, [B, C, H, W]")
    if targets.shape != images.shape[:1] or targets.is_floating_point() or targets.dtype is torch.bool:
        raise ValueError(
            f"trial.learn was given {which} targets {list(targets.shape)} of {targets.dtype} for {len(images)} images: "
            f"give their classes [{len(images)}], int64; the soft targets of trial.augment are for the loss"
        )
    for name, part in {"images": images, "targets": targets}.items():
        if part.device != device:
            raise ValueError(
                f"trial.learn was given {which} {name} on {part.device}, and the network is on {device}: write "
                f"{name}.to({str(device)!r})"
            )
    return images, targets


def floats(batch: Labelled) -> Labelled:
    """Return a batch with images as floats, and classes as int64."""
    images, targets = batch
    return images if images.is_floating_point() else as_float(images), targets.long()


def kind_of(given: Any) -> str:
    """Return what something is, in the words of an error."""
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {', '.join(type(part).__name__ for part in given) or 'nothing'}"
    return f"a {type(given).__name__}"


class Looks:
    """Look at the images of lessons, at the first of each kind in an epoch: a GPU is waited for."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def at(self, batch: Labelled, which: str, epoch: int) -> None:
        """Raise ValueError where images that are looked at are not in [0, 1]."""
        if self.last.get(which) != epoch:
            self.last[which] = epoch
            check_range(batch[0], f"trial.learn was given {which} images", BEFORE)


class Gathered:
    """Keep the training batches that a step of an optimiser is made of, until it is made."""

    def __init__(self) -> None:
        self.batches: list[Labelled] = []
        self.steps = 0
        """That optimisers had made by the last lesson."""

    def taken(self, batch: Labelled, whole: bool, steps: int) -> Labelled | None:
        """Return what the step that was just made is of, with images as floats; None where none was made.

        Args:
            batch: as it was given.
            whole: whether the batches before it in the same step are kept.
            steps: that optimisers have made by now.

        Raises:
            ValueError: the images of a step differ in size.
        """
        self.batches = [*self.batches, batch] if whole else [batch]
        if steps == self.steps:
            return None
        self.steps = steps
        batches, self.batches = self.batches, []
        return floats(batches[0] if len(batches) == 1 else joined(batches))


def joined(batches: Sequence[Labelled]) -> Labelled:
    """Return the batches of a step as one.

    Raises:
        ValueError: their images differ in size.
    """
    shapes = {tuple(images.shape[1:]) for images, _ in batches}
    if len(shapes) > 1:
        raise ValueError(
            f"the gradient of one step is gathered from images of {' and '.join(map(str, sorted(shapes)))}, which no "
            "hypergradient can be taken of: give images of one size"
        )
    images, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return images, targets


def source_of(val: Any, device: torch.device, needed: bool, look: Callable[[Labelled], None]) -> Callable[[], Labelled]:
    """Return what gives a batch to validate on, from such a batch or a function that returns one.

    Args:
        needed: whether None is refused before it is asked for.
        look: looks at a batch that is returned.

    Raises:
        ValueError: it is neither.
    """
    if not callable(val) and (needed or val is not None):
        labelled(val, "validation", device)

    def source() -> Labelled:
        try:
            batch = floats(labelled(val() if callable(val) else val, "validation", device))
        except StopIteration:
            raise ValueError(
                "the validation data of trial.learn came to an end: give a function that begins anew, such as the "
                "__next__ of itertools.cycle(loader)"
            ) from None
        look(batch)
        return batch

    return source


def device_of(model: Any, optimiser: Any, wanted: torch.device) -> torch.device:
    """Return where a network is; refuse one that is none, or not where the policy is, and an optimiser that is none.

    Raises:
        ValueError: it says what to give.
    """
    for value, kind in ((model, nn.Module), (optimiser, torch.optim.Optimizer)):
        if not isinstance(value, kind):
            raise ValueError(f"trial.learn was given {kind_of(value)} for a torch {kind.__name__}: write {LINE}")
    for name, weight in model.named_parameters():
        if not is_at(weight.device, wanted):
            raise ValueError(
                f"{name} of the network is on {weight.device}, and the policy on {wanted}: write model.to(trial.device)"
            )
        return weight.device
    raise ValueError(f"a {type(model).__name__} has no weights to train: give the network to trial.learn")


def check_numbers(clip_norm: Any, micro_batch: Any) -> None:
    """Refuse a norm or a number of images that is none.

    Raises:
        ValueError: it names the value.
    """
    if clip_norm is not None and not (isinstance(clip_norm, int | float) and clip_norm > 0):
        raise ValueError(f"trial.learn(clip_norm={clip_norm!r}): give the norm that the loop clips to, above 0")
    if micro_batch is not None and (
        isinstance(micro_batch, bool) or not isinstance(micro_batch, int) or micro_batch < 1
    ):
        raise ValueError(f"trial.learn(micro_batch={micro_batch!r}): give a whole number of images, at least 1")


def counted_steps(said: int | None, made: int, epochs: int) -> int | None:
    """Return the steps of an epoch, from what the loop said and what it made in so many whole epochs.

    Raises:
        ValueError: it said something that is far from what it makes.
    """
    if not epochs or not made:
        return said
    found = max(1, round(made / epochs))
    if said is not None and not found / 2 < said < 2 * found:
        raise ValueError(
            f"trial.epochs(steps={said}), and the optimiser made {found} steps in an epoch with trial.learn after "
            f"each: give steps={found}, which counts steps of the optimiser, not batches"
        )
    return said or found
