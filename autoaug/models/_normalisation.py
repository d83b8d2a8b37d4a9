"""The mean and deviation that a network expects of its images."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple


class Normalisation(NamedTuple):
    """Hold the mean and the standard deviation of each channel, of images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def normalisation_for(channels: int, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
    """Return the figures for images of so many channels: for one channel the means of three.

    >>> from autoaug.models._normalisation import normalisation_for
    >>> normalisation_for(1, [0.2, 0.4, 0.6], [0.5, 0.5, 0.5])
    Normalisation(mean=(0.4,), std=(0.5,))
    """
    if channels == 1:
        return Normalisation((fmean(mean),), (fmean(std),))
    return Normalisation(tuple(mean), tuple(std))
