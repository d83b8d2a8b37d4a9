"""Learners: what moves a policy while a network trains."""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.learners._bilevel import Bilevel
    from autoaug.learners._checks import HypergradientError
    from autoaug.learners._joint import Joint
    from autoaug.learners._mix import LEARNED, LearnedMix, check_begun, check_learned
    from autoaug.learners._problem import Batch, Problem, straight
    from autoaug.learners._replay import DEPLOYS, learned, replay
    from autoaug.learners._updates import Scale, Updates
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_bilevel": "Bilevel",
            "_checks": "HypergradientError",
            "_joint": "Joint",
            "_mix": "LEARNED LearnedMix check_begun check_learned",
            "_problem": "Batch Problem straight",
            "_replay": "DEPLOYS learned replay",
            "_updates": "Scale Updates",
        },
    )

__all__ = [
    "DEPLOYS",
    "LEARNED",
    "Batch",
    "Bilevel",
    "HypergradientError",
    "Joint",
    "LearnedMix",
    "Problem",
    "Scale",
    "Updates",
    "check_begun",
    "check_learned",
    "learned",
    "replay",
    "straight",
]
