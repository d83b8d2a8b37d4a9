"""Partners among the nearest neighbours of an image: found once for all training images, in pixel space.

N training images, D numbers of one, B batch, k neighbours
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy
import torch
from torch import Generator, Tensor

from autoaug.fields import Within, check_fields
from autoaug.mixing._masks import mixup_mask
from autoaug.mixing._pairs import PairMix, as_mix
from autoaug.mixing._training import Mixed, TrainingBatch, TrainingSetting
from autoaug.photos import NoRoom, cache_folder, make_room, tables_folder
from autoaug.text import LOG

K = 200
"""Neighbours of which one is drawn (Zhang et al. 2018, section 3.8)."""

MOST = 2**23
"""Numbers of 8 bytes that are held at once while neighbours are found, in each of a few tensors."""

WORTH_KEEPING = 1e9
"""Products of numbers, N² D, from which on what was found is kept on disk."""

Among = Literal["neighbours", "class-neighbours"]


class Neighbours(NamedTuple):
    """Hold the nearest neighbours of every training image."""

    table: Tensor
    """[N, k], int32, on the CPU: indices in rising order, then -1 where there are fewer."""
    counts: Tensor
    """[N], int64: how many each has."""

    def draw(self, chosen: Tensor, rng: Generator) -> Tensor:
        """Return a neighbour of each of some images, [B], int64, all of its own equally likely; itself where none is.

        Args:
            chosen: the images, [B], int64, on the CPU.
            rng: all randomness.
        """
        counts = self.counts[chosen]
        uniform = torch.rand(len(chosen), generator=rng, device=rng.device, dtype=torch.float64).cpu()
        place = (uniform * counts).long().minimum(counts - 1).clamp_min(0)
        found = self.table[chosen].long().gather(1, place[:, None])[:, 0] if self.table.shape[1] else chosen
        return torch.where(counts > 0, found, chosen)


KNOWN: WeakKeyDictionary[object, dict[tuple[int, Among], Neighbours]] = WeakKeyDictionary()
"""By the training images that they are of, as long as those live."""


def as_given(value: Any) -> Any:
    """Return a value as it is: the rule of what is checked where it is made."""
    return value


@dataclass(frozen=True)
class NeighbourMix:
    """Mix each sample with one of its nearest neighbours among all training images, by the masks of a `PairMix`.

    Distances are Euclidean, of pixels before any augmentation; the partner itself is seen as the training sees it.
    """

    pairs: Annotated[PairMix, as_given]
    partner: Literal["neighbours", "class-neighbours"] = "neighbours"
    """Whether neighbours are of all classes, or of the sample's own."""
    k: Annotated[int, Within(1)] = K
    """Of how many one is drawn; where there are fewer, of all."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever mixes anything."""
        return self.pairs.mixes

    def weakened(self, share: float) -> Self:
        """Return the same mix at a share in [0, 1] of its strength, see `PairMix.weakened`.

        Raises:
            ValueError: the share lies outside.
        """
        return replace(self, pairs=self.pairs.weakened(share))

    def check(self, setting: TrainingSetting) -> Sequence[str]:
        """Return a caution where an image has fewer than k others to be drawn from.

        Raises:
            ValueError: the training images change, or are not held.
        """
        if setting.resplit:
            raise ValueError(
                f"mix.partner is {self.partner!r}: neighbours are found once, and the training images are others in "
                "each epoch; give Task.resplit='fixed', or mix.partner='batch'"
            )
        if setting.hold == "stream":
            raise ValueError(
                f"mix.partner is {self.partner!r}: neighbours are met at any time, and the photos are decoded in "
                "order; give Task.hold='cache' or 'memory', or mix.partner='batch'"
            )
        whole, smallest = sum(setting.class_sizes), min(size for size in setting.class_sizes if size)
        least = (whole if self.partner == "neighbours" else smallest) - 1
        if least >= self.k:
            return ()
        where = "there are" if self.partner == "neighbours" else "the smallest class has"
        return (f"mix.k is {self.k}, and {where} {least} other training images: partners are drawn from all of these",)

    def mix_in_training(self, batch: TrainingBatch) -> Mixed:
        """Return samples mixed with neighbours of theirs."""
        if not self.mixes:
            return Mixed(batch.images, batch.targets)
        partners = neighbours_of(batch, self.k, self.partner).draw(batch.chosen, batch.rng)
        images, targets = batch.others(partners)
        others = images.to(batch.images.dtype), targets.to(batch.targets.dtype)
        return Mixed(*self.pairs.combine(batch.images, batch.targets, *others, batch.rng))


def among_neighbours(row: Callable[..., PairMix]) -> Callable[..., PairMix | NeighbourMix]:
    """Let a row of pairs take the partners "neighbours" and "class-neighbours" too, and of how many one is drawn, k."""
    own = signature(row)

    @wraps(row)
    def call(*args: Any, k: int = K, **kwargs: Any) -> PairMix | NeighbourMix:
        partner = kwargs.get("partner")
        if partner not in ("neighbours", "class-neighbours"):
            return row(*args, **kwargs)
        return NeighbourMix(row(*args, **{**kwargs, "partner": "batch"}), partner, k)

    more = Parameter("k", Parameter.KEYWORD_ONLY, default=K, annotation=int)
    call.__signature__ = own.replace(parameters=[*own.parameters.values(), more])  # type: ignore[attr-defined]
    return call


def neighbours_of(batch: TrainingBatch, k: int, among: Among) -> Neighbours:
    """Return the neighbours of all training images: those that are known, or kept on disk, or found now."""
    known = KNOWN.setdefault(batch.split, {})
    if (k, among) not in known:
        images, classes = batch.all_images(), batch.all_targets if among == "class-neighbours" else None
        table = kept(images, classes, k)
        known[k, among] = Neighbours(table, (table >= 0).sum(1))
    return known[k, among]


def kept(images: Tensor, classes: Tensor | None, k: int) -> Tensor:
    """Return what `nearest` does, by way of a file in the cache folder where it takes long."""
    work = float(len(images)) ** 2 * images[0].numel()
    if work < WORTH_KEEPING:
        return nearest(images, classes, k)
    path = tables_folder() / f"{digest(images, classes, k)}.npy"
    with suppress(OSError, ValueError, EOFError):
        os.utime(path)  # what was used last is the last to make room
        table = torch.from_numpy(numpy.load(path, allow_pickle=False))
        if table.dtype == torch.int32 and table.ndim == 2 and len(table) == len(images) and (table < len(table)).all():
            return table
    if work > 1000 * WORTH_KEEPING:
        LOG.warning("finding the nearest neighbours of %d images, once; they are kept in %s", len(images), path.parent)
    table = nearest(images, classes, k)
    with suppress(OSError, NoRoom):  # a folder that cannot be written, or is full, only means that they are found again
        make_room(cache_folder(), table.numel() * table.element_size())
        write(path, table)
    return table


def write(path: Path, table: Tensor) -> None:
    """Write a table so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".building", delete=False) as file:
        try:
            numpy.save(file, table.numpy())
            file.flush()
            os.replace(file.name, path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def digest(images: Tensor, classes: Tensor | None, k: int) -> str:
    """Return 32 hexadecimal digits over images, classes and k, the same in every process."""
    whole = hashlib.sha256(repr((1, tuple(images.shape), str(images.dtype), k, classes is None)).encode())
    for part in pieces(images, MOST // images[0].numel()):
        whole.update(part.cpu().contiguous().numpy().tobytes())
    if classes is not None:
        whole.update(classes.cpu().numpy().tobytes())
    return whole.hexdigest()[:32]


def nearest(images: Tensor, classes: Tensor | None, k: int) -> Tensor:
    """Return the k nearest other images of each image, by the Euclidean distance of all their numbers.

    They are exact for bytes, and for floats up to the rounding of float64; of equally distant images those with the
    lower index. A few tensors of `MOST` numbers are held at once, beside the images.

    Args:
        images: [N, ...], bytes or floats.
        classes: neighbours are of the same class, [N], int64; None lets them be of any.
        k: where there are fewer others, all of those.

    Returns:
        Indices in rising order, then -1 where there are fewer, [N, k'], int32, on the CPU, k' of who has most.

    >>> import torch
    >>> from autoaug.mixing._neighbours import nearest
    >>> nearest(torch.tensor([[0.0], [1.0], [5.0], [7.0]]), None, 1).tolist()
    [[1], [0], [3], [2]]
    >>> nearest(torch.tensor([[0.0], [1.0], [5.0], [7.0]]), torch.tensor([0, 1, 0, 0]), 2).tolist()
    [[2, 3], [-1, -1], [0, 3], [0, 2]]
    """
    every = torch.arange(len(images))
    groups = [every] if classes is None else [every[classes.cpu() == each] for each in classes.unique().tolist()]
    most = max(0, min(k, max(map(len, groups)) - 1))
    table = torch.full((len(images), most), -1, dtype=torch.int32)
    for rows in groups:
        members = images if len(rows) == len(images) else images[rows.to(images.device)]
        found = nearest_of_all(members.flatten(1), min(k, len(rows) - 1))
        table[rows, : found.shape[1]] = rows[found].int()
    return table


def nearest_of_all(flat: Tensor, k: int) -> Tensor:
    """Return the k nearest other rows of each row of [N, D]: indices in rising order, [N, k], int64, on the CPU."""
    if k == 0:
        return torch.empty(len(flat), 0, dtype=torch.int64)
    at_once = max(1, MOST // flat.shape[1])
    squares = torch.cat([part.double().square().sum(1) for part in pieces(flat, at_once)])
    found = []
    for rows in torch.arange(len(flat), device=flat.device).split(max(1, MOST // max(flat.shape))):
        own = flat[rows].double()
        products = torch.cat([own @ part.double().T for part in pieces(flat, at_once)], dim=1)
        distances = squares[rows, None] + squares - 2 * products
        distances[torch.arange(len(rows), device=flat.device), rows] = torch.inf
        found.append(lowest(distances, k).cpu())
    return torch.cat(found)


def lowest(distances: Tensor, k: int) -> Tensor:
    """Return where the k lowest numbers of each row are, in order of place; of equal ones the first, [rows, k]."""
    last = distances.topk(k, dim=1, largest=False).values.amax(1, keepdim=True)
    below, level = distances < last, distances == last
    left = k - below.sum(1, keepdim=True)
    return (below | (level & (level.cumsum(1) <= left))).nonzero()[:, 1].view(-1, k)


def pieces(rows: Tensor, most: int) -> Iterable[Tensor]:
    """Return a tensor in pieces of so many rows, at least one."""
    return rows.split(max(1, most))


def smote(
    alpha: float | Tensor = 1.0,
    probability: float = 1.0,
    per: Literal["sample", "batch"] = "sample",
    *,
    k: int = 5,
) -> NeighbourMix:
    """Make a mix of each sample with one of its k nearest neighbours of its own class (Chawla et al. 2002, SMOTE).

    λ is uniform at α = 1, as there, and all classes are mixed, not the rare ones alone. Zhang et al. 2018 (table 5)
    have it among their ablations, with k = 200.

    >>> from autoaug.mixing import smote
    >>> smote().k, smote().partner
    (5, 'class-neighbours')
    """
    return NeighbourMix(PairMix(mixup_mask, alpha, probability, per, "alpha", labels="closer"), "class-neighbours", k)
