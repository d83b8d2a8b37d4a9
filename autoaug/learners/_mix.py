"""LearnedMix: a mix whose strength a gradient moves, beside the policy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from autoaug.fields import short
from autoaug.mixing import Mix, PairMix, TrainingMix, build, described
from autoaug.record import Record


@dataclass(frozen=True)
class Coordinate:
    """Say how a parameter of a mix is moved: by a number without bounds, of which it is a function."""

    raw: Callable[[Tensor], Tensor]
    """From the parameter to what is moved."""
    value: Callable[[Tensor], Tensor]
    """The way back."""
    least: float
    most: float
    """The range that it is kept to, of which the ends are as good as 0 and infinity, or 0 and 1: beyond them draws no
    longer differ, and a gradient has nothing to come back by."""


COORDINATES = {
    "alpha": Coordinate(torch.log, torch.exp, 1e-3, 1e3),
    "ratio": Coordinate(torch.logit, torch.sigmoid, 1e-3, 1 - 1e-3),
}
"""Parameters of mixes that can be learned: α by its logarithm, a ratio by its logit."""

LEARNED: dict[str, tuple[str, ...]] = {"mixup": ("alpha",), "hmix": ("alpha", "ratio"), "gmix": ("alpha",)}
"""Rows of `MIXES` that can be learned, and which of their parameters. The others have no gradient in α, or one of some
of their draws alone, which points elsewhere than the loss does."""

METRIC = "mix_{}"
"""What a parameter is called among the metrics of an epoch: `mix_alpha`, `mix_ratio`."""


class LearnedMix(nn.Module):
    """Mix as a row of `MIXES` does, with parameters that a learner moves: α, and the ratio of hmix.

    It stands where a `Mix` stands. With gradients on, mixed images and targets can be differentiated by its parameters;
    without, it draws the same with plain numbers. The parameters stay on the CPU, where the draws are made.

    Args:
        start: the mix to begin with; what of it is not learned stays as it is.

    Raises:
        ValueError: it is no row of `LEARNED`, or it begins where no gradient moves it.

    >>> import torch
    >>> from autoaug.learners import LearnedMix
    >>> from autoaug.mixing import hmix
    >>> mix = LearnedMix(hmix(alpha=0.4, ratio=0.3))
    >>> {name: round(value, 6) for name, value in mix.values().items()}
    {'alpha': 0.4, 'ratio': 0.3}
    >>> images, targets = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.eye(20)
    >>> mixed, soft = mix(images, targets, torch.Generator().manual_seed(0))
    >>> grads = torch.autograd.grad(mixed.square().mean(), list(mix.parameters()))
    >>> all(grad != 0 for grad in grads)
    True
    """

    def __init__(self, start: Mix | TrainingMix) -> None:
        super().__init__()
        self.start = start
        self._settings = settings_of(start)
        self.row: str = self._settings["kind"]
        self.raw = nn.ParameterDict({name: self._begun(name) for name in LEARNED[self.row]})

    def _begun(self, name: str) -> nn.Parameter:
        value = torch.tensor(self._settings[name], dtype=torch.float64)
        return nn.Parameter(COORDINATES[name].raw(value))

    def forward(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Return images [B, C, H, W] and soft targets [B, K] after a draw, as every `Mix` does."""
        mix: Mix = self.plain() if not torch.is_grad_enabled() else self._with(self._tensors())
        return mix(images, targets, rng)

    def plain(self) -> Mix:
        """Return the mix as it stands, of plain numbers."""
        return self._with(self.values())

    @property
    def mixes(self) -> bool:
        """Whether it ever mixes anything, which a mix that is learned always does."""
        return True

    def weakened(self, share: float) -> Mix:
        """Return the mix as it stands at a share in [0, 1] of its strength, of tensors where gradients are on."""
        mix: PairMix = self._with(self._tensors() if torch.is_grad_enabled() else self.values())
        return mix.weakened(share)

    def learned(self, records: Iterable[Record]) -> Mix:
        """Return the mix that the last augmented epoch of a run ended with, of plain numbers.

        Raises:
            ValueError: no record says it, as in a run that learned no mix.
        """
        names = {name: METRIC.format(name) for name in self.raw}
        epochs = [
            record
            for record in records
            if record.phase == "augment" and all(metric in record.metrics for metric in names.values())
        ]
        if not epochs:
            raise ValueError(f"no record of this run holds {', '.join(names.values())}: it learned no {self.row}")
        last = max(epochs, key=lambda record: (record.epoch, record.attempt))
        return self._with({name: last.metrics[metric] for name, metric in names.items()})

    @torch.no_grad()
    def values(self) -> dict[str, float]:
        """Return the parameters that are learned, by name."""
        return {name: value.item() for name, value in self._tensors().items()}

    def metrics(self) -> dict[str, float]:
        """Return the parameters that are learned under their names among the metrics of an epoch."""
        return {METRIC.format(name): value for name, value in self.values().items()}

    @torch.no_grad()
    def keep_within(self) -> None:
        """Put parameters that have left their range onto its nearer end."""
        for name, raw in self.raw.items():
            lower, upper = bounds(name)
            raw.clamp_(lower, upper)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: COORDINATES[name].value(raw) for name, raw in self.raw.items()}

    def _with(self, values: dict[str, Any]) -> Any:
        settings = {**self._settings, **values}
        return build(settings.pop("kind"), **settings)


def bounds(name: str) -> tuple[float, float]:
    """Return the range of what is moved for a parameter."""
    rule = COORDINATES[name]
    lower, upper = rule.raw(torch.tensor([rule.least, rule.most], dtype=torch.float64)).tolist()
    return lower, upper


def settings_of(start: Mix | TrainingMix) -> dict[str, Any]:
    """Return a mix as plain data, from which it is learned.

    Raises:
        ValueError: it cannot be learned, or not from there.
    """
    settings = described(start)
    kind = settings["kind"]
    check_learned(kind)
    usual = described(build(kind))
    for name, value in settings.items():
        if name == "kind" or (name not in moved_or_kept(kind) and value == usual.get(name)):
            continue
        check_begun(kind, name, value)
    return settings


def moved_or_kept(kind: str) -> tuple[str, ...]:
    """Return what may be set of a row of `LEARNED`: what is learned of it, and what stays as it is."""
    return "probability", "per", *LEARNED[kind]


def check_begun(kind: str, name: str, value: Any) -> None:
    """Refuse a value of a parameter from which no gradient moves the mix.

    Raises:
        ValueError: it lies outside of the range in `COORDINATES`, or nothing is mixed, or the parameter is one that a
            mix which is learned has at its default.
    """
    if name not in moved_or_kept(kind):
        raise ValueError(
            f"mix.{name} is {short(value)}, and of a {kind} that a learner moves may be set "
            f"{', '.join(moved_or_kept(kind))}: leave it out"
        )
    if name == "probability" and value == 0:
        raise ValueError("mix.probability is 0, where nothing is mixed and no gradient moves the mix: give more")
    if name not in COORDINATES:
        return
    rule = COORDINATES[name]
    if not rule.least <= value <= rule.most:
        raise ValueError(
            f"mix.{name} begins at {value:g}, from where no gradient moves it: begin at {rule.least:g} to {rule.most:g}"
        )


def check_learned(kind: str) -> None:
    """Refuse a row of `MIXES` that no gradient moves.

    Raises:
        ValueError: it is none of `LEARNED`.
    """
    if kind not in LEARNED:
        known = ", ".join(map(repr, LEARNED))
        raise ValueError(f"a learner cannot move the mix {kind!r}: it has no gradient to move it by; give {known}")
