"""The transformation-invariant baseline of Mounsaveng et al. 2021, section 4: a spatial transformer with noise."""

from autoaug.learners import Joint
from autoaug.policy import Policy, SpatialTransformer
from autoaug.strategies._strategy import Strategy


def stn(width: int = 64) -> Strategy:
    """Return a network that sees the image and noise, moves the image, and is trained by the training loss.

    The arm that shows what the validation loss adds: no hypergradient, the cost of a second network. The movement is
    applied while training. The paper says that it is applied when testing too; the authors' code does not do so.
    Measured where `truncated` is: as `none` (.61 to .65, n = 5). It ends in a nearly constant movement (rotations
    within .1 degree of each other): the training loss has no use for a spread.

    Of a point it reads `learner.lr` (of SGD). `width` is the number of channels: 64 in the paper.

    >>> from autoaug.strategies import stn
    >>> strategy = stn(width=8)
    >>> learner = strategy.within(strategy.policy(), lr=0.02)
    >>> type(learner).__name__, learner.optimiser.param_groups[0]["lr"]  # it descends the training loss
    ('Joint', 0.02)
    """

    def learner(policy: Policy, lr: float = 0.01) -> Joint:
        return Joint(policy, lr)

    return Strategy(policy=lambda: SpatialTransformer(width), space={}, within=learner)
