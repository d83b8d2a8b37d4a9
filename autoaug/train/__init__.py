"""What is trained, and how: augmented epochs, then refinement epochs, one Record for each.

He et al. 2019, "Data Augmentation Revisited", algorithm 1: first train on augmented data, then a few epochs on
data with the standard augmentation only, at the learning rate that the schedule ended with, nothing reset.
"""

from autoaug.train._criterion import LOSSES, Criterion, criterion_of
from autoaug.train._figures import Diverged
from autoaug.train._learner import Learner, NullLearner
from autoaug.train._loop import batches, evaluate, global_generators_guarded, train, train_step
from autoaug.train._loss import MinibatchLoss, smallest_part
from autoaug.train._optimisers import OPTIMISER_FIELDS, OPTIMISERS, fields_read, rate_caution
from autoaug.train._order import epoch_order
from autoaug.train._recipes import RECIPES, Recipe
from autoaug.train._run import TrainingRun, pick_device
from autoaug.train._schedules import SCHEDULES, ScheduleRule, learning_rate
from autoaug.train._standard import resolved_standard
from autoaug.train._task import SAME_IN_ALL_TRIALS, Task, spelt

__all__ = [
    "LOSSES",
    "OPTIMISERS",
    "OPTIMISER_FIELDS",
    "RECIPES",
    "SAME_IN_ALL_TRIALS",
    "SCHEDULES",
    "Criterion",
    "Diverged",
    "Learner",
    "MinibatchLoss",
    "NullLearner",
    "Recipe",
    "ScheduleRule",
    "Task",
    "TrainingRun",
    "batches",
    "criterion_of",
    "epoch_order",
    "evaluate",
    "fields_read",
    "global_generators_guarded",
    "learning_rate",
    "pick_device",
    "rate_caution",
    "resolved_standard",
    "smallest_part",
    "spelt",
    "train",
    "train_step",
]
