"""What is claimed of refined data augmentation."""

from collections.abc import Mapping

from benchmarks.claims._claim import HE, Claim, beats, less


def gains(more: str, less: str) -> Mapping[str, float]:
    """Return how much more refinement brings one strategy than another, each of which has a second arm, "-refined"."""
    return {f"{more}-refined": 1.0, more: -1.0, f"{less}-refined": -1.0, less: 1.0}


def mean_gain(*names: str) -> Mapping[str, float]:
    """Return what refinement brings in the mean of strategies."""
    weights = {name: -1 / len(names) for name in names}
    return weights | {f"{name}-refined": 1 / len(names) for name in names}


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
)
