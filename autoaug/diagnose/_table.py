"""The table of diagnostics: what each measures of a trained network, in which unit, and whose it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoaug.data import Data, Split
from autoaug.diagnose._measures import (
    Logits,
    cross_entropies,
    fgsm,
    gradient_products,
    in_between,
    iterated_fgsm,
    misses,
    normalised,
    zoomed,
)
from autoaug.diagnose._subject import AT_ONCE, Subject, corrupted_rows, images_of, no_corrupted_labels, sample

LEARNED, ATTACKED, PAIRS, MAPPED = 10_000, 1_000, 500, 64
"""Images, at most, of which losses and labels, attacks and crops, pairs, and products of gradients are measured."""

SHARES = tuple(k / 10 for k in range(11))
"""Of the first image in between two (Zhang et al. 2018, Figure 2)."""

ZOOMS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""How many times as large the objects of a crop are."""

REACH = 16
"""Pixels to each side of the map of gradient products."""


class Measured(NamedTuple):
    """Hold what a diagnostic found: one number by name, and what figures draw beside it."""

    values: Mapping[str, float]
    series: Mapping[str, Sequence[Any]] = {}
    """Lists of numbers by name, such as what stands along an axis and what was found there."""


@dataclass(frozen=True)
class Diagnostic:
    """Describe one diagnostic: a row of DIAGNOSTICS. A study's file may add rows of its own to the table."""

    measure: Callable[[Subject], Measured]
    """Of a network. All its randomness comes from `Subject.rng`, and nothing that it is given is changed."""
    unit: str
    """Of the values, such as "nats" or "error"; empty for numbers without one."""
    says: str
    """What the values say, in a sentence."""
    source: str
    """Paper and table, figure or section."""
    against: bool = field(default=False, kw_only=True)
    """Whether it needs another network to attack with, `Subject.attacker`."""
    why_not: Callable[[Data], str] = field(default=lambda data: "", kw_only=True)
    """Returns why it says nothing of some data; empty where it does."""


def mean(parts: Iterator[Tensor]) -> float:
    """Return the mean over all entries of some tensors."""
    return torch.cat([part.flatten().float() for part in parts]).double().mean().item()


@torch.no_grad()
def cross_entropy(subject: Subject) -> Measured:
    """Measure the cross-entropy on training images: clean, and as a training step of this phase sees them.

    Clean is without any augmentation, the standard one included. While refining, what a step sees has the standard one
    only, if any. Of mixed images it is that of the soft targets.
    """
    rows = sample(subject.train, LEARNED, subject.rng("cross_entropy"))
    clean = mean(cross_entropies(subject.network(x), y) for x, y in images_of(subject.train, rows, 8 * AT_ONCE))
    if subject.trained is None:
        return Measured({"clean": clean})
    order = rows[torch.randperm(len(rows), generator=subject.rng("minibatches"))]
    minibatches = [part for part in order.split(subject.batch_size) if len(part) == subject.batch_size] or [order]
    as_trained = mean(cross_entropies(*subject.trained(part)) for part in minibatches)
    return Measured({"as trained": as_trained, "clean": clean})


@torch.no_grad()
def corrupted_labels(subject: Subject) -> Measured:
    """Measure the error on training images whose label is real, and on those whose label was replaced.

    The second is against the label that was learned: low where the network has memorised it.
    """
    pool = subject.pool
    if pool is None or pool.learned is None:
        return Measured({})
    values = {}
    wrong = corrupted_rows(pool)
    for name, chosen in {"real": ~wrong & (pool.learned >= 0), "corrupted": wrong}.items():
        rows = chosen.nonzero().squeeze(1).cpu()
        taught = Split(pool.images, pool.learned)
        rows = rows[torch.randperm(len(rows), generator=subject.rng(name))[:LEARNED].sort().values]
        if len(rows):
            values[name] = mean(misses(subject.network(x), y) for x, y in images_of(taught, rows, 8 * AT_ONCE))
    return Measured(values)


ATTACKS = {"fgsm": fgsm, "ifgsm": iterated_fgsm}
"""How images are changed to be misread, by the name of the value."""


def attacked(subject: Subject, attacker: Logits) -> dict[str, float]:
    """Return the error on validation images that were changed with a network, by attack."""
    missed: dict[str, list[Tensor]] = {name: [] for name in ATTACKS}
    for images, classes in images_of(subject.val, sample(subject.val, ATTACKED, subject.rng("attacked"))):
        for name, attack in ATTACKS.items():
            changed = attack(attacker, images, classes)
            with torch.no_grad():
                missed[name].append(misses(subject.network(changed), classes))
    return {name: mean(iter(parts)) for name, parts in missed.items()}


@torch.no_grad()
def unattacked(subject: Subject) -> float:
    """Return the error on the validation images that are attacked, as they are."""
    rows = sample(subject.val, ATTACKED, subject.rng("attacked"))
    return mean(misses(subject.network(x), y) for x, y in images_of(subject.val, rows))


def white_box(subject: Subject) -> Measured:
    """Measure the error on validation images as they are, and after attacks with the network itself."""
    return Measured({"clean": unattacked(subject), **attacked(subject, subject.network)})


def black_box(subject: Subject) -> Measured:
    """Measure the error on validation images after attacks with another network."""
    return Measured(attacked(subject, subject.attacker) if subject.attacker else {})


def in_between_images(subject: Subject) -> Measured:
    """Measure misses and gradients along lam x_i + (1 - lam) x_j for random pairs of training images."""
    rng = subject.rng("in_between")
    first = torch.randint(len(subject.train), (PAIRS,), generator=rng)
    second = torch.randint(len(subject.train), (PAIRS,), generator=rng)
    parts = [
        in_between(subject.network, here, there, SHARES)
        for here, there in zip(images_of(subject.train, first), images_of(subject.train, second), strict=True)
    ]
    missed = torch.cat([part.miss for part in parts], dim=1).double().mean(1)
    norms = torch.cat([part.gradient for part in parts], dim=1).double().mean(1)
    values = {"misses": missed.mean().item(), "gradient": norms.mean().item()}
    return Measured(values, {"share": SHARES, "misses": missed.tolist(), "gradient": norms.tolist()})


def gradient_map(subject: Subject) -> Measured:
    """Measure how the gradients of pixels at an offset go together: the map, and its mean beside the middle."""
    side = min(REACH, max(subject.train.images.shape[2:]) - 1)
    products = None
    for images, classes in images_of(subject.val, sample(subject.val, MAPPED, subject.rng("map")), 32):
        found = gradient_products(subject.network, images, classes, side)
        products = found if products is None else products.maximum(found)
    assert products is not None, "a split has images"
    drawn = normalised(products)
    beside = (drawn.sum() - drawn[side, side]) / (drawn.numel() - 1)
    return Measured({"beside": beside.item()}, {"map": [[round(each, 4) for each in row] for row in drawn.tolist()]})


@torch.no_grad()
def crops(subject: Subject) -> Measured:
    """Measure the accuracy on validation images whose objects are small, as they are, and large."""
    rows, found = sample(subject.val, ATTACKED, subject.rng("crops")), []
    for factor in ZOOMS:
        parts = images_of(subject.val, rows)
        found.append(1 - mean(misses(subject.network(zoomed(x, factor, subject.fill)), y) for x, y in parts))
    values = {"small": found[0], "as they are": found[ZOOMS.index(1.0)], "large": found[-1]}
    return Measured(values, {"zoom": ZOOMS, "accuracy": found})


DIAGNOSTICS: dict[str, Diagnostic] = {
    "cross_entropy": Diagnostic(
        cross_entropy,
        "nats",
        "how well the training images are fitted: clean, and as a training step of the phase sees them",
        "He et al. 2019, Data Augmentation Revisited, Table 2",
    ),
    "corrupted_labels": Diagnostic(
        corrupted_labels,
        "error",
        "on training images with a real label, and with a replaced one: low on the second where it was memorised",
        "Zhang et al. 2018, mixup, Table 2",
        why_not=no_corrupted_labels,
    ),
    "white_box": Diagnostic(
        white_box,
        "error",
        "on validation images, and after attacks of 4/255 with the network itself, in one step and in ten",
        "Zhang et al. 2018, mixup, Table 3",
    ),
    "black_box": Diagnostic(
        black_box,
        "error",
        "on validation images after attacks of 4/255 with another run of the baseline",
        "Zhang et al. 2018, mixup, Table 3",
        against=True,
    ),
    "in_between": Diagnostic(
        in_between_images,
        "",
        "between pairs of training images: how often neither class is predicted, and the norm of the loss's gradient",
        "Zhang et al. 2018, mixup, Figure 2",
    ),
    "gradient_map": Diagnostic(
        gradient_map,
        "",
        "products of the gradients of pixels at an offset, by the largest: their mean beside the middle",
        "HMix and GMix, Figure 4",
    ),
    "crops": Diagnostic(
        crops,
        "accuracy",
        "on validation images whose objects are half as large, as they are, and twice as large",
        "HMix and GMix, scenarios 1 and 2",
    ),
}
"""What is measured of a trained network, by name."""
