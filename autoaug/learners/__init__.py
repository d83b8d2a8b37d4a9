"""Learners: what moves a policy while a network trains."""

from autoaug.learners.bilevel import Bilevel
from autoaug.learners.checks import HypergradientError
from autoaug.learners.joint import Joint
from autoaug.learners.problem import Batch, Problem
from autoaug.learners.replay import DEPLOYS, learned, replay
from autoaug.learners.updates import Updates

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
