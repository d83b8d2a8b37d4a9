"""Strategies: one named constructor per paper, one file per family."""

from autoaug.strategies._affine import affine_grid, validated_magnitude
from autoaug.strategies._autoaugment import autoaugment
from autoaug.strategies._madao import madao, madao_cg, madao_first_order
from autoaug.strategies._one_epoch import one_epoch_top_k
from autoaug.strategies._plain import none, published, random_policy, standard, trivialaugment, uniformaugment
from autoaug.strategies._pruners import PRUNERS
from autoaug.strategies._randaugment import randaugment
from autoaug.strategies._sampling import SeededByTrial
from autoaug.strategies._space import Space
from autoaug.strategies._stn import stn
from autoaug.strategies._strategy import Condition, Strategy
from autoaug.strategies._truncated import truncated
from autoaug.strategies.samplers import SAMPLERS

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
