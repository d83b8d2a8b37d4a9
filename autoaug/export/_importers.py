"""Policies as other projects publish them, turned into trees.

There a policy is a list of sub-policies, of which each image gets one, all equally likely; a sub-policy is a list of
operations in turn, each (name, probability, level), in lists or tuples.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Listing
from typing import Any

from autoaug.fields import short
from autoaug.lookup import lookup, suggest
from autoaug.ops import OPS
from autoaug.policy import AnyNode, PolicyError, PolicyTree, apply, choice, is_number, policy_tree, sequence
from autoaug.policy.ready import MADAO_OPS, MAGNITUDES, POSTERIZE_LEVELS, from_magnitude

Convert = Callable[[str, float, Any], AnyNode]
"""Our name of an operation, its probability and their level, to a node."""


def from_fast_autoaugment(data: Listing[Any]) -> PolicyTree:
    """Return the tree of a policy of Fast AutoAugment (Lim et al. 2019) or DADA (Li et al. 2020).

    It is written as `[[["Contrast", 0.8, 0.4], ...], ...]`.

    Their level in [0, 1] goes from one end of an operation's range to the other, which is not a strength:

    - ShearX, ShearY, TranslateX, TranslateY, Rotate: from -most to most, and then their code mirrors it at random. So
      levels l and 1 - l mean the same, 0.5 is the identity, and the strength is |2 l - 1| with a fair sign.
    - Contrast, Color, Brightness, Sharpness: factors from 0.1 to 1.9, not mirrored: the signed strength 2 l - 1.
    - Solarize: inverts levels of at least 256 l; Posterize: keeps the whole part of 4 + 4 l bits. Strong at 0.
    - Cutout: a side of up to 0.2. AutoContrast, Equalize, Invert: no strength.

    Not carried over: their geometric operations take the nearest pixel (here: bilinear), and their cutout is grey and
    keeps its whole size at the left and top edge (here: black, and cut off).

    Raises:
        PolicyError: an unknown operation, or a number outside [0, 1]; the message names the sub-policy and the
        operation.
    """
    return sub_policies(data, FAST_AUTOAUGMENT, "Fast AutoAugment")


def from_torchvision(data: Listing[Any]) -> PolicyTree:
    """Return the tree of a table of `torchvision.transforms.AutoAugment`.

    It is written as `((("Posterize", 0.4, 8), ("Rotate", 0.6, 9)), ...)`.

    The third entry is one of ten magnitudes, 0 to 9, or None where the operation has none. torchvision draws the same
    fair signs. Not carried over: it takes the nearest pixel by default (here: bilinear).

    Raises:
        PolicyError: an unknown operation, or a number outside its range; the message names the sub-policy and the
        operation.
    """
    return sub_policies(data, TORCHVISION, "torchvision AutoAugment")


def mirrored(op: str, probability: float, level: float) -> AnyNode:
    """Return an operation at |2 level - 1| with a fair sign."""
    return apply(op, abs(2 * level - 1), probability)


def signed(op: str, probability: float, level: float) -> AnyNode:
    """Return an operation at the signed strength 2 level - 1."""
    return apply(op, 2 * level - 1, probability, mirror=False)


def solarize(op: str, probability: float, level: float) -> AnyNode:
    """Return solarize at the threshold 256 level of 255."""
    return apply(op, max(1 - 256 * level / 255, 0.0), probability)


def posterize(op: str, probability: float, level: float) -> AnyNode:
    """Return posterize that keeps the whole part of 4 + 4 level bits."""
    removed = 8 - int(4 + 4 * level)
    return apply(op, removed / POSTERIZE_LEVELS, probability)


def cutout(op: str, probability: float, level: float) -> AnyNode:
    """Return cutout of a side of up to 0.2."""
    return apply(op, level, probability, most=0.2)


def without_strength(op: str, probability: float, level: Any) -> AnyNode:
    """Return an operation that has no strength."""
    return apply(op, probability=probability)


def at_level(convert: Convert) -> Convert:
    """Return a conversion that refuses a level outside [0, 1]."""

    def checked(op: str, probability: float, level: Any) -> AnyNode:
        if not is_number(level) or not 0 <= level <= 1:
            raise PolicyError(f"level {short(level)} is not a number in [0, 1]")
        return convert(op, probability, level)

    return checked


def at_magnitude(op: str, probability: float, magnitude: Any) -> AnyNode:
    """Return the node of a magnitude 0 to 9, or of None where the operation has no strength."""
    bare = OPS[op].most is None
    known = magnitude is None if bare else magnitude in range(MAGNITUDES + 1) and not isinstance(magnitude, bool)
    if not known:
        wanted = "None, for it has no strength" if bare else f"a whole number from 0 to {MAGNITUDES}"
        raise PolicyError(f"magnitude {short(magnitude)} of {op}: give {wanted}")
    return from_magnitude(op, probability, magnitude)


def camel(name: str) -> str:
    """Return the published name of one of our operations, such as ShearX."""
    return "".join(part.title() for part in name.split("_"))


BY_OP: dict[str, Convert] = {
    **dict.fromkeys(("shear_x", "shear_y", "translate_x", "translate_y", "rotate"), at_level(mirrored)),
    **dict.fromkeys(("contrast", "color", "brightness", "sharpness"), at_level(signed)),
    **dict.fromkeys(("auto_contrast", "equalize", "invert"), without_strength),
    "solarize": at_level(solarize),
    "posterize": at_level(posterize),
    "cutout": at_level(cutout),
}

Names = Mapping[str, tuple[str, Convert]]
FAST_AUTOAUGMENT: Names = {camel(op): (op, convert) for op, convert in BY_OP.items()}
TORCHVISION: Names = {camel(op): (op, at_magnitude) for op in MADAO_OPS}


def sub_policies(data: Any, names: Names, source: str) -> PolicyTree:
    """Return a list of sub-policies as a choice between sequences."""
    if not isinstance(data, list | tuple) or not data:
        raise PolicyError(f"{short(data)} is no policy: give a list of sub-policies")
    rows = [sequence(actions(row, names, f"[{k}]")) for k, row in enumerate(data)]
    return policy_tree(choice([(1.0, row) for row in rows]), provenance={"imported from": source})


def actions(row: Any, names: Names, path: str) -> Iterator[AnyNode]:
    """Return the operations of a sub-policy."""
    if not isinstance(row, list | tuple):
        raise PolicyError(f"{path}: {short(row)} is no sub-policy: give a list of operations")
    for k, entry in enumerate(row):
        yield action(entry, names, f"{path}[{k}]")


def action(entry: Any, names: Names, path: str) -> AnyNode:
    """Return one operation; an error begins with its path."""
    if not isinstance(entry, list | tuple) or len(entry) != 3:
        raise PolicyError(f"{path}: {short(entry)} is no operation: give [name, probability, level]")
    name, probability, level = entry
    if not isinstance(name, str) or name not in names:
        raise PolicyError(f"{path}: unknown op {short(name)}: {suggest(str(name), names)}")
    op, convert = names[name]
    try:
        return convert(op, probability, level)
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from None


IMPORTERS: dict[str, Callable[[Listing[Any]], PolicyTree]] = {
    "fast-autoaugment": from_fast_autoaugment,
    "torchvision": from_torchvision,
}


def import_policy(data: Listing[Any], format: str) -> PolicyTree:
    """Return the tree of a policy of another project; `format` is a key of `IMPORTERS`.

    Raises:
        ValueError: no such format.
        PolicyError: the data is not of that format; the message names value, path and fix.
    """
    return lookup(IMPORTERS, format, "import format")(data)
