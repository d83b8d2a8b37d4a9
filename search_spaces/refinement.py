"""Refinement: clean epochs at the end, after the augmented ones (He et al. 2019, "Data Augmentation Revisited")."""

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autoaug.strategies import Space

refine_epochs: Space = {"task.refine_epochs": IntDistribution(0, 5)}
"""Epochs of refinement, at the learning rate of the task."""

refine_lr: Space = {"task.refine_lr": FloatDistribution(0.002, 0.1, log=True)}

refinement: Space = refine_epochs | refine_lr
"""Epochs of refinement and their learning rate. The rate is asked for where there are epochs to refine in."""

refine_share: Space = {"task.refine_share": FloatDistribution(0, 0.4)}
"""Share of `Task.total_epochs` that refines: all points train equally long (figure 3 of the paper)."""

refinement_of_a_total: Space = refine_share | refine_lr
"""That share and the learning rate, for a task with `total_epochs`."""

fading: Space = {
    "task.anneal": FloatDistribution(0, 0.5),
    "task.refine_standard": CategoricalDistribution([True, False]),
}
"""What else the paper varies: a gradual end of policy and mix, and the standard augmentation while refining."""
