"""Warp: an augmenter that turns noise into the parameters of a transformation, which a gradient moves.

Mounsaveng et al. 2021, "Learning Data Augmentation with Online Bilevel Optimization for Image Classification",
section 3: noise z, uniform in (-1, 1), goes through a small network to a 2 x 3 matrix per image, the identity plus the
output, and to four colour amounts. The transformation does not look at the image.

    B images, P parameters of one image, N numbers of noise
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise
from math import expm1, log, sqrt
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.devices import to_device
from autoaug.lookup import lookup
from autoaug.ops import OPS, affine, compose, unmoved
from autoaug.policy._compiled import Draws
from autoaug.policy._execute import execute
from autoaug.policy._files import save
from autoaug.policy._nodes import Apply, apply, sequence
from autoaug.policy._tree import APPROXIMATION, PolicyTree, policy_tree

MOVES = ("translate_x", "translate_y", "rotate", "shear_x", "zoom")
"""Named movements, in the order in which they are joined. `zoom` is the logarithm of a magnification."""
COLOURS = ("brightness", "contrast", "saturation", "hue")

ZOOM = 0.3
UNITS = {name: OPS[name].most or 1.0 for name in (*MOVES[:-1], *COLOURS)} | {"zoom": ZOOM}
"""What a half-width is counted in: the largest amount of AutoAugment's table, which has no zoom."""
START = 0.3
"""Half-widths begin at this share of their unit: a rotation of 9 degrees."""
LOST = {
    "amounts": "amounts of a network are drawn independently, uniform over their 5 to 95 % quantiles",
    "moves": "movements follow each other instead of being joined into one",
    "colours": "colour operations come in one order instead of a random one",
}
"""What a tree cannot say of a warp."""
DROPOUT = 0.2
PROBE = 4096
"""Samples from which statistics are taken."""


@dataclass(frozen=True)
class Kind:
    """The transformations of a warp, and the sizes of the published network for them."""

    names: tuple[str, ...]
    """The amounts that a half-width stands for, and that statistics are given of."""
    entries: int
    """Outputs of the network that make the matrix: 6 entries, 2 of a translation, or none."""
    noise: int
    """Numbers of noise of the small network."""
    bounded: bool
    """Whether outputs go through tanh."""

    @property
    def colours(self) -> int:
        """Return the number of colour amounts."""
        return sum(name in COLOURS for name in self.names)


TRANSFORMS = {
    "translation": Kind(names=MOVES[:2], entries=2, noise=6, bounded=True),
    "affine": Kind(names=MOVES, entries=6, noise=6, bounded=False),
    "color": Kind(names=COLOURS, entries=0, noise=10, bounded=True),
    "affine+color": Kind(names=MOVES + COLOURS, entries=6, noise=10, bounded=True),
}

SIZES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "small": lambda noise: (noise, noise, 10 * noise),
    "medium": lambda noise: (100, 64, 32),
    "large": lambda noise: (100, 512, 1024, 124, 512),
}
"""Numbers of noise, then the widths of the hidden layers (the paper's; only "small" is in the authors' code)."""


class Warp(nn.Module):
    """Learn a random warp: one resampling of each image, then four colour operations in a random order.

    As published (`mlp`) nothing keeps the mean transformation at the identity, and it drifts to a constant warp. `odd`
    makes the output an odd function of the noise, so its distribution is symmetric about the identity and only its
    spread is learned. `range` is the plainest: one half-width per amount. `autoaug.strategies.truncated` says how well
    each recovers a known rotation.

    Where it differs from the authors' code: contrast is a contrast (theirs adds a constant), hue is turned (theirs is
    multiplied), every image has its own order of the colour operations, and images are moved on black.

    Args:
        transforms: a row of `TRANSFORMS`.
        form: "mlp" and "odd" are networks of the given size; "range" draws each amount uniformly within ± its
            half-width, unit x softplus(raw), which begins at 0.3 units.
        size: of the network; "range" has none.
        seed: of the network's first weights. They begin near the identity, not at it: a spread of exactly zero has no
            gradient of first order.

    Raises:
        ValueError: a name is unknown.

    >>> from autoaug.policy import Warp
    >>> {name: round(high, 3) for name, (low, high) in Warp("translation", "range").ranges().items()}  # 0.3 of 0.45
    {'translate_x': 0.135, 'translate_y': 0.135}
    """

    compose = True
    """Its movements are one resampling, so its tree is run by `Fixed(tree, compose=True)`: in turn they would blur."""

    def __init__(
        self,
        transforms: Literal["translation", "affine", "color", "affine+color"] = "affine",
        form: Literal["mlp", "odd", "range"] = "mlp",
        size: Literal["small", "medium", "large"] = "small",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.kind = lookup(TRANSFORMS, transforms, "transforms of Warp")
        widths = lookup(SIZES, size, "size of Warp")(self.kind.noise)
        self.sampler = lookup(FORMS, form, "form of Warp")(self.kind, widths, Generator().manual_seed(seed))

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        """Return images of the same shape and dtype, from [B, C, H, W] in [0, 1], each with a draw of its own.

        Differentiable in the parameters of this module and in the images.
        """
        moves, colours = self.draw(len(images), rng)
        if moves.shape[1]:
            images = affine(images, self.sampler.matrix(to_device(moves, images.device), *images.shape[2:]))
        return recolour(images, to_device(colours, images.device), rng) if colours.shape[1] else images

    def draw(self, count: int, rng: Generator) -> tuple[Tensor, Tensor]:
        """Return the parameters of `count` images: of the movement, and colour amounts, [count, 4] or [count, 0]."""
        outputs = self.sampler(count, rng)
        moves, colours = outputs.split([outputs.shape[1] - self.kind.colours, self.kind.colours], dim=1)
        return moves, colours

    @torch.no_grad()
    def amounts(self, count: int = PROBE, rng: Generator | None = None) -> dict[str, Tensor]:
        """Return physical amounts by name, [count] for `count` square images.

        Degrees for `rotate`, shares of the size for translations, tangents for `shear_x`, factor - 1 for colours, turns
        for `hue`, the logarithm of the magnification for `zoom`. Without a generator the same draws every time.
        """
        moves, colours = self.draw(count, rng or Generator().manual_seed(0))
        amounts = self.sampler.named(moves) | dict(zip(COLOURS, colours.unbind(1), strict=False))
        return {name: amounts[name] for name in self.kind.names}

    def statistics(self) -> dict[str, dict[str, float]]:
        """Return mean, standard deviation and the 5 and 95 % quantiles of every amount (`amounts` has the units)."""
        amounts = self.amounts()
        rows = torch.stack([summary(values) for values in amounts.values()]).tolist()
        return {name: dict(zip(SUMMARY, row, strict=True)) for name, row in zip(amounts, rows, strict=True)}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return (low, high) of each amount: ± the half-width, or the 5 and 95 % quantiles of a network."""
        return self.sampler.ranges(self)

    def _repr_html_(self) -> str:
        """Return the policy as it is now, as a notebook shows it."""
        return self.tree()._repr_html_()

    def tree(self) -> PolicyTree:
        """Return the policy as operations with uniform amounts, in one order, with the statistics as provenance.

        For the "range" of a translation it is the policy itself. What another one loses stands in the provenance as
        `approximation`.
        """
        nodes = [span(name, *limits) for name, limits in self.ranges().items()]
        lost = [LOST["amounts"]] if isinstance(self.sampler, Network) else []
        lost += [LOST["moves"]] if "zoom" in self.kind.names else []
        lost += [LOST["colours"]] if self.kind.colours else []
        facts = {APPROXIMATION: "; ".join(lost)} if lost else {}
        return policy_tree(sequence(nodes), provenance=facts | flat(self.statistics()))

    def at(self, epoch: int) -> None:
        """Do nothing: no amount depends on the epoch."""

    def save(self, path: str | Path) -> None:
        """Write `tree()` as a policy file. The network itself travels in the `state_dict`."""
        save(self, path)


class HalfWidths(nn.Module):
    """Draw every amount uniformly within ± its own half-width."""

    units: Tensor

    def __init__(self, kind: Kind, widths: Sequence[int], rng: Generator) -> None:
        super().__init__()
        self.names = kind.names
        self.raw = nn.Parameter(torch.full((len(kind.names),), log(expm1(START))))
        self.register_buffer("units", torch.tensor([UNITS[name] for name in kind.names]))

    def forward(self, count: int, rng: Generator) -> Tensor:
        return uniform(count, len(self.names), rng, self.raw) * self.half_widths()

    def half_widths(self) -> Tensor:
        """Return the half-width of each amount, in its unit."""
        return self.units * F.softplus(self.raw)

    def named(self, moves: Tensor) -> dict[str, Tensor]:
        """Return the amounts of the movement by name."""
        return dict(zip(self.names, moves.unbind(1), strict=False))

    def matrix(self, moves: Tensor, height: int, width: int) -> Tensor:
        """Return the movements [B, 2, 3], joined into one for each image."""
        matrices = [matrix_of(name, amount, height, width) for name, amount in self.named(moves).items()]
        return reduce(compose, matrices)

    def ranges(self, warp: Warp) -> dict[str, tuple[float, float]]:
        """Return ± the half-width of each amount."""
        return {name: (-half, half) for name, half in zip(self.names, self.half_widths().tolist(), strict=True)}


class Network(nn.Module):
    """The published network: linear layers with ReLU, dropout before the last, tanh where the kind is bounded.

    With `odd` it is o(z) - o(-z): noise of the other sign moves the image the other way, so the mean output is zero.
    """

    scale: Tensor

    def __init__(self, kind: Kind, widths: Sequence[int], rng: Generator, odd: bool = False) -> None:
        super().__init__()
        self.bounded, self.odd, self.noise = kind.bounded, odd, widths[0]
        sizes = list(pairwise([*widths, kind.entries + kind.colours]))
        self.weights = nn.ParameterList(torch.empty(outputs, inputs) for inputs, outputs in sizes)
        self.biases = nn.ParameterList(torch.empty(outputs) for _, outputs in sizes)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            reach = 1 / sqrt(weight.shape[1])  # torch's own rule for a linear layer
            nn.init.uniform_(weight, -reach, reach, generator=rng)
            nn.init.uniform_(bias, -reach, reach, generator=rng)
        nn.init.zeros_(self.biases[-1])  # the mean transformation begins near the identity
        self.register_buffer("scale", torch.tensor([1.0] * kind.entries + [1.0, 1.0, 1.0, 0.5][: kind.colours]))

    def forward(self, count: int, rng: Generator) -> Tensor:
        noise = uniform(count, self.noise, rng, self.scale)
        survivors = torch.rand(count, self.weights[-1].shape[1], generator=rng, device=rng.device) >= DROPOUT
        survivors = to_device(survivors, noise.device, noise.dtype)
        mask = survivors / (1 - DROPOUT) if self.training else torch.ones_like(noise[:, :1])
        outputs = self.layers(noise, mask) - (self.layers(-noise, mask) if self.odd else 0.0)
        return (outputs.tanh() if self.bounded else outputs) * self.scale

    def layers(self, noise: Tensor, mask: Tensor) -> Tensor:
        """Return the outputs for noise [B, N], with the mask of the dropout before the last layer."""
        weights, biases = list(self.weights), list(self.biases)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            noise = F.linear(noise, weight, bias).relu()
        return F.linear(noise * mask, weights[-1], biases[-1])

    def named(self, moves: Tensor) -> dict[str, Tensor]:
        """Return the movements that the outputs amount to, by name."""
        return read(self.matrix(moves, 1, 1)) if moves.shape[1] else {}

    def matrix(self, moves: Tensor, height: int, width: int) -> Tensor:
        """Return the identity plus the outputs, [B, 2, 3]; two outputs are a translation."""
        offset = moves.unflatten(1, (2, 3)) if moves.shape[1] == 6 else F.pad(moves.unsqueeze(2), (2, 0))
        return unmoved(moves) + offset

    def ranges(self, warp: Warp) -> dict[str, tuple[float, float]]:
        """Return the 5 and 95 % quantiles of each amount."""
        return {name: (row["low"], row["high"]) for name, row in warp.statistics().items()}


FORMS: dict[str, Callable[[Kind, Sequence[int], Generator], Any]] = {
    "mlp": Network,
    "odd": partial(Network, odd=True),
    "range": HalfWidths,
}


def uniform(count: int, numbers: int, rng: Generator, like: Tensor) -> Tensor:
    """Return uniform draws in (-1, 1), [count, numbers], on the device and with the dtype of `like`."""
    return to_device(2 * torch.rand(count, numbers, generator=rng, device=rng.device) - 1, like.device, like.dtype)


def matrix_of(name: str, amount: Tensor, height: int, width: int) -> Tensor:
    """Return the movement [B, 2, 3] of a name in `MOVES` by amounts [B]."""
    matrix = OPS[name].matrix
    assert matrix is not None, f"{name} moves no pixels"
    return matrix(amount, height, width)


def read(matrix: Tensor) -> dict[str, Tensor]:
    """Return the movements that a matrix [B, 2, 3] of a square image is made of: translate, rotate, shear, magnify.

    Two axes that are magnified differently give one `zoom`, their geometric mean. A mirrored image is not told apart.
    """
    (a, b, x), (d, e, y) = matrix[:, 0].unbind(1), matrix[:, 1].unbind(1)
    across = torch.hypot(a, d)
    along = (a * e - b * d) / across  # of the triangular factor that remains when the rotation is taken off
    shear = (a * b + d * e) / across / along
    zoom = -0.5 * (across * along.abs()).log()
    return dict(zip(MOVES, (-x / 2, -y / 2, torch.rad2deg(torch.atan2(d, a)), shear, zoom), strict=True))


def recolour(images: Tensor, amounts: Tensor, rng: Generator) -> Tensor:
    """Return the images after the four colour operations by amounts [B, 4], each image in a random order."""
    ops = [replace(OPS[name], most=1.0) for name in COLOURS]
    order = torch.rand(len(images), len(ops), generator=rng, device=rng.device).argsort(1)
    bucket, strength = (order + 1).t().contiguous(), amounts.gather(1, to_device(order, amounts.device)).t()
    return execute(ops, images, Draws(bucket, strength), rng)


SUMMARY = ("mean", "std", "low", "high")


def summary(values: Tensor) -> Tensor:
    """Return mean, standard deviation (0 of one value), and 5 and 95 % quantiles, in the order of `SUMMARY`: [4]."""
    spread = values.std(correction=min(1, len(values) - 1))
    ends = torch.linspace(0.05, 0.95, 2, dtype=values.dtype, device=values.device)  # made there, not sent there
    return torch.cat([values.mean()[None], spread[None], values.quantile(ends)])


def flat(statistics: dict[str, dict[str, float]]) -> dict[str, str | int | float]:
    """Return statistics by a name and a statistic as facts: `rotate.mean`."""
    return {f"{name}.{statistic}": value for name, row in statistics.items() for statistic, value in row.items()}


def span(name: str, low: float, high: float) -> Apply:
    """Return an operation at amounts uniform from low to high; beyond the table's range it has a range of its own."""
    usual = OPS[name].most or 1.0
    reach = max(-low, high, usual)
    most = reach if reach > usual else None
    if low == -high:
        return apply(name, (0.0, high / reach), most=most)
    return apply(name, (low / reach, high / reach), mirror=False, most=most)
