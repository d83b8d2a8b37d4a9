"""Policies: random maps from images to images, their portable form, and the file they travel in."""

from autoaug.policy import ready
from autoaug.policy.errors import PolicyError
from autoaug.policy.files import decode, encode, json_schema, load_tree, save
from autoaug.policy.fixed import Fixed, load_policy, to_torchvision
from autoaug.policy.foreign import IMPORTERS, import_policy
from autoaug.policy.nodes import Apply, Choice, Schedule, Sequence, apply, choice, schedule, sequence
from autoaug.policy.protocol import Policy
from autoaug.policy.relaxed import Choices, Relaxed
from autoaug.policy.stn import SpatialTransformer
from autoaug.policy.tree import PolicyTree, op_masses, policy_tree
from autoaug.policy.warp import Warp

__all__ = [
    "IMPORTERS",
    "Apply",
    "Choice",
    "Choices",
    "Fixed",
    "Policy",
    "PolicyError",
    "PolicyTree",
    "Relaxed",
    "Schedule",
    "Sequence",
    "SpatialTransformer",
    "Warp",
    "apply",
    "choice",
    "decode",
    "encode",
    "import_policy",
    "json_schema",
    "load_policy",
    "load_tree",
    "op_masses",
    "policy_tree",
    "ready",
    "save",
    "schedule",
    "sequence",
    "to_torchvision",
]
