"""What is trained, and how: augmented epochs, then refinement epochs, one Record for each.

He et al. 2019, "Data Augmentation Revisited", algorithm 1: first train on augmented data, then a few epochs on
data with the standard augmentation only, at the learning rate that the schedule ended with, nothing reset.
"""

from autoaug.train._criterion import LOSSES, Criterion, criterion_of
from autoaug.train._fading import check_fading, partly, weakened
from autoaug.train._figures import Diverged, finite_figures, snapshot
from autoaug.train._learner import Learner, NullLearner
from autoaug.train._lesson import Labelled, Lesson
from autoaug.train._loop import batches, evaluate, global_generators_guarded, train, train_step
from autoaug.train._loss import MinibatchLoss, smallest_part
from autoaug.train._optimisers import OPTIMISER_FIELDS, OPTIMISERS, fields_read, rate_caution
from autoaug.train._order import epoch_order
from autoaug.train._phases import MIX_WHEN, annealed_epochs, check_epochs, divided, mix_share, policy_share
from autoaug.train._recipes import RECIPES, Recipe
from autoaug.train._run import TrainingRun, check_mix, pick_device, spawn
from autoaug.train._schedules import SCHEDULES, ScheduleRule, learning_rate
from autoaug.train._standard import apply_standard, resolved_standard, shown_size
from autoaug.train._task import READ_BY_LOOPS, SAME_IN_ALL_TRIALS, Task, spelt

__all__ = [
    "LOSSES",
    "MIX_WHEN",
    "OPTIMISERS",
    "OPTIMISER_FIELDS",
    "READ_BY_LOOPS",
    "RECIPES",
    "SAME_IN_ALL_TRIALS",
    "SCHEDULES",
    "Criterion",
    "Diverged",
    "Labelled",
    "Learner",
    "Lesson",
    "MinibatchLoss",
    "NullLearner",
    "Recipe",
    "ScheduleRule",
    "Task",
    "TrainingRun",
    "annealed_epochs",
    "apply_standard",
    "batches",
    "check_epochs",
    "check_fading",
    "check_mix",
    "criterion_of",
    "divided",
    "epoch_order",
    "evaluate",
    "fields_read",
    "finite_figures",
    "global_generators_guarded",
    "learning_rate",
    "mix_share",
    "partly",
    "pick_device",
    "policy_share",
    "rate_caution",
    "resolved_standard",
    "shown_size",
    "smallest_part",
    "snapshot",
    "spawn",
    "spelt",
    "train",
    "train_step",
    "weakened",
]
