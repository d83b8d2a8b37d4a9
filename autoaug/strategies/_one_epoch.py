"""The plainest of the cheap searches: look at many points for one epoch, and train the few best in full."""

from autoaug.strategies._randaugment import randaugment
from autoaug.strategies._strategy import Strategy


def one_epoch_top_k(strategy: Strategy | None = None) -> Strategy:
    """Return a search with one epoch for each trial; its best points are then trained in full (`Study.rerun` is k).

    The baseline of successive halving (Jamieson and Talwalkar 2016) with two rungs, and a warning: after one epoch
    weak augmentation nearly always looks best. Without an argument it searches RandAugment at random.

    >>> from autoaug.strategies import one_epoch_top_k, randaugment
    >>> one_epoch_top_k(randaugment("tpe")).proxy
    {'epochs': 1, 'refine_epochs': 0}
    """
    return (strategy or randaugment("random")).proxied(epochs=1, refine_epochs=0)
