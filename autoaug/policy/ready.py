"""Policies that need no search, as trees: baselines, and what earlier searches found."""

from collections.abc import Sequence as Listing

from autoaug.policy import published
from autoaug.policy._nodes import AnyNode, Choice, apply, choice, sequence
from autoaug.policy._tree import PolicyTree, policy_tree

MADAO_OPS = (
    "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "invert", "auto_contrast", "equalize", "solarize",
    "color", "posterize", "contrast", "brightness", "sharpness",
)  # fmt: skip
"""The 14 operations of Hataya et al. 2022 (MADAO), which are AutoAugment's without cutout and sample pairing."""

IDENTITY = "identity"
RANDAUGMENT_OPS = (IDENTITY, *(name for name in MADAO_OPS if name != "invert"))
"""RandAugment's and TrivialAugment's 14: the identity stands in the place of invert."""

TRANSLATE_MOST = 150 / 331
"""AutoAugment translates by up to 150 of ImageNet's 331 pixels; torchvision scales that to the size of the image."""
POSTERIZE_LEVELS = 4
"""AutoAugment keeps 8 to 4 bits, so a magnitude counts as its nearest whole number of dropped bits."""
MAGNITUDES = 9
"""AutoAugment's magnitudes are 0 to 9."""


def none() -> PolicyTree:
    """Make the policy that changes nothing."""
    return policy_tree(sequence())


def standard(padding: float = 0.125, flip: float = 0.5) -> PolicyTree:
    """Make a policy that pads by a fraction of the size, crops at random and flips horizontally with a probability.

    The defaults are those of He et al. 2016 for CIFAR: 4 of 32 pixels, and a fair coin.
    """
    crop = [apply("crop", most=padding)] if padding else []
    return policy_tree(sequence([*crop, apply("hflip", probability=flip)]))


def randaugment(n: int = 2, m: float = 0.3, ops: Listing[str] = RANDAUGMENT_OPS) -> PolicyTree:
    """Make a policy of n operations at one strength m in [0, 1] (Cubuk et al. 2020, "RandAugment").

    The paper's magnitude M of 30 is m = M / 30. The default operations are the paper's 14, with the identity and
    without invert; Hataya et al. 2022 use `MADAO_OPS`.
    """
    return policy_tree(sequence([any_of(ops, m)] * n))


def trivialaugment(ops: Listing[str] = RANDAUGMENT_OPS) -> PolicyTree:
    """Make a policy of one operation at a uniform strength over wide ranges (Müller and Hutter 2021)."""
    return policy_tree(any_of(ops, (0.0, 1.0)), ranges="wide")


def uniformaugment() -> PolicyTree:
    """Make a policy of two operations of 15 at uniform strength (LingChen et al. 2020, "UniformAugment").

    The paper draws the probability uniformly for every image, which is a fair coin. The operations are MADAO's 14
    and cutout of up to a fifth of the size.
    """
    cutout = apply("cutout", (0.0, 1.0), 0.5, most=0.2)
    nodes = [*(apply(name, (0.0, 1.0), 0.5) for name in MADAO_OPS), cutout]
    return policy_tree(sequence([choice([(1.0, node) for node in nodes])] * 2))


def random_policy(ops: Listing[str] = MADAO_OPS, stages: int = 2, probability: float = 0.5) -> PolicyTree:
    """Make a policy of `stages` stages, each any operation with a probability, at uniform strength."""
    return policy_tree(sequence([any_of(ops, (0.0, 1.0), probability)] * stages))


def autoaugment_cifar10() -> PolicyTree:
    """Make AutoAugment's policy of 25 sub-policies for CIFAR-10."""
    return sub_policies(published.CIFAR10)


def autoaugment_svhn() -> PolicyTree:
    """Make AutoAugment's policy of 25 sub-policies for SVHN."""
    return sub_policies(published.SVHN)


def autoaugment_imagenet() -> PolicyTree:
    """Make AutoAugment's policy of 25 sub-policies for ImageNet."""
    return sub_policies(published.IMAGENET)


def any_of(ops: Listing[str], strength: float | tuple[float, float], probability: float = 1.0) -> Choice:
    """Make a choice of the operations, each as likely as the others; "identity" is none."""
    nodes = [sequence() if name == IDENTITY else apply(name, strength, probability) for name in ops]
    return choice([(1.0, node) for node in nodes])


def sub_policies(table: Listing[published.SubPolicy]) -> PolicyTree:
    """Make a policy of sub-policies, each as likely as the others."""
    rows = [sequence([from_magnitude(*action) for action in row]) for row in table]
    return policy_tree(choice([(1.0, row) for row in rows]))


def from_magnitude(op: str, probability: float, magnitude: int | None) -> AnyNode:
    """Make an operation at one of AutoAugment's magnitudes 0 to 9."""
    if magnitude is None:
        return apply(op, probability=probability)
    strength = magnitude / MAGNITUDES
    if op == "posterize":
        strength = round(strength * POSTERIZE_LEVELS) / POSTERIZE_LEVELS
    return apply(op, strength, probability, most=TRANSLATE_MOST if op.startswith("translate") else None)
