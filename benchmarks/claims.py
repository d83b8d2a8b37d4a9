"""The table `CLAIMS`: what the papers say, and by which shipped study it is asked here."""

from collections.abc import Mapping
from dataclasses import dataclass

HE = "refined augmentation"
MIXUP = "mixup"
MADAO = "MADAO"
SLIDES = "HMix and GMix"
ONLINE = "online augmenter"


@dataclass(frozen=True)
class Claim:
    """Describe one claim of a paper, and the differences that decide it."""

    paper: str
    where: str
    """The table or figure: "table 1"."""
    says: str
    """The claim as a sentence without a full stop."""
    published: str
    """The figures of the paper."""
    study: str
    """The shipped study that asks it: "refined/table_1"."""
    contrasts: tuple[Mapping[str, float], ...]
    """Weighted sums of strategies' scores, each positive where the paper is right. All must be: a claim that one
    strategy is the best of three has two."""
    metric: str = "test_accuracy"
    """Of a final run; where less is better the weights say so."""
    margin: float | None = None
    """Of a claim that there is no difference: what is still none, in the metric's unit."""


def beats(better: str, *worse: str) -> tuple[Mapping[str, float], ...]:
    """Return the differences of a strategy to each of others."""
    return tuple({better: 1.0, each: -1.0} for each in worse)


def less(smaller: str, *larger: str) -> tuple[Mapping[str, float], ...]:
    """Return the differences of others to a strategy, for figures of which less is better or claimed."""
    return tuple({smaller: -1.0, each: 1.0} for each in larger)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        HE,
        "table 1",
        "Refinement improves networks that were trained with mixup",
        "CIFAR-100 78.8 → 80.8",
        "refined/table_1",
        beats("mixup-refined", "mixup"),
    ),
    Claim(
        HE,
        "table 1",
        "Refinement improves networks that were trained with CutMix",
        "CIFAR-100 79.8 → 80.6",
        "refined/table_1",
        beats("cutmix-refined", "cutmix"),
    ),
    Claim(
        HE,
        "table 1",
        "Refinement improves networks that were trained with AutoAugment",
        "CIFAR-100 79.3 → 80.0",
        "refined/table_1",
        beats("autoaugment-refined", "autoaugment"),
    ),
    Claim(
        HE,
        "table 1",
        "Refinement gives mixup more than it gives standard augmentation",
        "CIFAR-100 +2.0 against +0.6",
        "refined/table_1",
        ({"mixup-refined": 1.0, "mixup": -1.0, "moderate-refined": -1.0, "moderate": 1.0},),
    ),
)
