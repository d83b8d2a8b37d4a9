"""Policies that several test files look at."""

from autoaug.ops import OPS
from autoaug.policy import apply, policy_tree, ready, sequence

NAMES = (
    "none",
    "standard",
    "randaugment",
    "trivialaugment",
    "uniformaugment",
    "random_policy",
    "autoaugment_cifar10",
    "autoaugment_svhn",
    "autoaugment_imagenet",
)
READY = {name: getattr(ready, name)() for name in NAMES}
"""Every policy that needs no search."""

EVERYTHING = policy_tree(sequence([apply(name, probability=0.5) for name in OPS]))
"""All operations in turn."""

UNSAYABLE = ("elastic", "gaussian_blur", "motion_blur", "fog")
"""Operations that kornia and albumentations have no words for."""
SAYABLE = policy_tree(sequence([apply(name, probability=0.5) for name in OPS if name not in UNSAYABLE]))
"""The others in turn."""
