"""What is measured of logits and targets, and which direction is better: one row for each metric.

The name of a measured value is that of a row after the split that it was measured on: `val_accuracy`, `test_nll`. A new
row is measured on every split from then on, and a study whose `metric` names it is searched, ranked, tested and drawn
by it.

N samples, K classes
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from autoaug.lookup import lookup
from autoaug.metrics._measures import (
    balanced_accuracy,
    calibration_error,
    correct,
    correct_among_five,
    macro_f1,
    negative_log_likelihood,
)

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["maximize", "minimize"]

Limits = tuple[float, float]
"""The least and the largest value that something can have."""

SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""The splits that metrics are measured on, and how they are called in sentences."""

ANY_NUMBER: Limits = (-math.inf, math.inf)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Describe one metric: how it is computed, which direction is better, and how its values are shown and bounded."""

    function: "Callable[[Tensor, Tensor], Tensor | float]"
    """Of logits [N, K] and targets, labels [N] or shares of the classes [N, K]: a number, or a tensor of one. It is the
    value for these samples; where the row is `additive` it is the sum over them."""
    direction: Direction
    label: str
    """Of columns and axes, after the name of the split: "nll"."""
    words: str = ""
    """In sentences, where the label is an abbreviation."""
    unit: str = ""
    """Of its values, where they have one: "nats"."""
    range: Limits = ANY_NUMBER
    """Where its values lie; intervals end there."""
    additive: bool = False
    """Whether it is a mean over samples, of which `function` gives the sum. Then no logits need to be kept: the samples
    can be evaluated in parts."""
    proportion: bool = False
    """Whether it is a share of the samples, so that how many there are says how uncertain it is."""
    least_classes: int = 2
    """It says nothing of data with fewer classes, and is not measured on them."""

    @property
    def measured(self) -> bool:
        """Whether its function measures it; otherwise a loop of the user's own gives its values."""
        return self.function is not given_by_the_loop

    @property
    def maximize(self) -> bool:
        """Whether more is better."""
        return self.direction == "maximize"

    @property
    def better(self) -> str:
        """Return which direction is better, in words."""
        return "more is better" if self.maximize else "less is better"

    @property
    def differences(self) -> Limits:
        """Return where the difference of two values lies."""
        low, high = self.range
        return low - high, high - low

    def half_width(self, value: float, images: int) -> float | None:
        """Return what the choice of so many images does to a value; None where the value alone does not say."""
        return half_width(value, images) if self.proportion else None


def given_by_the_loop(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Raise a RuntimeError: the function of a metric whose values are never computed here."""
    raise RuntimeError("the values of this metric are given by the loop of a study")


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        function=correct,
        direction="maximize",
        label="accuracy",
        range=(0.0, 1.0),
        additive=True,
        proportion=True,
    ),
    "nll": Metric(
        function=negative_log_likelihood,
        direction="minimize",
        label="nll",
        words="negative log-likelihood",
        unit="nats",
        range=(0.0, math.inf),
        additive=True,
    ),
    "balanced_accuracy": Metric(
        function=balanced_accuracy,
        direction="maximize",
        label="balanced accuracy",
        range=(0.0, 1.0),
    ),
    "macro_f1": Metric(
        function=macro_f1,
        direction="maximize",
        label="macro f1",
        words="macro-averaged F1",
        range=(0.0, 1.0),
    ),
    "top5": Metric(
        function=correct_among_five,
        direction="maximize",
        label="top-5",
        words="top-5 accuracy",
        range=(0.0, 1.0),
        additive=True,
        proportion=True,
        least_classes=6,  # of five, every guess would be right
    ),
    "calibration_error": Metric(
        function=calibration_error,
        direction="minimize",
        label="calibration error",
        range=(0.0, 1.0),
    ),
}
"""What every evaluation measures, of the data that have enough classes for it."""

BUILT_IN: Mapping[str, Metric] = MappingProxyType(dict(METRICS))
"""The rows of this release. The others, and those in their place, are the user's own."""

DEFAULT_METRIC = "val_accuracy"
"""Of a study that names none."""


def parts(name: str) -> tuple[str, str]:
    """Return the split and the row of a name: ("val", "nll") of "val_nll"; no split in the name of a row alone."""
    split, _, row = name.partition("_")
    return (split, row) if split in SPLITS and row else ("", name)


def row_of(name: str) -> str:
    """Return the name of the row: "nll" of "val_nll"."""
    return parts(name)[1]


def on_split(split: str, name: str) -> str:
    """Return the name of the same metric on another split: "test_nll" for "test" and "val_nll", or "nll"."""
    return f"{split}_{row_of(name)}"


def metric_of(name: str, what: str = "metric", table: Mapping[str, Metric] = METRICS) -> Metric:
    """Return the row of a metric by its own name, or by that on a split.

    Args:
        what: what the name was meant to be, for the error.
        table: the rows that are known, such as `stored_table` of a definition.

    Raises:
        ValueError: there is none; the message holds the near matches.
    """
    split, _ = parts(name)
    splits = [split] if split else ["", *SPLITS]
    known = {on_split(each, row) if each else row: metric for each in splits for row, metric in table.items()}
    return lookup(known, name, what)


def range_of(name: str, table: Mapping[str, Metric] = METRICS) -> Limits:
    """Return where a measured value lies; anywhere if it is of no row, such as a figure of a user's learner."""
    row = table.get(row_of(name))
    return row.range if row else ANY_NUMBER


def label_of(name: str, table: Mapping[str, Metric] = METRICS) -> str:
    """Return what stands over a column, or along an axis: "test nll" of "test_nll"; another name as it is."""
    split, row = parts(name)
    return f"{split} {table[row].label}".lstrip() if row in table else name


def words_of(name: str, table: Mapping[str, Metric] = METRICS) -> str:
    """Return a name as it stands in sentences: "validation negative log-likelihood"; another name as it is."""
    split, row = parts(name)
    if row not in table:
        return name
    return f"{SPLITS.get(split, '')} {table[row].words or table[row].label}".lstrip()


def applicable(classes: int) -> dict[str, Metric]:
    """Return the rows that say something of data with so many classes, by their names, in the order of the table.

    Those that a loop of the user's own gives are not measured here.
    """
    return {name: metric for name, metric in METRICS.items() if metric.measured and classes >= metric.least_classes}


def half_width(proportion: float, samples: int, confidence: float = 0.95) -> float:
    """Return half of the width of the interval of a proportion of so many samples: .078 for .85 of 80.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference". It is what the choice of the
    samples does; seeds and the order of training come on top.

    Args:
        proportion: in [0, 1].
        samples: at least 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = math.sqrt(proportion * (1 - proportion) / samples + (z / (2 * samples)) ** 2)
    return z * spread / (1 + z * z / samples)
