"""The transformation-invariant baseline of Mounsaveng et al. 2021, section 4: a spatial transformer with noise."""

from autoaug.learners import Joint
from autoaug.policy import Policy, SpatialTransformer
from autoaug.strategies._strategy import Strategy


def stn(width: int = 64, at_test: bool = False) -> Strategy:
    """Return a network that sees the image and noise, moves the image, and is trained by the training loss.

    The arm that shows what the validation loss adds: no hypergradient, the cost of a second network. The movement is
    applied while training, and with `at_test` to validation and test images too: one movement of each, by noise that is
    the same in every epoch. The paper says that it is applied when testing; the authors' code does not do so. What a
    study trains from scratch (`Study.deploy`) has fixed movements in either form, and is tested without.

    Measured where `truncated` is: as `none` (.61 to .65, n = 5). It ends in a nearly constant movement (rotations
    within .1 degree of each other): the training loss has no use for a spread. Tested with it, such networks have
    .647 ± .012, and without it .642 ± .013 (2026-11-27, within ±50 degrees, n = 5).

    Of a point it reads `learner.lr` (of SGD).

    Args:
        width: the number of channels: 64 in the paper.
        at_test: apply it when validating and testing too, as the paper says.

    >>> from autoaug.strategies import stn
    >>> strategy = stn(width=8)
    >>> learner = strategy.within(strategy.policy(), lr=0.02)
    >>> type(learner).__name__, learner.optimiser.param_groups[0]["lr"]  # it descends the training loss
    ('Joint', 0.02)
    """

    def learner(policy: Policy, lr: float = 0.01) -> Joint:
        return Joint(policy, lr)

    return Strategy(policy=lambda: SpatialTransformer(width, at_test=at_test), space={}, within=learner)
