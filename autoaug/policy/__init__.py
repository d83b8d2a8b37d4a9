"""Policies: random maps from images to images, their portable form, and the file they travel in."""

from autoaug.policy import ready
from autoaug.policy._applied import Applied, applied
from autoaug.policy._errors import PolicyError
from autoaug.policy._files import decode, encode, json_schema, load_tree, save
from autoaug.policy._fixed import Fixed, load_policy
from autoaug.policy._nodes import (
    AnyNode,
    Apply,
    Choice,
    Schedule,
    Sequence,
    apply,
    bounds,
    children,
    choice,
    is_number,
    schedule,
    sequence,
)
from autoaug.policy._protocol import AppliedAtTest, Composed, Policy
from autoaug.policy._relaxed import Choices, Relaxed
from autoaug.policy._stn import SpatialTransformer
from autoaug.policy._tree import APPROXIMATION, PolicyTree, op_masses, policy_tree, stages
from autoaug.policy._warp import Warp
from autoaug.policy._words import in_words, policy_table, show_amount

__all__ = [
    "APPROXIMATION",
    "AnyNode",
    "Applied",
    "AppliedAtTest",
    "Apply",
    "Choice",
    "Choices",
    "Composed",
    "Fixed",
    "Policy",
    "PolicyError",
    "PolicyTree",
    "Relaxed",
    "Schedule",
    "Sequence",
    "SpatialTransformer",
    "Warp",
    "applied",
    "apply",
    "bounds",
    "children",
    "choice",
    "decode",
    "encode",
    "in_words",
    "is_number",
    "json_schema",
    "load_policy",
    "load_tree",
    "op_masses",
    "policy_table",
    "policy_tree",
    "ready",
    "save",
    "schedule",
    "sequence",
    "show_amount",
    "stages",
]
