"""How many epochs of a fixed total should refine?

Figure 3 of He et al. 2019, "Data Augmentation Revisited": all trainings are equally long, and the last M epochs are
without mixup. The learning rate falls when it does without refinement.

Paper     CIFAR-100, PreActResNet-18, mixup, 400 epochs in all, steps at 150 and 275, 5 seeds; its points are drawn and
          not given, so that the values of M in `paper` are ours
Small     `study`: 100 digits of 8 x 8 pixels, always cropped, mixup, 48 epochs in all, steps at 18 and 33
Cost      5 arms x 10 seeds, about 80 CPU-seconds
Answer    test accuracy of 10 runs with 95 % intervals (2026-11-27): the last 0, 1, 3, 6 and 12 of 48 epochs refine:
          93.3 ± .7, 93.3 ± .6, 93.2 ± .7, 93.4 ± .5, 93.7 ± .7. An eighth against none +.11 points of [-.39, .61]: the
          curve of the paper cannot be told from a flat line here, though the log-likelihood falls from the first epoch
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy, none
from studies.refined.table_1 import as_published

PUBLISHED: dict[str, str] = {}
"""The paper draws the figure and gives no numbers."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""


def arms(total: int, *refine_epochs: int) -> dict[str, Strategy]:
    """Return mixup with each number of last epochs that refine, of a total that is the same for all."""
    mixup = none().mixed("mixup", alpha=1.0)
    return {f"last-{last}": mixup.trained(total_epochs=total, refine_epochs=last) for last in refine_epochs}


study = Study(
    name="refined-figure-3",
    task=Task(
        data="digits-100",
        model="convnet",
        standard="crop",
        total_epochs=48,
        batch_size=25,
        schedule="step",
        milestones=(18, 33),
    ),
    strategies=arms(48, 0, 1, 3, 6, 12),
    baseline="last-0",
    budget=Budget(trials=1),
    seeds=10,
)

paper = as_published(
    "refined-figure-3-paper", "he-2019-cifar", arms(400, 0, 10, 25, 50, 100), baseline="last-0", seeds=5
)
