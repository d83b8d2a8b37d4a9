"""Datasets of which training learns less, or other things, than is there: few images, a long tail, wrong labels.

Only what is trained on changes. Test images, and validation images that `load_data` cuts, are those of the whole
dataset with their own classes, so that scores say the truth. They nest: `corrupted(reduced("cifar10", 100), 0.2)`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from autoaug.data._load import TEST_FRACTION, data_name, read, with_test
from autoaug.data._source import Reader, Source
from autoaug.data._splits import DataError, Split, draw, to_learn
from autoaug.seeding import derive_seed
from autoaug.text import counted


@dataclass(frozen=True)
class Reduced:
    """Train on a few images of every class; see `reduced`."""

    data: str | Path | Reader
    per_class: int
    seed: int = 0

    def __call__(self, root: Path) -> Source:
        """Read the whole dataset and choose from it."""
        source, where = tested(self.data, root), f"per_class={self.per_class} of reduced {data_name(self.data)}"
        counts = trained_counts(source)
        for name, count in zip(source.classes, counts.tolist(), strict=True):
            if not 0 < self.per_class <= count:
                raise DataError(f"{where}: class {name!r} has {counted(count, 'training image')}, so give 1 to {count}")
        return keeping(source, torch.full_like(counts, self.per_class), own_generator(self.seed, "reduced"))


def reduced(data: str | Path | Reader, per_class: int, seed: int = 0) -> Reduced:
    """Make a dataset of which training sees `per_class` images of every class: `Task(data=reduced("cifar10", 100))`.

    They are drawn by `seed` from all that are not test images. Validation images are a `Task.val_fraction` of all of
    these, the chosen ones in their share: with 0.1, training sees 90 of 100, and the last run on both all of them.
    """
    return Reduced(data, per_class, seed)


def whole_of(data: str | Path | Reader) -> str | Path | Reader:
    """Return the dataset that a reduced one is drawn from; other data as they are.

    Two that come from one dataset have the same test images: what was trained on them can be compared.

    >>> from autoaug.data import reduced, whole_of
    >>> whole_of(reduced("digits", per_class=20))
    'digits'
    """
    return whole_of(data.data) if isinstance(data, Reduced) else data


@dataclass(frozen=True)
class LongTailed:
    """Train on ever fewer images of one class after the other; see `long_tailed`."""

    data: str | Path | Reader
    factor: float
    seed: int = 0

    def __call__(self, root: Path) -> Source:
        """Read the whole dataset and choose from it."""
        if not self.factor >= 1:
            raise DataError(f"factor={self.factor:g} of long-tailed {data_name(self.data)}: give 1 or more")
        source = tested(self.data, root)
        counts = trained_counts(source)
        per_class = tail(int(counts.max()), len(counts), self.factor).minimum(counts)
        return keeping(source, per_class, own_generator(self.seed, "long-tailed"))


def long_tailed(data: str | Path | Reader, factor: float = 100, seed: int = 0) -> LongTailed:
    """Make a dataset with a long tail of rare classes: `Task(data=long_tailed("cifar100", factor=100))`.

    Of class k of K, training sees n * factor^(-k / (K-1)) images, rounded down, where n is how many the largest class
    has (Cui et al. 2019, "Class-Balanced Loss", section 5.1): the last class has a `factor`-th of the first. Classes
    that have fewer keep them all. Which images is drawn by `seed`. Validation images are cut as from the whole dataset,
    so every class keeps its share there.
    """
    return LongTailed(data, factor, seed)


def tail(most: int, classes: int, factor: float) -> Tensor:
    """Return how many images each of K classes has in a long tail that begins with `most`: K, int64, at least 1."""
    exponents = torch.arange(classes, dtype=torch.float64) / max(1, classes - 1)
    return (most * factor**-exponents + 1e-9).floor().long().clamp(min=1)


@dataclass(frozen=True)
class Corrupted:
    """Train with wrong labels; see `corrupted`."""

    data: str | Path | Reader
    share: float
    seed: int = 0

    def __call__(self, root: Path) -> Source:
        """Read the whole dataset and replace labels."""
        if not 0 <= self.share <= 1:
            raise DataError(f"share={self.share:g} of corrupted {data_name(self.data)}: give a number from 0 to 1")
        source, rng = tested(self.data, root), own_generator(self.seed, "corrupted")
        learned = to_learn(source.train).clone()
        trained = (learned >= 0).nonzero().squeeze(1)
        chosen = trained[torch.randperm(len(trained), generator=rng)[: round(self.share * len(trained))]]
        learned[chosen] = torch.randint(len(source.classes), chosen.shape, generator=rng)
        return replace(source, train=replace(source.train, learned=learned))


def corrupted(data: str | Path | Reader, share: float = 0.2, seed: int = 0) -> Corrupted:
    """Make a dataset of which training learns wrong labels: `Task(data=corrupted("cifar10", share=0.8))`.

    A `share` of the labels, drawn by `seed`, are replaced by a class that is drawn among all K, so that one in K of
    them stays right (Zhang et al. 2018, "mixup", section 3.4, with shares of 0.2, 0.5 and 0.8). Scores are of the true
    labels. An image keeps its wrong label in every epoch and every trial, and has it, too, in a last run on training
    and validation images together.
    """
    return Corrupted(data, share, seed)


def tested(data: str | Path | Reader, root: Path) -> Source:
    """Return a dataset with test images, which are cut as `load_data` does by default where it has none."""
    return with_test(read(data, root), TEST_FRACTION, data_name(data))


def trained_counts(source: Source) -> Tensor:
    """Return how many images of each of the K classes are trained on: K, int64."""
    kept = to_learn(source.train) >= 0
    return torch.bincount(source.train.targets[kept], minlength=len(source.classes))


def own_generator(seed: int, what: str) -> torch.Generator:
    """Return a generator that draws otherwise than every other of the same seed.

    Else the images of wrong labels would be the very ones that `load_data` validates on: it, too, begins with an order.
    """
    return torch.Generator().manual_seed(derive_seed(seed, what))


def keeping(source: Source, per_class: Tensor, rng: torch.Generator) -> Source:
    """Return a dataset of which training sees so many images of each class, drawn from those that it saw before."""
    learned = to_learn(source.train)
    rows = (learned >= 0).nonzero().squeeze(1)
    chosen, _ = draw(Split(rows, source.train.targets[rows]), per_class, rng)
    kept = torch.full_like(learned, -1)
    kept[chosen.images] = learned[chosen.images]
    return replace(source, train=replace(source.train, learned=kept))
