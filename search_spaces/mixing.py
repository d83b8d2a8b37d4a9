"""Mixing pairs of samples: mixup's alpha (Zhang et al. 2018). At 0.01 next to nothing is mixed."""

from optuna.distributions import FloatDistribution

from autoaug.strategies import Space

mixup_alpha: Space = {"mix.alpha": FloatDistribution(0.01, 1.0, log=True)}
