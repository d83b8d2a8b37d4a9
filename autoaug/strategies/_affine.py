"""The two ways of choosing movements by hand that the online augmenter was compared with.

Mounsaveng et al. 2021, "Learning Data Augmentation with Online Bilevel Optimization for Image Classification",
section 4: a validated magnitude, and a grid over predefined transformations.
"""

from typing import Annotated, Literal

from optuna.distributions import FloatDistribution

from autoaug.fields import Within, checked
from autoaug.lookup import lookup
from autoaug.policy import Fixed, apply, policy_tree, sequence
from autoaug.strategies._space import Space
from autoaug.strategies._strategy import Strategy
from autoaug.strategies.samplers import SAMPLERS

MOVES = {
    "translation": ("translate_x", "translate_y"),
    "affine": ("translate_x", "translate_y", "rotate", "shear_x", "shear_y"),
    "affine+scale": ("translate_x", "translate_y", "rotate", "shear_x", "shear_y", "zoom"),
}
"""What is moved by a validated magnitude, in the order in which it is joined to one resampling."""

ENTRIES = ("translate_x", "translate_y", "shear_x", "shear_y", "zoom_x", "zoom_y")
"""One movement for each of the six entries of an affine matrix, in the order in which they are joined."""


def validated_magnitude(
    transforms: Literal["translation", "affine", "affine+scale"] = "affine", sampler: str = "grid"
) -> Strategy:
    """Return movements of an image, each uniform within ± m of its largest amount in `OPS`; validation chooses m.

    The baseline "validated magnitude" of Mounsaveng et al. 2021.

    m is one of 0, 0.1, ..., 1; the first is 0.3. The paper does not give its values; its search cost 11.5 trainings.

    Args:
        transforms: a row of `MOVES`. An affine matrix also magnifies, as in "affine+scale": by up to 1.4 or 1 / 1.4 at
            m = 1. "affine" does without.
        sampler: a row of `SAMPLERS`.

    >>> from autoaug.strategies import validated_magnitude
    >>> strategy = validated_magnitude("translation")
    >>> [(node.op, node.strength) for node in strategy.policy(m=0.3).tree().root.nodes]
    [('translate_x', (0.0, 0.3)), ('translate_y', (0.0, 0.3))]
    """
    moves = lookup(MOVES, transforms, "transforms of validated_magnitude")

    def policy(m: float) -> Fixed:
        return Fixed(policy_tree(sequence([apply(move, (0.0, m)) for move in moves])), compose=True)

    return Strategy(
        policy=policy,
        space={"policy.m": FloatDistribution(0.0, 1.0, step=0.1)},
        between=lookup(SAMPLERS, sampler, "sampler of validated_magnitude"),
        first=({"policy.m": 0.3},),
    )


@checked
def affine_grid(
    reach: Annotated[float, Within(0, 1, "(]", says="a number above 0 and up to 1")] = 0.5, sampler: str = "grid"
) -> Strategy:
    """Return the six entries of an affine matrix, each on or off: 2^6 = 64 models.

    The arm "predefined" of Mounsaveng et al. 2021, table 1. An entry that is on is uniform within ± `reach` of its
    largest amount in `OPS`: two translations, two shears and the scales of both axes, joined to one resampling. A
    rotation is in none of them alone. The paper has two values for each, which it does not give.

    Points of an earlier space, which had `policy.rotate` and `policy.hflip` in place of the scales, are still read.

    Args:
        reach: in (0, 1].
        sampler: a row of `SAMPLERS`.

    >>> from autoaug.strategies import affine_grid
    >>> strategy = affine_grid(reach=0.5)
    >>> [(name, rule.low, rule.high) for name, rule in strategy.space.items()][-2:]
    [('policy.zoom_x', 0.0, 0.5), ('policy.zoom_y', 0.0, 0.5)]
    >>> [(node.op, node.strength) for node in strategy.policy(shear_x=0.5, zoom_y=0.5).tree().root.nodes]
    [('shear_x', (0.0, 0.5)), ('zoom_y', (0.0, 0.5))]
    """
    space: Space = {f"policy.{move}": FloatDistribution(0.0, reach, step=reach) for move in ENTRIES}

    def policy(
        translate_x: float = 0.0,
        translate_y: float = 0.0,
        rotate: float = 0.0,
        shear_x: float = 0.0,
        shear_y: float = 0.0,
        zoom_x: float = 0.0,
        zoom_y: float = 0.0,
        hflip: float = 0.0,
    ) -> Fixed:
        moves = {
            "translate_x": translate_x,
            "translate_y": translate_y,
            "rotate": rotate,
            "shear_x": shear_x,
            "shear_y": shear_y,
            "zoom_x": zoom_x,
            "zoom_y": zoom_y,
        }
        nodes = [apply(move, (0.0, most)) for move, most in moves.items() if most]
        mirror = [apply("hflip", probability=hflip)] if hflip else []
        return Fixed(policy_tree(sequence([*nodes, *mirror])), compose=True)

    return Strategy(
        policy=policy,
        space=space,
        between=lookup(SAMPLERS, sampler, "sampler of affine_grid"),
        first=(dict.fromkeys(space, 0.0),),
    )
