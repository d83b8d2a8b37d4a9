"""Policies in the words of other libraries, as text, with a report of what those words cannot say.

None of those libraries is imported here, but torchvision, whose file needs no autoaug and says everything exactly.
"""

from dataclasses import replace

from autoaug.lookup import lookup
from autoaug.policy.export.albumentations_file import to_albumentations
from autoaug.policy.export.kornia_file import to_kornia
from autoaug.policy.export.report import Export, Exporter, LossyExport
from autoaug.policy.export.timm_string import to_timm
from autoaug.policy.export.torchvision_file import to_torchvision_file
from autoaug.policy.files import encode
from autoaug.policy.tree import APPROXIMATION, PolicyTree

__all__ = ["EXPORTERS", "Export", "Exporter", "LossyExport", "export"]


def to_json(tree: PolicyTree) -> Export:
    """policy.json itself, which `autoaug.load_policy` reads."""
    return Export(encode(tree))


EXPORTERS: dict[str, Exporter] = {
    "json": to_json,
    "torchvision": to_torchvision_file,
    "kornia": to_kornia,
    "albumentations": to_albumentations,
    "timm": to_timm,
}


def export(tree: PolicyTree, format: str, allow_lossy: bool = False) -> Export:
    """A policy in the words of another library.

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
