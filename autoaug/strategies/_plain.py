"""Arms without a search of their own: every comparison needs them, for a search must beat them to be worth its cost.

They still search the dimensions that the study shares, such as refinement epochs and mixup's alpha.
"""

from autoaug.lookup import lookup
from autoaug.policy import Fixed, ready
from autoaug.strategies._strategy import Strategy

PUBLISHED = {
    "cifar10": ready.autoaugment_cifar10,
    "svhn": ready.autoaugment_svhn,
    "imagenet": ready.autoaugment_imagenet,
}
"""AutoAugment's policies by the dataset that they were searched on."""


def none() -> Strategy:
    """No policy: the standard augmentation, `Task.standard` (He et al. 2016 for CIFAR), and nothing else."""
    return Strategy(policy=lambda: Fixed(ready.none()), space={})


def standard(padding: float = 0.125, flip: float = 0.5) -> Strategy:
    """Crop and flip (He et al. 2016) as a policy, for a task with `standard="none"`, or digits, which have none.

    `Task.standard` is applied in all epochs whatever the policy. For colour images it is this very crop and flip, so
    there `none` is this arm, and `standard` crops twice. As a policy it ends where refinement begins.

    Args:
        padding: as a fraction of the size; 4 of 32 pixels is 0.125.
        flip: the probability of a mirror image.
    """
    return Strategy(policy=lambda: Fixed(ready.standard(padding, flip)), space={})


def random_policy() -> Strategy:
    """A policy nobody searched: two of MADAO's 14 operations (Hataya et al. 2022), probability 1/2, uniform strength.

    The arm that shows how much of a searched policy's gain any augmentation would have brought.
    """
    return Strategy(policy=lambda: Fixed(ready.random_policy()), space={})


def trivialaugment() -> Strategy:
    """One operation at random with a uniform strength over wide ranges (Müller and Hutter 2021).

    The arm to beat: no searched policy is known to beat it beyond noise in one and the same harness.
    """
    return Strategy(policy=lambda: Fixed(ready.trivialaugment()), space={})


def uniformaugment() -> Strategy:
    """Two operations of 15 with uniform probability and strength (LingChen et al. 2020)."""
    return Strategy(policy=lambda: Fixed(ready.uniformaugment()), space={})


def published(dataset: str = "cifar10") -> Strategy:
    """The policy that AutoAugment found for a dataset (Cubuk et al. 2019): 25 sub-policies, transferred as they are.

    Args:
        dataset: a row of `PUBLISHED`.
    """
    tree = lookup(PUBLISHED, dataset, "dataset of published")
    return Strategy(policy=lambda: Fixed(tree()), space={})
