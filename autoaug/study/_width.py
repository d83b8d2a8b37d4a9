"""How much a score on a limited number of images can say."""

import math
from statistics import NormalDist


def half_width(accuracy: float, images: int, confidence: float = 0.95) -> float:
    """Half of the width of the interval of an accuracy that was measured on so many images: .078 for .85 on 80.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference". It is what the choice of the
    images does; seeds and the order of training come on top.

    Args:
        accuracy: in [0, 1].
        images: at least 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = math.sqrt(accuracy * (1 - accuracy) / images + (z / (2 * images)) ** 2)
    return z * spread / (1 + z * z / images)
