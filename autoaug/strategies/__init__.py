"""Strategies: one named constructor per paper, one file per family."""

from autoaug.strategies.affine import affine_grid, validated_magnitude
from autoaug.strategies.autoaugment import autoaugment
from autoaug.strategies.madao import madao, madao_cg, madao_first_order
from autoaug.strategies.one_epoch import one_epoch_top_k
from autoaug.strategies.plain import none, published, random_policy, standard, trivialaugment, uniformaugment
from autoaug.strategies.pruners import PRUNERS
from autoaug.strategies.randaugment import randaugment
from autoaug.strategies.samplers import SAMPLERS
from autoaug.strategies.sampling import SeededByTrial
from autoaug.strategies.space import Space
from autoaug.strategies.stn import stn
from autoaug.strategies.strategy import Condition, Strategy
from autoaug.strategies.truncated import truncated

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
