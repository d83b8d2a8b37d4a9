"""Arms without a search of their own: every comparison needs them, for a search must beat them to be worth its cost.

They still search the dimensions that the study shares, such as refinement epochs and mixup's alpha.
"""

from autoaug.policy import Fixed, ready
from autoaug.strategies.strategy import Strategy


def none() -> Strategy:
    """The standard augmentation of the dataset and nothing else."""
    return Strategy(policy=lambda: Fixed(ready.none()), space={})


def random_policy() -> Strategy:
    """A policy nobody searched: two operations of 14 at random, probability 1/2, uniform strength.

    The arm that shows how much of a searched policy's gain any augmentation would have brought.
    """
    return Strategy(policy=lambda: Fixed(ready.random_policy()), space={})


def trivialaugment() -> Strategy:
    """One operation at random with a uniform strength over wide ranges (Müller and Hutter 2021).

    The arm to beat: no searched policy is known to beat it beyond noise in one and the same harness.
    """
    return Strategy(policy=lambda: Fixed(ready.trivialaugment()), space={})
