"""Strategies: one named constructor per paper, one file per family."""

from autoaug.strategies.madao import madao, madao_cg, madao_first_order
from autoaug.strategies.plain import none, random_policy, trivialaugment
from autoaug.strategies.randaugment import randaugment
from autoaug.strategies.sampling import SeededByTrial
from autoaug.strategies.stn import stn
from autoaug.strategies.strategy import Space, Strategy
from autoaug.strategies.truncated import truncated

__all__ = [
    "SeededByTrial",
    "Space",
    "Strategy",
    "madao",
    "madao_cg",
    "madao_first_order",
    "none",
    "randaugment",
    "random_policy",
    "stn",
    "trivialaugment",
    "truncated",
]
