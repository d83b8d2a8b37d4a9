"""Learners: what moves a policy while a network trains."""

from autoaug.learners._bilevel import Bilevel
from autoaug.learners._checks import HypergradientError
from autoaug.learners._joint import Joint
from autoaug.learners._problem import Batch, Problem
from autoaug.learners._replay import DEPLOYS, learned, replay
from autoaug.learners._updates import Updates

__all__ = [
    "DEPLOYS",
    "Batch",
    "Bilevel",
    "HypergradientError",
    "Joint",
    "Problem",
    "Updates",
    "learned",
    "replay",
]
