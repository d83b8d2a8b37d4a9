"""Splits of images, and how one is cut in two so that every class keeps its share.

N images, C channels (1 or 3), H height, W width, K classes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autoaug.devices import to_device
from autoaug.photos import DataError, Encoded, Photos
from autoaug.text import counted

PHOTOS_AT_ONCE = 128
"""Photos that are evaluated at once, at most: as floats of 224 x 224 pixels 77 MB."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their classes. May be shared with others: never write into it."""

    images: Any
    """A tensor [N, C, H, W], uint8 where the source has bytes, else float32 in [0, 1]; or `Photos`, which stand for
    one; or, as a reader gives them, images that are not decoded yet (`Encoded`). See `as_float`."""
    targets: Tensor
    """N, int64, in 0 to K-1."""
    names: tuple[str, ...] = ()
    """The files that the images were read from; empty where there are none."""
    learned: Tensor | None = None
    """N, int64: the class that training learns of each image where that is not its own, and -1 for an image that is not
    trained on; None: what it learns are the targets. See `taught`."""

    def __len__(self) -> int:
        """Return N, the number of images."""
        return len(self.targets)

    def to(self, device: torch.device | str) -> "Split":
        """Return the split on `device`."""
        learned = None if self.learned is None else self.learned.to(device)
        return Split(self.images.to(device), self.targets.to(device), self.names, learned)

    def at(self, indices: Tensor) -> "Split":
        """Return the images at `indices`, int64, in that order."""
        names = tuple(self.names[index] for index in indices.tolist()) if self.names else ()
        learned = None if self.learned is None else self.learned[to_device(indices, self.learned.device)]
        if isinstance(self.images, Encoded):
            return Split(self.images.taken(indices.tolist()), self.targets[indices], names, learned)
        return Split(*self.taken(indices), names, learned)

    def taken(self, indices: Tensor) -> tuple[Any, Tensor]:
        """Return the images at `indices`, int64, on the CPU, and their targets: both where the split is."""
        if isinstance(self.images, Photos):
            return self.images[indices], self.targets[to_device(indices, self.targets.device)]
        rows = to_device(indices, self.images.device)
        return self.images[rows], self.targets[rows]

    def minibatches(self, parts: Iterable[Tensor]) -> Iterator[tuple[Any, Tensor]]:
        """Yield what `taken` returns for one part after the other; photos are brought while others are used."""
        if not isinstance(self.images, Photos):
            yield from map(self.taken, parts)
            return
        chosen = list(parts)
        for indices, photos in zip(chosen, self.images.minibatches(chosen), strict=True):
            yield photos, self.targets[to_device(indices, self.targets.device)]

    def parts(self, most: int) -> Iterator[tuple[Any, Tensor]]:
        """Yield all images in order, `most` at once or fewer, and their targets."""
        if isinstance(self.images, Photos):
            yield from self.minibatches(torch.arange(len(self)).split(min(most, PHOTOS_AT_ONCE)))
        else:
            yield from zip(self.images.split(most), self.targets.split(most), strict=True)


def to_learn(split: Split) -> Tensor:
    """Return the class that training learns of each image: N, int64, with -1 for an image that is not trained on."""
    return split.targets if split.learned is None else split.learned


def taught(split: Split) -> Split:
    """Return the images that are trained on, with the classes that training learns as their targets."""
    if split.learned is None:
        return split
    kept = (split.learned >= 0).nonzero().squeeze(1)
    trained = split if len(kept) == len(split) else split.at(kept.cpu())  # a copy of all would cost as much again
    return replace(trained, targets=to_learn(trained), learned=None)


def with_images(split: Split, mapped: Callable[[Tensor], Tensor]) -> Split:
    """Return a split of tensors whose images were mapped."""
    return replace(split, images=mapped(split.images))


def joined(first: Split, second: Split) -> Split:
    """Return all images of `first`, then all of `second`."""
    names = first.names + second.names if first.names and second.names else ()
    alike = first.learned is None and second.learned is None
    learned = None if alike else torch.cat([to_learn(first), to_learn(second)])
    targets = torch.cat([first.targets, second.targets])
    if isinstance(first.images, Photos):
        return Split(first.images.joined(second.images), targets, names, learned)
    return Split(torch.cat([first.images, second.images]), targets, names, learned)


def class_counts(split: Split, classes: int) -> Tensor:
    """Return how many images each of the K classes has: K, int64, on the CPU."""
    return torch.bincount(split.targets.cpu(), minlength=classes)


def shares(counts: Tensor, total: int) -> Tensor:
    """Return how many of `total` images each class gives, in proportion to its `counts`: K, int64.

    Sums to `total`, and each class is less than one away from its exact share (largest remainders first).
    """
    exact = counts.double() * total / counts.sum()
    whole = exact.floor().long()
    missing = total - int(whole.sum())
    largest_remainders = (whole - exact).argsort(stable=True)[:missing]
    return whole.index_add(0, largest_remainders, torch.ones_like(largest_remainders))


def draw(split: Split, per_class: Tensor, rng: torch.Generator) -> tuple[Split, Split]:
    """Draw `wanted[k]` images of every class k without replacement: (drawn, rest), both in the order of `split`."""
    targets = split.targets.cpu()  # counted there: a GPU would have to be waited for at every count
    order = torch.randperm(len(split), generator=rng, device=rng.device).cpu()
    order = order[targets[order].argsort(stable=True)]
    label = targets[order]
    counts = torch.bincount(targets, minlength=len(per_class))
    rank_in_class = torch.arange(len(split)) - (counts.cumsum(0) - counts)[label]
    taken = rank_in_class < per_class[label]
    return split.at(order[taken].sort().values), split.at(order[~taken].sort().values)


def cut(
    split: Split, classes: tuple[str, ...], fraction: float, rng: torch.Generator, where: str
) -> tuple[Split, Split]:
    """Draw a stratified `fraction` of the images: (drawn, rest), each with at least one image of every class.

    `where` says in an error which setting of which data `fraction` is.
    """
    counts = class_counts(split, len(classes))
    per_class = shares(counts, round(fraction * len(split)))
    for name, part, count in zip(classes, per_class.tolist(), counts.tolist(), strict=True):
        if not 0 < part < count:
            raise DataError(
                f"{where} takes {part} of the {counted(count, 'image')} of class {name!r}, and both sides need at "
                f"least one: {'raise' if part == 0 else 'lower'} it, or add images of that class"
            )
    if split.learned is None or bool((split.learned >= 0).all()):
        return draw(split, per_class, rng)
    return cut_alike(split, len(classes), fraction, rng)


def cut_alike(split: Split, classes: int, fraction: float, rng: torch.Generator) -> tuple[Split, Split]:
    """Draw a stratified `fraction` of images of which some are not trained on: (drawn, rest).

    It is drawn from those that are trained on and from the others apart, for a class with few of the first would lose
    all of them by chance; at least one of every class stays.
    """
    trained = to_learn(split) >= 0
    drawn = []
    for some, staying in ((trained, 1), (~trained, 0)):
        part = split.at(some.nonzero().squeeze(1).cpu())
        counts = class_counts(part, classes)
        most = (counts - staying).clamp(min=0)
        drawn.append(draw(part, shares(counts, round(fraction * len(part))).minimum(most), rng))
    (first, first_rest), (second, second_rest) = drawn
    return joined(first, second), joined(first_rest, second_rest)
