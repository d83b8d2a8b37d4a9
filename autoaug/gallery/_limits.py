"""How many pictures a gallery may have, and how large they may be."""

from dataclasses import dataclass

ROWS, DRAWS, EPOCHS = 6, 3, 6
"""Images, each of another class; draws for each; epochs of a policy that moves, at most."""
MOST_CELLS, MOST_BYTES = 300, 1_000_000
"""Of a study, all its strategies together."""
MOST_STRATEGIES = 12
"""Of a study that have a gallery: with more, the cells would not suffice for every image and draw."""
SIDE = 128
"""Pixels of the longer side of a cell, at most."""


@dataclass(frozen=True)
class Allowance:
    """What one strategy may have of the limits of a study."""

    epochs: int
    """In which its policy is shown."""
    bytes: int
    """Of all its pictures."""


def allowance(strategies: int, moving: int) -> Allowance | None:
    """Return what each of the first strategies of a study may have; None where there are none.

    Epochs are for those whose policy moves: what the others leave of the cells is divided between these.

    Args:
        strategies: of the study, those beyond `MOST_STRATEGIES` included, which have no gallery.
        moving: how many of them have a policy that moves.

    >>> from autoaug.gallery import allowance
    >>> allowance(3, 1), allowance(7, 2)
    (Allowance(epochs=6, bytes=333333), Allowance(epochs=4, bytes=142857))
    """
    shown = min(strategies, MOST_STRATEGIES)
    if not shown:
        return None
    left = MOST_CELLS - shown * (ROWS + ROWS * DRAWS)
    more = left // (ROWS * DRAWS) // max(1, min(moving, shown))
    return Allowance(min(EPOCHS, 1 + more), MOST_BYTES // shown)
