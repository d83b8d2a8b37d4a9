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
}
"""What is moved, in the order in which it is joined to one resampling."""


def validated_magnitude(transforms: Literal["translation", "affine"] = "affine", sampler: str = "grid") -> Strategy:
    """Return movements of an image, each uniform within ± m of AutoAugment's amount; validation chooses m.

    The baseline "validated magnitude" of Mounsaveng et al. 2021.

    m is one of 0, 0.1, ..., 1; the first is 0.3. The paper does not give its values; its search cost 11.5 trainings.

    Args:
        transforms: a row of `MOVES`.
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
    """Return six movements, each on or off: the 2^6 = 64 models of Mounsaveng et al. 2021, table 1, "predefined".

    A movement that is on is uniform within ± `reach` of AutoAugment's amount. The paper has two values, which it does
    not give, for each of the six entries of an affine matrix; no operation of ours magnifies, so a fair mirror takes
    the place of the entry that the five movements leave over.

    Args:
        reach: in (0, 1].
        sampler: a row of `SAMPLERS`.

    >>> from autoaug.strategies import affine_grid
    >>> strategy = affine_grid(reach=0.5)
    >>> [(rule.low, rule.high) for rule in strategy.space.values()]
    [(0.0, 0.5), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5)]
    """
    space: Space = {f"policy.{move}": FloatDistribution(0.0, reach, step=reach) for move in MOVES["affine"]}
    space["policy.hflip"] = FloatDistribution(0.0, 0.5, step=0.5)

    def policy(
        translate_x: float, translate_y: float, rotate: float, shear_x: float, shear_y: float, hflip: float
    ) -> Fixed:
        reaches = dict(zip(MOVES["affine"], (translate_x, translate_y, rotate, shear_x, shear_y), strict=True))
        moves = [apply(move, (0.0, most)) for move, most in reaches.items() if most]
        mirror = [apply("hflip", probability=hflip)] if hflip else []
        return Fixed(policy_tree(sequence([*moves, *mirror])), compose=True)

    return Strategy(
        policy=policy,
        space=space,
        between=lookup(SAMPLERS, sampler, "sampler of affine_grid"),
        first=(dict.fromkeys(space, 0.0),),
    )
