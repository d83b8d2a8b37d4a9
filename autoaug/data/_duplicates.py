"""Images of one split that are in another too: scores on them say what was remembered, not what was learned."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from autoaug.data._load import Data
from autoaug.data._splits import PHOTOS_AT_ONCE, Split, joined
from autoaug.photos import Photos, Streamed, as_float

LEAST_SIDE = 16
"""Smaller images resemble each other by nature: near copies are not looked for."""

MOST_DIFFERING_BITS = 6
"""Of the 64 of two difference hashes."""

LEAST_CORRELATION = 0.95
"""Of two images, grey and of 16 x 16 pixels."""

LEAST_EDGES = 48
"""Of the 64 differences of a hash so many must be more than noise: drawings on an even ground resemble each other."""

MOST_PAIRS = 2 * 10**9
"""Of two larger splits only so many pairs are looked at, spread over the whole: what is found is then a part of it."""

MOST_PHOTOS = 20_000
"""Of one split: of more, exact copies alone are looked for."""

CHUNK = 2**21
"""Pairs at once: 8 MiB of floats."""


@dataclass(frozen=True)
class Copies:
    """Images of one split that are in others too."""

    split: str
    """"val", which scores are measured on, or "test"."""
    among: str
    """Where they are too: "train" or "val"."""
    exact: int
    """Images of `split` whose pixels are there, each counted once."""
    near: int
    """Further ones that are nearly there: of another size or compression, somewhat lighter, moved by a little."""
    other_class: int
    """Images that have another class there."""
    examples: tuple[str, ...]
    """A few pairs, by the names of their files or by their numbers."""


def copies(data: Data) -> tuple[Copies, ...]:
    """Count the validation and test images that are in a split before theirs.

    Exact copies are found by their pixels, near ones by the difference hash of Krawetz 2013 ("Kind of like that"),
    confirmed by the correlation of small grey images. Measured: 82 of CIFAR-10's 10,000 test images are near
    copies of its 50,000 training images, and a look at them found no false one; 6 of MNIST's, all false; none of 500
    photos of Imagenette.
    """
    trained = data.train if data.selection is None else joined(data.train, data.val)
    splits = {"train": trained, "val": data.scored, **({"test": data.test} if data.test is not None else {})}
    # all spectrograms resemble each other as near copies of photos do
    marks = {name: marks_of(split) if data.kind == "images" else None for name, split in splits.items()}
    return tuple(
        copies_of(name, splits[name], marks[name], among, splits[among], marks[among])
        for among, name in combinations(splits, 2)
    )


def copies_of(
    name: str, split: Split, marks: "Marks | None", among: str, others: Split, other_marks: "Marks | None"
) -> Copies:
    """Return the images of one split that are in another too."""
    exact = exact_pairs(split, others)
    near = near_pairs(marks, other_marks) if marks and other_marks else {}
    pairs = {**near, **exact}
    other_class = sum(int(split.targets[image] != others.targets[other]) for image, other in pairs.items())
    first = list(pairs.items())[:3]
    examples = tuple(f"{image_name(split, image, name)} = {image_name(others, other, among)}" for image, other in first)
    return Copies(name, among, len(exact), len(pairs) - len(exact), other_class, examples)


def image_name(split: Split, index: int, name: str) -> str:
    """Return the name of an image: its file, or its number in a split."""
    return split.names[index] if split.names else f"{name} {index}"


def exact_pairs(split: Split, others: Split) -> dict[int, int]:
    """Return images of `split`, each with the first image of `others` that has the same pixels."""
    first: dict[int, int] = {}
    for index, row in enumerate(rows(others.images)):
        first.setdefault(row, index)
    return {index: first[row] for index, row in enumerate(rows(split.images)) if row in first}


def rows(images: Tensor | Photos) -> Iterator[int]:
    """Return a hash of 64 bits of the pixels of each image."""
    if isinstance(images, Photos):
        return iter(images.known["digest"].tolist())
    return (hash(image.tobytes()) for image in images.contiguous().numpy())


def near_pairs(marks: "Marks", other_marks: "Marks") -> dict[int, int]:
    """Return images of one split, each with the image of another that it resembles most."""
    best: dict[int, tuple[float, int]] = {}
    for image, other, correlation in resembling(marks, other_marks):
        best[image] = max(best.get(image, (0.0, 0)), (correlation, other))
    return {image: other for image, (_, other) in sorted(best.items())}


def marks_of(split: Split) -> "Marks | None":
    """Return the marks of the images of a split; None where they are too small, or too many, to be compared."""
    comparable = min(split.images.shape[2:]) >= LEAST_SIDE and not is_too_much(split)
    return Marks(split.images) if comparable else None


def is_too_much(split: Split) -> bool:
    """Whether near copies are not looked for, since all photos of a split would be decoded, or read, for it."""
    if not isinstance(split.images, Photos):
        return False
    return isinstance(split.images.holder, Streamed) or len(split) > MOST_PHOTOS


class Marks:
    """Difference hashes and small grey patterns, by which images are compared."""

    def __init__(self, images: Tensor | Photos) -> None:
        small = shrunk(images, 8, 9)
        steps = (small[:, :, 1:] - small[:, :, :-1]).flatten(1)
        self.indices = ((steps.abs() > 1.5 / 255).sum(1) >= LEAST_EDGES).nonzero()[:, 0]
        """Of the images with enough in them to be compared."""
        self.bits = (steps[self.indices] > 0).float().mul_(2).sub_(1)
        """Their difference hashes as 64 signs: the products of two of them count the bits that agree."""
        patterns = shrunk(images[self.indices], 16, 16).flatten(1)
        patterns = patterns - patterns.mean(1, keepdim=True)
        self.patterns = patterns / patterns.norm(dim=1, keepdim=True).clamp(min=1e-6)


def shrunk(images: Tensor | Photos, height: int, width: int) -> Tensor:
    """Return grey images [N, height, width] in [0, 1], each pixel the mean of an area."""
    parts = [
        as_float(part).mean(1, keepdim=True)
        for part in images.split(PHOTOS_AT_ONCE if isinstance(images, Photos) else 1000)
    ]
    if not parts:
        return torch.zeros(0, height, width)
    return torch.cat([interpolate(part, (height, width), mode="area") for part in parts])[:, 0]


def resembling(marks: Marks, other_marks: Marks) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of images that are near copies, and their correlation."""
    agree = 64 - 2 * MOST_DIFFERING_BITS
    size = max(1, CHUNK // max(1, len(other_marks.bits)))
    stride = math.ceil(len(marks.bits) * len(other_marks.bits) / MOST_PAIRS)
    for start in range(0, len(marks.bits), max(1, stride) * size):
        product = marks.bits[start : start + size] @ other_marks.bits.T
        image, other = (product >= agree).nonzero(as_tuple=True)
        correlations = (marks.patterns[start + image] * other_marks.patterns[other]).sum(1)
        for k in (correlations >= LEAST_CORRELATION).nonzero()[:, 0].tolist():
            yield int(marks.indices[start + image[k]]), int(other_marks.indices[other[k]]), float(correlations[k])
