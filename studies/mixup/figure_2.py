"""Are networks that were trained with mixup steadier in between training images?

Figure 2 of Zhang et al. 2018, "mixup": along λ x_i + (1 - λ) x_j, how often neither class is predicted, and the norm of
the gradient of the loss with respect to the input.

Paper     curves, no figures: fewer misses and smaller gradients with mixup. Data and network are not given; here those
          of section 3.2, PreActResNet-18 on CIFAR-10, α = 1
Small     `study`: 100 digits of 8 x 8 pixels. Pairs are of training images, as in the paper
Cost      2 arms x 10 seeds, trained twice, about 1 CPU-minute
Answer    agrees, 10 runs with 95 % intervals (2026-11-27): misses .078 ± .019 → .0034 ± .0010 of the pairs and shares
          of λ, the gradient's norm 4.16 ± .33 → 1.10 ± .02. Accuracy is the same, 93.5 ± 1.2 and 93.7 ± .5
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import none
from autoaug.train import RECIPES

PUBLISHED: dict[str, str] = {}
"""Curves alone."""

DIAGNOSED = ("in_between",)
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

ARMS = {"erm": none(), "mixup": none().mixed("mixup", alpha=1.0)}

study = Study(
    name="mixup-figure-2",
    task=Task(data="digits-100", model="convnet", epochs=40, batch_size=25),
    strategies=ARMS,
    baseline="erm",
    budget=Budget(trials=1),
    seeds=10,
)

paper = Study(
    name="mixup-figure-2-paper",
    task=Task(**RECIPES["mixup-2018-cifar"], data="cifar10", model="preactresnet-18"),
    strategies=ARMS,
    baseline="erm",
    budget=Budget(trials=1),
    seeds=3,
)
