"""Does mixup with α = 1 lower the error on small images?

Figure 3 of Zhang et al. 2018, "mixup": CIFAR-10 and CIFAR-100 by three networks. The table in it is an image; the text
has two of its figures again, as the first and second row of table 5.

Paper     CIFAR-10, PreActResNet-18, 200 epochs, α = 1: error 5.53 → 4.24 (table 5, weight decay 1e-4)
Small     `study`: 100 digits of 8 x 8 pixels; `cifar`: 1,000 images of CIFAR-10 at 16 x 16 from data/cifar10.npz. Both
          are trained for much less long than in the paper, which favours plain training
Cost      2 arms x 16 seeds, about 1 CPU-minute; `cifar` 2 x 6, about 4
Answer    100 digits, test accuracy of 16 runs with 95 % intervals (2026-11-27): erm 93.6 ± .7, mixup 93.9 ± .5; +.32
          points of [-.55, 1.19] cannot be told from chance. `cifar` (6 runs, 2026-11-28): erm 44.6 ± .7, mixup 42.1 ±
          1.5; against the paper mixup loses 2.5 points of [1.3, 3.8] in 20 epochs of 1,000 images
"""

from typing import Any

from autoaug import Budget, Study, Task
from autoaug.strategies import none
from autoaug.train import RECIPES

PUBLISHED = {"erm": "5.53", "mixup": "4.24"}
"""Error in percent, CIFAR-10, PreActResNet-18."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

ARMS = {"erm": none(), "mixup": none().mixed("mixup", alpha=1.0)}

study = Study(
    name="mixup-figure-3",
    task=Task(data="digits-100", model="convnet", epochs=40, batch_size=25),
    strategies=ARMS,
    baseline="erm",
    budget=Budget(trials=1),
    seeds=16,
)

cifar = Study(
    name="mixup-figure-3-cifar",
    task=Task(data="data/cifar10.npz:reduced=100", size=16, model="convnet", epochs=20, batch_size=50),
    strategies=ARMS,
    baseline="erm",
    budget=Budget(trials=1),
    seeds=6,
)

NETWORKS: dict[str, dict[str, Any]] = {
    "": {},
    "-wrn-28-10": {"model": "wrn-28-10", "milestones": (60, 120, 180)},
    "-densenet": {"model": "densenet-bc-190-40"},
}


def on(data: str) -> Study:
    """Return the study of three networks on one of the two datasets."""
    return Study(
        name=f"mixup-figure-3-paper-{data}",
        task=Task(**RECIPES["mixup-2018-cifar"], data=data, model="preactresnet-18"),
        strategies={f"{arm}{name}": ARMS[arm].trained(**own) for name, own in NETWORKS.items() for arm in ARMS},
        baseline="erm",
        budget=Budget(trials=1),
        seeds=1,
    )


paper = on("cifar10")
paper_100 = on("cifar100")
