"""A policy as the string that timm's `rand_augment_transform` reads, where it is RandAugment."""

from dataclasses import dataclass
from itertools import takewhile

from autoaug.export._export import Export
from autoaug.ops import OPS, RANGES
from autoaug.policy import Apply, Choice, PolicyError, PolicyTree, Sequence, bounds
from autoaug.policy.ready import MADAO_OPS

LEVELS = 10
"""timm's magnitudes are whole numbers up to 10."""
STANDARD = {"crop", "hflip"}
"""Operations that timm has elsewhere."""
OPTIONAL = {"invert"}
"""Of timm's operations, the one that the paper has not and a policy may lack. The identity it may have."""


@dataclass(frozen=True)
class RandAugment:
    """The parameters of RandAugment that the string holds."""

    layers: int
    strength: float
    uniform: bool
    """Whether the strength is drawn from 0 to `strength`."""
    probability: float
    ops: frozenset[str]
    identity: bool
    standard: tuple[str, ...]
    """The operations of a standard augmentation that comes before it."""


def to_timm(tree: PolicyTree) -> Export:
    """Return the string, such as "rand-m9-n2-p1-inc1".

    Raises:
        PolicyError: the policy is not RandAugment; the message says what stands against it.
    """
    parts = recognise(tree)
    magnitude, probability = round(parts.strength * LEVELS), f"{parts.probability:.6f}".rstrip("0").rstrip(".")
    spread = "-mstd101" if parts.uniform else ""
    return Export(f"rand-m{magnitude}-n{parts.layers}-p{probability}{spread}-inc1\n", losses(parts))


def losses(parts: RandAugment) -> tuple[str, ...]:
    """Return what the string cannot express: timm's table of operations and their ranges are its own."""
    before = " and ".join(parts.standard)
    lost = [f"{before} before it are not part of the string: timm's create_transform brings its own"] if before else []
    lost += ["timm adds its operation SolarizeAdd"]
    lost += [f"timm adds {name}" for name in sorted(OPTIONAL - parts.ops)]
    lost += ["timm has no identity among the operations"] if parts.identity else []
    if abs(parts.strength * LEVELS - round(parts.strength * LEVELS)) > 1e-9:
        lost.append(f"the strength {parts.strength:g} is rounded to tenths")
    if abs(parts.probability - round(parts.probability, 6)) > 0:
        lost.append(f"the probability {parts.probability:g} is rounded")
    return (
        *lost,
        "outside the image timm is grey, not black",
        "interpolation is bilinear or bicubic at random",
        "bits to posterize are cut to a whole number, not rounded",
    )


def recognise(tree: PolicyTree) -> RandAugment:
    """Read a policy as RandAugment; raise PolicyError where it is none."""
    standard, layers = layers_of(tree)
    leaves, identity = leaves_of(layers[0])
    check_ops(leaves, tree)
    low, high = strength_of(leaves)
    return RandAugment(
        layers=len(layers),
        strength=high,
        uniform=low < high,
        probability=leaves[0].probability,
        ops=frozenset(leaf.op for leaf in leaves),
        identity=identity,
        standard=standard,
    )


def layers_of(tree: PolicyTree) -> tuple[tuple[str, ...], tuple[Choice, ...]]:
    """Return the operations of a standard augmentation before it, and the choice, as often as it stands there."""
    nodes = tree.root.nodes if isinstance(tree.root, Sequence) else (tree.root,)
    ops = (node.op if isinstance(node, Apply) else "" for node in nodes)
    standard = tuple(takewhile(STANDARD.__contains__, ops))
    layers = tuple(node for node in nodes if isinstance(node, Choice))
    if not layers or len(standard) + len(layers) < len(nodes) or len(set(layers)) > 1:
        raise none("its root is not one choice, n times the same")
    return standard, layers


def leaves_of(layer: Choice) -> tuple[list[Apply], bool]:
    """Return the operations of a choice, and whether the identity is another option."""
    nodes = [option.node for option in layer.options]
    leaves = [node for node in nodes if isinstance(node, Apply)]
    identities = [node for node in nodes if isinstance(node, Sequence) and not node.nodes]
    if len({option.weight for option in layer.options}) > 1:
        raise none("its operations have different weights")
    if len(leaves) + len(identities) < len(nodes):
        raise none("an option of its choice is not a single operation")
    return leaves, bool(identities)


def check_ops(leaves: list[Apply], tree: PolicyTree) -> None:
    """Raise PolicyError unless the operations and their ranges are timm's: its string cannot name others."""
    names = [leaf.op for leaf in leaves]
    for name in sorted(set(MADAO_OPS) - OPTIONAL - set(names)):
        raise none(f"timm's string always draws {name} too")
    for leaf in leaves:
        most = leaf.most or RANGES[tree.ranges][leaf.op].most
        if leaf.op not in MADAO_OPS or names.count(leaf.op) > 1:
            raise none(f"timm's string cannot draw {leaf.op}{' twice as often' if leaf.op in MADAO_OPS else ''}")
        if most != OPS[leaf.op].most:
            raise none(f"timm's {leaf.op} reaches {OPS[leaf.op].most:g} {OPS[leaf.op].unit}, its own {most:g}")
        if OPS[leaf.op].signed and not leaf.mirror:
            raise none(f"timm gives {leaf.op} a random sign")


def strength_of(leaves: list[Apply]) -> tuple[float, float]:
    """Return the bounds of the one strength that all operations have."""
    if len({leaf.probability for leaf in leaves}) > 1:
        raise none("its operations have different probabilities")
    strengths = {bounds(leaf.strength) for leaf in leaves if OPS[leaf.op].most is not None}
    if len(strengths) > 1:
        raise none("its operations have different strengths")
    low, high = strengths.pop()
    if 0 < low < high:
        raise none(f"its strengths begin at {low:g}, and timm's at 0")
    return low, high


def none(why: str) -> PolicyError:
    """Return the error of a policy that is not RandAugment."""
    return PolicyError(f"timm can say RandAugment only, and this policy is none: {why}. Export it to torchvision")
