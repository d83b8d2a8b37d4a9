"""Strategies: one named constructor per paper, one file per family."""

from autoaug.strategies.plain import none, random_policy, trivialaugment
from autoaug.strategies.randaugment import randaugment
from autoaug.strategies.sampling import SeededByTrial
from autoaug.strategies.strategy import Space, Strategy

__all__ = ["SeededByTrial", "Space", "Strategy", "none", "randaugment", "random_policy", "trivialaugment"]
