"""Strategies: one named constructor per paper, one file per family."""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.strategies._affine import affine_grid, validated_magnitude
    from autoaug.strategies._autoaugment import autoaugment
    from autoaug.strategies._madao import madao, madao_cg, madao_first_order
    from autoaug.strategies._one_epoch import one_epoch_top_k
    from autoaug.strategies._online_score import online_score
    from autoaug.strategies._plain import none, published, random_policy, standard, trivialaugment, uniformaugment
    from autoaug.strategies._pruners import PRUNERS
    from autoaug.strategies._randaugment import randaugment
    from autoaug.strategies._sampling import SeededByTrial
    from autoaug.strategies._space import Space
    from autoaug.strategies._stn import stn
    from autoaug.strategies._strategy import Condition, Strategy
    from autoaug.strategies._truncated import truncated
    from autoaug.strategies.samplers import SAMPLERS
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_affine": "affine_grid validated_magnitude",
            "_autoaugment": "autoaugment",
            "_madao": "madao madao_cg madao_first_order",
            "_one_epoch": "one_epoch_top_k",
            "_online_score": "online_score",
            "_plain": "none published random_policy standard trivialaugment uniformaugment",
            "_pruners": "PRUNERS",
            "_randaugment": "randaugment",
            "_sampling": "SeededByTrial",
            "_space": "Space",
            "_stn": "stn",
            "_strategy": "Condition Strategy",
            "_truncated": "truncated",
            "samplers": "SAMPLERS",
        },
    )

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "Condition",
    "SeededByTrial",
    "Space",
    "Strategy",
    "affine_grid",
    "autoaugment",
    "madao",
    "madao_cg",
    "madao_first_order",
    "none",
    "one_epoch_top_k",
    "online_score",
    "published",
    "randaugment",
    "random_policy",
    "standard",
    "stn",
    "trivialaugment",
    "truncated",
    "uniformaugment",
    "validated_magnitude",
]
