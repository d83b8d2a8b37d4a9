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
    before: str | None = None
    """A figure of the same runs that is taken off the metric: of a claim that something rises or falls in a run."""


def beats(better: str, *worse: str) -> tuple[Mapping[str, float], ...]:
    """Return the differences of a strategy to each of others."""
    return tuple({better: 1.0, each: -1.0} for each in worse)


def less(smaller: str, *larger: str) -> tuple[Mapping[str, float], ...]:
    """Return the differences of others to a strategy, for figures of which less is better or claimed."""
    return tuple({smaller: -1.0, each: 1.0} for each in larger)


def gains(more: str, less: str) -> Mapping[str, float]:
    """Return how much more refinement brings one strategy than another, each of which has a second arm, "-refined"."""
    return {f"{more}-refined": 1.0, more: -1.0, f"{less}-refined": -1.0, less: 1.0}


def mean_gain(*names: str) -> Mapping[str, float]:
    """Return what refinement brings in the mean of strategies."""
    weights = {name: -1 / len(names) for name in names}
    return weights | {f"{name}-refined": 1 / len(names) for name in names}


RANDAUGMENTS = ("randaugment", "randaugment-2", "randaugment-3", "randaugment-4")
"""One and the same search with other draws."""


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
        "Refinement improves networks that were trained with manifold mixup",
        "CIFAR-100 80.4 → 81.5",
        "refined/table_1",
        beats("manifold-mixup-refined", "manifold-mixup"),
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
        (gains("mixup", "moderate"),),
    ),
    Claim(
        HE,
        "table 1",
        "Refinement gives mixup more than any other method",
        "CIFAR-100 +2.0 against +1.1, +.8, +.7",
        "refined/table_1",
        tuple(gains("mixup", each) for each in ("manifold-mixup", "cutmix", "autoaugment")),
    ),
    Claim(
        HE,
        "table 2",
        "Mixup leaves the largest loss on clean training images",
        "CIFAR-100 .098 against .067, .014, .0009 nats",
        "refined/table_2",
        beats("mixup", "manifold-mixup", "cutmix", "autoaugment", "moderate"),
        metric="cross_entropy clean",
    ),
    Claim(
        HE,
        "table 2",
        "Mixup has the widest gap between the losses on augmented and on clean training images",
        "CIFAR-100 1.26 against 1.19, .77, .24 nats",
        "refined/table_2",
        beats("mixup", "manifold-mixup", "cutmix", "autoaugment", "moderate"),
        metric="cross_entropy as trained",
        before="cross_entropy clean",
    ),
    Claim(
        HE,
        "table 2",
        "AutoAugment leaves a smaller loss on clean training images than standard augmentation",
        "CIFAR-100 .0009 against .0011 nats",
        "refined/table_2",
        less("autoaugment", "moderate"),
        metric="cross_entropy clean",
    ),
    Claim(
        HE,
        "table 2",
        "Refinement lowers the loss on clean training images after every mix and policy",
        "CIFAR-100 .098 → .0024, .067 → .0022, .014 → .0008, .0009 → .0008 nats",
        "refined/table_2",
        tuple({each: -1.0} for each in ("mixup", "manifold-mixup", "cutmix", "autoaugment")),
        metric="cross_entropy clean, refined",
        before="cross_entropy clean",
    ),
    Claim(
        HE,
        "table 3",
        "Much longer training with AutoAugment is worse without refinement",
        "CIFAR-100 79.3 → 78.5",
        "refined/table_3",
        beats("short", "long"),
    ),
    Claim(
        HE,
        "table 3",
        "Much longer training with AutoAugment is better with refinement",
        "CIFAR-100 80.0 → 80.5",
        "refined/table_3",
        beats("long-refined", "short-refined"),
    ),
    Claim(
        HE,
        "table 3",
        "Refinement gives the longer training with AutoAugment more",
        "CIFAR-100 +2.0 against +.7",
        "refined/table_3",
        (gains("long", "short"),),
    ),
    Claim(
        HE,
        "figure 3",
        "Where the total is fixed, an eighth of it that refines mixup is better than none",
        "drawn",
        "refined/figure_3",
        beats("last-6", "last-0"),
    ),
    Claim(
        HE,
        "table 4",
        "Refinement improves mixes and policies of every strength, in their mean",
        "Tiny-ImageNet +1.1",
        "refined/table_4",
        (
            mean_gain(
                *(f"{mix}-{each}" for mix in ("mixup", "manifold-mixup") for each in (0.2, 0.5)),
                "cutmix-0.5",
                "cutmix-1",
                "autoaugment-cifar",
                "autoaugment-imagenet",
            ),
        ),
    ),
    Claim(
        HE,
        "table 4",
        "Refined mixup is better with α = .5 than with .2",
        "Tiny-ImageNet 65.08 against 64.20",
        "refined/table_4",
        beats("mixup-0.5-refined", "mixup-0.2-refined"),
    ),
    Claim(
        HE,
        "table 5",
        "Without refinement the stronger mixup is worse",
        "ImageNet 77.26 against 77.47",
        "refined/table_5",
        beats("mixup-weak", "mixup-strong"),
    ),
    Claim(
        HE,
        "table 5",
        "Refined, the stronger mixup is as good as the weaker",
        "ImageNet 77.65 against 77.69",
        "refined/table_5",
        beats("mixup-strong-refined", "mixup-weak-refined"),
        margin=0.01,
    ),
    Claim(
        HE,
        "ablations",
        "A large rate that decays refines worse than a small one",
        "in words",
        "refined/ablations",
        beats("mixup-last", "mixup-restart"),
    ),
    Claim(
        HE,
        "ablations",
        "Augmentation that fades is as good as refinement",
        "in words",
        "refined/ablations",
        (
            *beats("mixup-fading", "mixup-tenth"),
            *beats("cutmix-fading", "cutmix-refined"),
            *beats("autoaugment-fading", "autoaugment-refined"),
        ),
        margin=0.01,
    ),
    Claim(
        HE,
        "ablations",
        "A network of standard augmentation gains from refinement without any",
        "CIFAR-100 +.6",
        "refined/ablations",
        beats("moderate-bare", "moderate"),
    ),
    Claim(
        MADAO,
        "table 2",
        "MADAO is better than the standard augmentation alone",
        "CIFAR-10 error 4.9 → 4.0",
        "madao/table_2",
        beats("madao", "standard"),
    ),
    Claim(
        MADAO,
        "table 2",
        "MADAO is better than RandAugment that was searched as long",
        "CIFAR-10 error 4.4 → 4.0",
        "madao/table_2",
        ({"madao": 1.0, **dict.fromkeys(RANDAUGMENTS, -0.25)},),
    ),
    Claim(
        MADAO,
        "table 2",
        "RandAugment, the better of two random strengths, is better than the standard augmentation alone",
        "CIFAR-10 error 4.9 → 4.4",
        "madao/table_2",
        ({"standard": -1.0, **dict.fromkeys(RANDAUGMENTS, 0.25)},),
    ),
    Claim(
        MADAO,
        "figure 2",
        "A policy that MADAO moves is better than the same policy left as it begins",
        "least error at s = 60",
        "madao/figure_2",
        beats("s-2", "s-inf"),
    ),
    Claim(
        MADAO,
        "figure 2",
        "A policy that is moved too rarely is worse: strategies are hardly explored",
        "least error at s = 60",
        "madao/figure_2",
        beats("s-2", "s-20"),
    ),
    Claim(
        MADAO,
        "figure 2",
        "The more often the policy is moved, the more a training costs",
        "1.9 hours at s = 60, 1.0 at s = ∞",
        "madao/figure_2",
        ({"s-20": 1.0, "s-inf": -1.0}, {"s-5": 1.0, "s-20": -1.0}, {"s-2": 1.0, "s-5": -1.0}),
        metric="gpu_seconds",
    ),
    Claim(
        MADAO,
        "table 5",
        "The Neumann series makes a better policy than conjugate gradients",
        "CIFAR-10 error 4.0 against 4.4",
        "madao/table_5",
        beats("madao", "madao-cg"),
    ),
    Claim(
        MADAO,
        "table 5",
        "The Neumann series makes a better policy than the identity in place of the inverse Hessian",
        "CIFAR-10 error 4.0 against 4.4",
        "madao/table_5",
        beats("madao", "madao-fo"),
    ),
    Claim(
        MADAO,
        "section 5.3",
        "The Neumann series and conjugate gradients take equally long (within two seconds)",
        "no significant difference",
        "madao/table_5",
        beats("madao", "madao-cg"),
        metric="gpu_seconds",
        margin=2.0,
    ),
)
