"""Mixing pairs of samples: mixup's alpha (Zhang et al. 2018). 0 mixes nothing; 1 draws the weight uniformly."""

from optuna.distributions import FloatDistribution

mixup_alpha = {"mix.alpha": FloatDistribution(0.0, 1.0)}
