"""What a policy makes of some of the training images of a study, drawn, captioned and looked at by a network.

N images, C channels, H height, W width, K classes
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from autoaug.data import Data, as_float
from autoaug.gallery._captions import caption
from autoaug.gallery._gallery import Cell, Doubt, Images, Sheet, Sheets, name_of
from autoaug.gallery._limits import DRAWS, ROWS, Allowance
from autoaug.gallery._pictures import cell_size, encoded, grid
from autoaug.policy import APPROXIMATION, Fixed, PolicyTree, Schedule, applied, policy_tree

SURE = 0.9
"""The softmax from which on a network that sees another class raises a `Doubt`."""

Logits = Callable[[Tensor], Tensor]
"""A finished network: logits [N, K] of images [N, C, H, W], floats in [0, 1] on the CPU."""


class Chosen(NamedTuple):
    """The images of a gallery."""

    images: Tensor
    """[N, C, H, W], floats in [0, 1], on the CPU."""
    targets: list[int]


@torch.no_grad()
def draw_sheets(
    tree: PolicyTree,
    data: Data,
    allowed: Allowance,
    seed: int,
    *,
    compose: bool = False,
    logits: Logits | None = None,
) -> tuple[Sheets, dict[str, bytes]]:
    """Return the sheets of one strategy, and their pictures by name, each a WebP file.

    Shown are training images, never one of another split: the first of each class, as evaluations see them, without the
    augmentation that is always on. The same arguments give the same bytes.

    Args:
        tree: the policy. Of a schedule some steps are shown, evenly spaced, the last of them always.
        data: of the study. Rows of features and spectrograms are no pictures, and have no sheets.
        allowed: for this strategy.
        seed: of the draws.
        compose: as of `Fixed`.
        logits: the network that was trained with the policy; None where there is none any more.
    """
    if data.kind != "images":
        return Sheets(None, note=f"{data.kind} are no pictures, and are not shown"), {}
    chosen = choose(data)
    height, width = cell_size(*chosen.images.shape[2:])
    enlarged = height > chosen.images.shape[2]
    (original,) = encoded([grid(list(chosen.images.unsqueeze(1)))], allowed.bytes // (1 + DRAWS), enlarged)
    canvases, cells = [], []
    policies = by_epoch(tree, allowed.epochs)
    for each in policies.values():
        canvas, table = draw(Fixed(each, compose=compose), chosen, Generator().manual_seed(seed), data.classes, logits)
        canvases.append(canvas)
        cells.append(table)
    contents = encoded(canvases, allowed.bytes - len(original), enlarged)
    images = Images(name_of(original), tuple(data.classes[target] for target in chosen.targets), width, height)
    rows = zip(contents, policies, cells, strict=True)
    sheets = tuple(Sheet(name_of(content), epoch, table) for content, epoch, table in rows)
    note = str(tree.provenance.get(APPROXIMATION, ""))
    pictures = {name_of(content): content for content in (original, *contents)}
    return Sheets(images, sheets, note, checked=logits is not None), pictures


def choose(data: Data) -> Chosen:
    """Return the first training image of up to `ROWS` classes, evenly spaced among those that have any."""
    split = data.train if data.pool is None else data.pool  # with their own classes, whatever training learns
    targets = split.targets.cpu()
    trained = torch.ones(len(targets), dtype=torch.bool) if split.learned is None else split.learned.cpu() >= 0
    present = targets[trained].unique()
    labels = present[evenly(len(present), ROWS)]
    indices = torch.stack([(trained & (targets == label)).nonzero()[0, 0] for label in labels])
    return Chosen(as_float(split.at(indices).images).cpu(), labels.tolist())


def evenly(count: int, most: int) -> list[int]:
    """Return up to `most` numbers from 0 to count - 1, evenly spaced, both ends among them; of a single one, the last.

    >>> evenly(11, 6), evenly(3, 6), evenly(5, 1)
    ([0, 2, 4, 6, 8, 10], [0, 1, 2], [4])
    """
    if most == 1:
        return [count - 1]
    most = min(most, count)
    return [round(k * (count - 1) / max(1, most - 1)) for k in range(most)]


def by_epoch(tree: PolicyTree, most: int) -> Mapping[int | None, PolicyTree]:
    """Return the policies that are shown, by epoch: of a schedule up to `most`, or else the one, under None."""
    if not isinstance(tree.root, Schedule):
        return {None: tree}
    steps = [tree.root.steps[k] for k in evenly(len(tree.root.steps), most)]
    return {step.epoch: policy_tree(step.node, tree.ranges) for step in steps}


def draw(
    policy: Fixed, chosen: Chosen, rng: Generator, classes: Sequence[str], logits: Logits | None
) -> tuple[Image, tuple[tuple[Cell, ...], ...]]:
    """Return `DRAWS` draws for each image as one picture, and what is to be said of each."""
    images, met = applied(policy, chosen.images.repeat_interleave(DRAWS, 0), rng)
    targets = [target for target in chosen.targets for _ in range(DRAWS)]
    doubts = [None] * len(images) if logits is None else doubted(logits(images), targets, classes)
    cells = [Cell(caption(each), doubt) for each, doubt in zip(met, doubts, strict=True)]
    table = tuple(tuple(cells[k : k + DRAWS]) for k in range(0, len(cells), DRAWS))
    return grid(images.split(DRAWS)), table


def doubted(logits: Tensor, targets: Sequence[int], classes: Sequence[str]) -> list[Doubt | None]:
    """Return where a network, by its logits [N, K], is sure of another class than that of the image."""
    confidence, predicted = logits.float().cpu().softmax(1).max(1)
    return [
        Doubt(classes[guess], round(sure, 4)) if guess != target and sure >= SURE else None
        for sure, guess, target in zip(confidence.tolist(), predicted.tolist(), targets, strict=True)
    ]
