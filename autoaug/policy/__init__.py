"""Policies: random maps from images to images, their portable form, and the file they travel in."""

from autoaug.policy import ready
from autoaug.policy.errors import PolicyError
from autoaug.policy.files import decode, encode, json_schema, load_tree, save
from autoaug.policy.fixed import Fixed, load_policy
from autoaug.policy.nodes import Apply, Choice, Schedule, Sequence, apply, choice, schedule, sequence
from autoaug.policy.protocol import Policy
from autoaug.policy.tree import PolicyTree, op_masses, policy_tree

__all__ = [
    "Apply",
    "Choice",
    "Fixed",
    "Policy",
    "PolicyError",
    "PolicyTree",
    "Schedule",
    "Sequence",
    "apply",
    "choice",
    "decode",
    "encode",
    "json_schema",
    "load_policy",
    "load_tree",
    "op_masses",
    "policy_tree",
    "ready",
    "save",
    "schedule",
    "sequence",
]
