"""What is trained, and how: augmented epochs, then refinement epochs, one Record for each.

He et al. 2019, "Data Augmentation Revisited", algorithm 1: first train on augmented data, then a few epochs on
data with the standard augmentation only, at the learning rate that the schedule ended with, nothing reset.
"""

from autoaug.train.figures import Diverged
from autoaug.train.loop import smallest_part, train
from autoaug.train.run import Learner, Run
from autoaug.train.task import SAME_IN_ALL_TRIALS, Task, learning_rate

__all__ = ["SAME_IN_ALL_TRIALS", "Diverged", "Learner", "Run", "Task", "learning_rate", "smallest_part", "train"]
