"""Does longer training with AutoAugment pay once refinement ends it?

Table 3 of He et al. 2019, "Data Augmentation Revisited": N epochs with AutoAugment, few and many, without refinement
and with M epochs of it.

Paper     CIFAR-100, PreActResNet-18: N = 400, M = 50 79.3 → 80.0; N = 1000, M = 200 78.5 → 80.5. WRN-28-10, in
          `wrn_28_10`: N = 200, M = 50 83.7 → 84.2; N = 400, M = 50 83.8 → 84.7
Small     `study`: 100 digits of 8 x 8 pixels, always cropped; N = 40 and M = 6, N = 120 and M = 20
Cost      4 arms x 12 seeds: 170 seconds
Answer    test accuracy of 12 runs with 95 % intervals (2026-11-28): short 91.6 ± .8, refined 92.6 ± .6; long 94.1 ± .8,
          refined 94.4 ± .5. Agrees: with refinement long training is better, by 1.8 points of [1.0, 2.6]. Disagrees:
          without it long training is better too, by 2.6 of [1.9, 3.3], and refinement gives the long one less, by .8 of
          [.0, 1.5]. 40 epochs of 4 steps are far from too long
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy
from studies.refined.table_1 import METHODS, WIDE_AUTOAUGMENT, as_published

PUBLISHED = {"short": "79.3", "short-refined": "80.0", "long": "78.5", "long-refined": "80.5"}
"""Test accuracy in percent, CIFAR-100 and PreActResNet-18."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

AUTOAUGMENT = METHODS["autoaugment"]


def arms(short: tuple[int, int], long: tuple[int, int], method: Strategy = AUTOAUGMENT) -> dict[str, Strategy]:
    """Return a method with few augmented epochs and with many, without refinement and with it.

    Args:
        short: N and M.
        long: N and M.
        method: what is trained with.
    """
    return {
        "short": method.trained(epochs=short[0], refine_epochs=0),
        "short-refined": method.trained(epochs=short[0], refine_epochs=short[1]),
        "long": method.trained(epochs=long[0], refine_epochs=0),
        "long-refined": method.trained(epochs=long[0], refine_epochs=long[1]),
    }


study = Study(
    name="refined-table-3",
    task=Task(data="digits-100", model="convnet", standard="crop", epochs=40, batch_size=25),
    strategies=arms((40, 6), (120, 20)),
    baseline="short",
    budget=Budget(trials=1),
    seeds=12,
)

paper = as_published("refined-table-3-paper", "he-2019-cifar", arms((400, 50), (1000, 200)), baseline="short")

wrn_28_10 = as_published(
    "refined-table-3-wrn-28-10",
    "he-2019-cifar-wrn-28-10",
    arms((200, 50), (400, 50), AUTOAUGMENT.trained(**WIDE_AUTOAUGMENT)),
    baseline="short",
    model="wrn-28-10",
)
