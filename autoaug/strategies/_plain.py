"""Arms without a search of their own: every comparison needs them, for a search must beat them to be worth its cost.

They still search the dimensions that the study shares, such as refinement epochs and mixup's alpha.
"""

from collections.abc import Sequence

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
    """Return the arm without a policy: the standard augmentation, `Task.standard` (He et al. 2016), and nothing else.

    >>> from autoaug.strategies import none
    >>> none().policy().tree().root.nodes
    ()
    >>> none().mixed("cutmix", alpha=1.0).mix
    {'kind': 'cutmix', 'alpha': 1.0}
    """
    return Strategy(policy=lambda: Fixed(ready.none()), space={})


def standard(padding: float = 0.125, flip: float = 0.5) -> Strategy:
    """Return crop and flip (He et al. 2016) as a policy, for a task with `standard="none"`, or digits, which have none.

    `Task.standard` is applied in all epochs whatever the policy. For small colour images it is this crop and flip, so
    there `none` is this arm, and `standard` crops twice. As a policy it ends where refinement begins.

    Args:
        padding: as a fraction of the size; 4 of 32 pixels is 0.125.
        flip: the probability of a mirror image.

    >>> from autoaug.policy import op_masses
    >>> from autoaug.strategies import standard
    >>> op_masses(standard(flip=0.25).policy().tree())
    {'crop': 1.0, 'hflip': 0.25}
    """
    return Strategy(policy=lambda: Fixed(ready.standard(padding, flip)), space={})


def random_policy(ops: Sequence[str] = ready.MADAO_OPS) -> Strategy:
    """Return a policy nobody searched: two of 14 operations (Hataya et al. 2022), each applied with probability 1/2.

    Operations and strengths are uniform. The arm that shows how much of a searched policy's gain any augmentation would
    have brought.

    Args:
        ops: the operations to choose from, rows of `autoaug.ops.OPS` or "identity".

    Raises:
        ValueError: an operation is unknown, or there is none.

    >>> from autoaug.policy import op_masses
    >>> from autoaug.strategies import random_policy
    >>> shares = op_masses(random_policy().policy().tree())  # of the images, per operation
    >>> len(shares), round(sum(shares.values()), 6)
    (14, 1.0)
    """
    tree = ready.random_policy(ops)
    return Strategy(policy=lambda: Fixed(tree), space={})


def trivialaugment(ops: Sequence[str] = ready.RANDAUGMENT_OPS) -> Strategy:
    """Return TrivialAugment (Müller and Hutter 2021): one operation at random, uniform strength over wide ranges.

    The arm to beat: no searched policy is known to beat it beyond noise in one and the same harness.

    Args:
        ops: the operations to choose from, rows of `autoaug.ops.OPS` or "identity"; the paper's 14 if not given.

    Raises:
        ValueError: an operation is unknown, or there is none.

    >>> from autoaug.strategies import trivialaugment
    >>> tree = trivialaugment().policy().tree()
    >>> len(tree.root.options), tree.ranges
    (14, 'wide')
    >>> first = tree.root.options[1].node  # after the identity
    >>> first.op, first.amount, first.unit
    ('shear_x', (0.0, 0.99), 'tangent')
    """
    tree = ready.trivialaugment(ops)
    return Strategy(policy=lambda: Fixed(tree), space={})


def uniformaugment() -> Strategy:
    """Return UniformAugment (LingChen et al. 2020): two operations of 15 with uniform probability and strength.

    >>> from autoaug.policy import op_masses
    >>> from autoaug.strategies import uniformaugment
    >>> len(op_masses(uniformaugment().policy().tree()))
    15
    """
    return Strategy(policy=lambda: Fixed(ready.uniformaugment()), space={})


def published(dataset: str = "cifar10") -> Strategy:
    """Return the policy that AutoAugment found for a dataset (Cubuk et al. 2019): 25 sub-policies, as they are.

    Args:
        dataset: a row of `PUBLISHED`.

    Raises:
        ValueError: there is no such dataset.

    >>> from autoaug.strategies import published
    >>> tree = published("svhn").policy().tree()
    >>> len(tree.root.options)
    25
    >>> [(node.op, node.probability) for node in tree.root.options[0].node.nodes]
    [('shear_x', 0.9), ('invert', 0.2)]
    """
    tree = lookup(PUBLISHED, dataset, "dataset of published")
    return Strategy(policy=lambda: Fixed(tree()), space={})
