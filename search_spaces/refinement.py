"""Refinement: clean epochs at the end, after the augmented ones (He et al. 2019, "Data Augmentation Revisited")."""

from optuna.distributions import IntDistribution

from autoaug.strategies import Space

refine_epochs: Space = {"task.refine_epochs": IntDistribution(0, 5)}
