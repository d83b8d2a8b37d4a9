"""Refinement: clean epochs at the end, after the augmented ones (He et al. 2019, "Data Augmentation Revisited")."""

from optuna.distributions import FloatDistribution, IntDistribution

from autoaug.strategies import Space

refine_epochs: Space = {"task.refine_epochs": IntDistribution(0, 5)}
"""Epochs of refinement, at the learning rate of the task."""

refinement: Space = refine_epochs | {"task.refine_lr": FloatDistribution(0.002, 0.1, log=True)}
"""Epochs of refinement and their learning rate. The rate is asked for where there are epochs to refine in."""
