"""The table of formats, `EXPORTERS`: what writes a policy in the words of another library."""

from dataclasses import replace
from typing import TYPE_CHECKING

from autoaug.export._albumentations import to_albumentations
from autoaug.export._export import Export, Exporter, LossyExport
from autoaug.export._kornia import to_kornia
from autoaug.export._timm import to_timm
from autoaug.export._torchvision import to_torchvision_file
from autoaug.lookup import lookup
from autoaug.policy import APPROXIMATION, Fixed, Policy, PolicyTree, encode

if TYPE_CHECKING:
    from autoaug.export._transform import PolicyTransform


def to_json(tree: PolicyTree) -> Export:
    """Return policy.json itself, which `autoaug.load_policy` reads."""
    return Export(encode(tree))


EXPORTERS: dict[str, Exporter] = {
    "json": to_json,
    "torchvision": to_torchvision_file,
    "kornia": to_kornia,
    "albumentations": to_albumentations,
    "timm": to_timm,
}


def to_torchvision(policy: Policy | PolicyTree, *, compose: bool = False) -> "PolicyTransform":
    """Return a policy as a transform of torchvision, at its epoch; it can be pickled, and serves a DataLoader."""
    from autoaug.export._transform import PolicyTransform  # here: torchvision takes long to import, and few need it

    if not isinstance(policy, Fixed):
        return PolicyTransform(policy if isinstance(policy, PolicyTree) else policy.tree(), compose=compose)
    transform = PolicyTransform(policy.tree(), compose=compose or policy.compose)
    transform.at(policy.epoch)
    return transform


def export(tree: PolicyTree, format: str, allow_lossy: bool = False) -> Export:
    """Return a policy as text in the terms of another library; `format` is a key of `EXPORTERS`.

    What a tree itself only approximates, as that of a network does, is lost in every format.

    Raises:
        ValueError: no such format.
        PolicyError: the format has no words at all for such a policy; the message says why.
        LossyExport: it has, but they lose something, and `allow_lossy` is not set; the message lists what.
    """
    result = lookup(EXPORTERS, format, "export format")(tree)
    if APPROXIMATION in tree.provenance:
        result = replace(result, lost=(str(tree.provenance[APPROXIMATION]), *result.lost))
    if result.lost and not allow_lossy:
        raise LossyExport(format, result.lost)
    return result
