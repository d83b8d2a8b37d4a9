"""The table of mixes, `MIXES`: most rows are masks over pairs."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor

from autoaug.fields import finite, plain, short
from autoaug.lookup import lookup
from autoaug.mixing._alone import Cutout, GaussianNoise, LabelSmoothing
from autoaug.mixing._layers import ManifoldMixup, manifold_mixup
from autoaug.mixing._masks import cutmix_mask, gmix_mask, hmix_mask, mixup_mask, mixup_or_cutmix_mask
from autoaug.mixing._neighbours import NeighbourMix, among_neighbours, smote
from autoaug.mixing._pairs import Mix, PairMix, Weakenable
from autoaug.mixing._puzzle import PuzzleMix, puzzlemix
from autoaug.mixing._several import DirichletMixup
from autoaug.mixing._training import TrainingMix

Alpha = float | Tensor
Per = Literal["sample", "batch"]
Partner = Literal["batch", "class"]
Labels = Literal["mixed", "closer"]


def none(alpha: Alpha = 0.0, probability: float = 0.0, per: Per = "sample") -> PairMix:
    """Make a mix that mixes nothing, whatever the parameters: they are there so that all rows can be called alike.

    >>> import torch
    >>> from autoaug.mixing import none
    >>> images, targets = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4), torch.eye(2)
    >>> mixed, soft = none()(images, targets, torch.Generator())
    >>> torch.equal(mixed, images), torch.equal(soft, targets)
    (True, True)
    """
    return PairMix(mixup_mask, alpha, 0.0, per, "alpha")


@among_neighbours
def mixup(
    alpha: Alpha = 1.0,
    probability: float = 1.0,
    per: Per = "sample",
    *,
    partner: Partner = "batch",
    labels: Labels = "mixed",
    smoothing: float = 0.0,
) -> PairMix:
    """Make a mix of whole images, λ to 1 - λ (Zhang et al. 2018, equations 1 and 2). It is differentiable in α.

    The paper uses α = 1 for CIFAR, .2 to .4 for ImageNet, up to 32 for corrupted labels.

    >>> import torch
    >>> from autoaug.mixing import mixup
    >>> images, targets = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4), torch.eye(2)
    >>> mixed, soft = mixup(alpha=1.0)(images, targets, torch.Generator().manual_seed(0))
    >>> mixed[0].unique().numel()  # one λ for the whole image
    1
    >>> torch.allclose(mixed.mean((1, 2, 3)), soft[:, 1])  # and the same one for its label
    True
    """
    return PairMix(mixup_mask, alpha, probability, per, "alpha", partner, labels, smoothing)


@among_neighbours
def cutmix(
    alpha: Alpha = 1.0,
    probability: float = 1.0,
    per: Per = "sample",
    *,
    partner: Partner = "batch",
    labels: Labels = "mixed",
    smoothing: float = 0.0,
) -> PairMix:
    """Make a mix that pastes a box of the partner into an image (Yun et al. 2019). It has no gradient in α.

    The paper uses α = 1 and mixes a batch of CIFAR with probability .5. The box has the sides ⌊H √(1 - λ)⌋ and
    ⌊W √(1 - λ)⌋; the original loses one more pixel of odd sides.

    >>> import torch
    >>> from autoaug.mixing import cutmix
    >>> images, targets = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4), torch.eye(2)
    >>> mixed, soft = cutmix(alpha=1.0)(images, targets, torch.Generator().manual_seed(4))
    >>> mixed[0, 0].int().tolist()  # the box holds pixels of the other image
    [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    >>> soft[0].tolist()  # its share of the pixels is its share of the label
    [0.625, 0.375]
    """
    return PairMix(cutmix_mask, alpha, probability, per, "probability", partner, labels, smoothing)


@among_neighbours
def mixup_or_cutmix(
    alpha: Alpha = 1.0,
    probability: float = 1.0,
    per: Per = "sample",
    *,
    switch: float = 0.5,
    partner: Partner = "batch",
    labels: Labels = "mixed",
    smoothing: float = 0.0,
) -> PairMix:
    """Make a mix that is CutMix with the probability `switch`, otherwise mixup.

    "Stochastic Mixup & CutMix" of Park, Yun, Chun 2022. ValueError for a `switch` outside [0, 1].

    >>> import torch
    >>> from autoaug.mixing import mixup_or_cutmix
    >>> images, targets = torch.tensor([0.0, 1.0])[:, None, None, None].repeat(50, 1, 4, 4), torch.eye(2).repeat(50, 1)
    >>> for switch in (0.0, 0.5, 1.0):
    ...     mixed, _ = mixup_or_cutmix(switch=switch)(images, targets, torch.Generator().manual_seed(0))
    ...     print(((mixed > 0) & (mixed < 1)).any(dim=(1, 2, 3)).sum().item())  # mixup blends, CutMix pastes
    44
    27
    0
    """
    mask = partial(mixup_or_cutmix_mask, switch=fraction("switch", switch))
    return PairMix(mask, alpha, probability, per, "probability", partner, labels, smoothing)


@among_neighbours
def hmix(
    alpha: Alpha = 1.0,
    probability: float = 1.0,
    per: Per = "sample",
    *,
    ratio: Alpha = 0.5,
    partner: Partner = "batch",
    labels: Labels = "mixed",
    smoothing: float = 0.0,
) -> PairMix:
    """Make a mix between mixup (`ratio` 0) and CutMix (1): a box of the partner, mixup outside.

    Park, Yun, Chun 2022. The label weight is λ. It is differentiable in α through the blend outside the box; where the
    ratio is a tensor, in both and also through the edges of the box. ValueError for a `ratio` outside [0, 1].

    >>> import torch
    >>> from autoaug.mixing import hmix
    >>> images, targets = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4), torch.eye(2)
    >>> mixed, soft = hmix(ratio=0.5)(images, targets, torch.Generator().manual_seed(4))
    >>> torch.allclose(mixed.mean((1, 2, 3)), soft[:, 1])
    True
    >>> (mixed[0] == 1).sum().item()  # pixels of the box
    4
    """
    given = ratio if isinstance(ratio, Tensor) else fraction("ratio", ratio)
    mask = partial(hmix_mask, ratio=given)
    return PairMix(mask, alpha, probability, per, "alpha", partner, labels, smoothing)


@among_neighbours
def gmix(
    alpha: Alpha = 1.0,
    probability: float = 1.0,
    per: Per = "sample",
    *,
    partner: Partner = "batch",
    labels: Labels = "mixed",
    smoothing: float = 0.0,
) -> PairMix:
    """Make a mix with a Gaussian bump of one sample on the other (Park, Yun, Chun 2022). It is differentiable in α.

    The bump scales with H and W separately, so that non-square images get the mixes of square ones, stretched; the
    reference code uses H for both. Labels follow the mask, which weighs the smaller sample less than λ says.

    >>> import torch
    >>> from autoaug.mixing import gmix
    >>> images, targets = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4), torch.eye(2)
    >>> mixed, soft = gmix()(images, targets, torch.Generator().manual_seed(0))
    >>> torch.allclose(mixed.mean((1, 2, 3)), soft[:, 1])
    True
    """
    return PairMix(gmix_mask, alpha, probability, per, "alpha", partner, labels, smoothing)


MIXES: dict[str, Callable[..., Mix | TrainingMix]] = {
    "none": none,
    "mixup": mixup,
    "cutmix": cutmix,
    "mixup-or-cutmix": mixup_or_cutmix,
    "hmix": hmix,
    "gmix": gmix,
    "manifold-mixup": manifold_mixup,
    "puzzlemix": puzzlemix,
    "smote": smote,
    "dirichlet-mixup": DirichletMixup,
    "cutout": Cutout,
    "gaussian-noise": GaussianNoise,
    "label-smoothing": LabelSmoothing,
}

MASKS: dict[str, Callable[..., Tensor]] = {
    "mixup": mixup_mask,
    "cutmix": cutmix_mask,
    "mixup-or-cutmix": mixup_or_cutmix_mask,
    "hmix": hmix_mask,
    "gmix": gmix_mask,
}
"""What the rows of MIXES draw that are a `PairMix`, but "none"."""

IN_TRAINING: dict[type, str] = {ManifoldMixup: "manifold-mixup", PuzzleMix: "puzzlemix"}
"""Rows that need the training, by what they make: its fields are their parameters."""


def build(kind: str, **parameters: Any) -> Mix | TrainingMix:
    """Return the mix of that name, such as `build("hmix", alpha=0.4, ratio=0.3)`.

    Raises:
        ValueError: there is no such mix (the message has near names), a parameter would change nothing or is out of
            range.

    >>> from autoaug.mixing import build
    >>> build("mixup", alpha=0.4).alpha
    0.4
    >>> build("mixup", ratio=0.3)
    Traceback (most recent call last):
    ValueError: mix.ratio is 0.3, and 'mixup' takes alpha, probability, per, partner, labels, smoothing, k
    """
    row = lookup(MIXES, kind, "mix")
    for parameter, value in parameters.items():
        if parameter not in takes(kind):
            raise ValueError(f"mix.{parameter} is {value!r}, and {kind!r} takes {listed(takes(kind))}")
    return row(**parameters)


def described(mix: Mix | TrainingMix) -> dict[str, Any]:
    """Return the row and the parameters of a mix, as plain data from which `build` makes one that draws the same.

    Raises:
        ValueError: it is no mix of these rows, or a learner moves its alpha.

    >>> from autoaug.mixing import build, described
    >>> described(build("label-smoothing", epsilon=0.2))
    {'kind': 'label-smoothing', 'epsilon': 0.2}
    >>> build(**described(build("hmix", alpha=0.4, ratio=0.3, partner="class"))).partner
    'class'
    >>> described(build("mixup", alpha=0))
    {'kind': 'none'}
    """
    if isinstance(mix, NeighbourMix):
        pairs = described(mix.pairs)
        return pairs if pairs == {"kind": "none"} else {**pairs, "partner": mix.partner, "k": mix.k}
    kind, more = recognised(mix)
    values = {} if kind is None else {**vars(mix), **more}
    if kind is None or any(isinstance(value, Tensor) for value in values.values()):
        raise ValueError(f"{short(mix)} cannot be written down: use a row of MIXES, with an alpha that is a number")
    if isinstance(mix, Weakenable) and not mix.mixes:
        return {"kind": "none"}
    return {"kind": kind, **{name: values[name] for name in takes(kind) if name in values}}


def recognised(mix: Mix | TrainingMix) -> tuple[str | None, dict[str, Any]]:
    """Return of which row a mix is, None for none, and the parameters of its mask."""
    if not isinstance(mix, PairMix):
        return IN_TRAINING.get(type(mix)) or next((kind for kind, row in MIXES.items() if row is type(mix)), None), {}
    function, more = (mix.mask.func, mix.mask.keywords) if isinstance(mix.mask, partial) else (mix.mask, {})
    return next((kind for kind, drawn in MASKS.items() if drawn is function), None), more


def takes(name: str) -> tuple[str, ...]:
    """Return the parameters of a row that change its mix; those of "none" change nothing.

    >>> from autoaug.mixing import takes
    >>> takes("dirichlet-mixup")
    ('alpha', 'probability', 'per', 'k')
    >>> takes("none")
    ()
    """
    row = lookup(MIXES, name, "mix")
    return () if row is none else tuple(inspect.signature(row).parameters)


def listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no parameter"


def fraction(name: str, value: float) -> float:
    """Return a value as a float; raise ValueError where it is not within [0, 1]."""
    number = finite(plain(value))
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"mix.{name} is {short(value)}: use a number from 0 to 1")
    return number
