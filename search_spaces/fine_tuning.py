"""How much of a pretrained network moves: epochs in which its head trains alone, and how fast the rest follows."""

from optuna.distributions import FloatDistribution, IntDistribution

from autoaug.strategies import Space

freeze_epochs: Space = {"task.freeze_epochs": IntDistribution(0, 10)}
"""The first epochs, in which all but the head is frozen."""

fine_tuning: Space = freeze_epochs | {"task.backbone_lr": FloatDistribution(0.01, 1.0, log=True)}
"""And the learning rate of all but the head, as a share of that of the head."""
