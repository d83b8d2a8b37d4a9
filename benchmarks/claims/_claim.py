"""What a claim of a paper is, and how its differences are written."""

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
    before: str | None = None
    """A figure of the same runs that is taken off the metric: of a claim that something rises or falls in a run."""


def beats(better: str, *worse: str) -> tuple[Mapping[str, float], ...]:
    """Return the differences of a strategy to each of others."""
    return tuple({better: 1.0, each: -1.0} for each in worse)


def less(smaller: str, *larger: str) -> tuple[Mapping[str, float], ...]:
    """Return the differences of others to a strategy, for figures of which less is better or claimed."""
    return tuple({smaller: -1.0, each: 1.0} for each in larger)
