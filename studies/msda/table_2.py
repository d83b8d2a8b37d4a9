"""Which masks mix two images best: one share everywhere, a box, or something between the two?

Table 2 of Park, Yun and Chun 2022, "A Unified Analysis of Mixed Sample Data Augmentation": CIFAR-100 by five networks.

Paper     PreActResNet-18: vanilla 76.73, mixup 77.21, CutMix 78.66, PuzzleMix 79.38, mixup or CutMix 79.25, HMix 79.25,
          GMix 79.17; ResNet-56 73.23, 73.12, 74.83, -, 74.88, 74.99, 75.75; the other networks stand in `NETWORKS`.
          Neither α nor HMix's ratio nor how it was trained is on the slides: here α = 1, a ratio of .5 (that of their
          figure), every image mixed, and the recipe of the mixup paper, whose network it is
Small     `study`: 100 digits of 8 x 8 pixels, 60 epochs, as masks want longer trainings; boxes are coarse there.
          `cifar`: 2,000 images of CIFAR-10 at 16 x 16 pixels, 20 epochs
Cost      `study` 7 arms x 12 seeds, 2 to 5 CPU-seconds a run: 4 CPU-minutes on a busy machine
Answer    `study`, 12 seeds (2026-11-27), accuracy: vanilla 93.0, mixup 94.7, CutMix 94.9, PuzzleMix 94.5, mixup or
          CutMix 94.3, HMix 94.7, GMix 94.6. Every mix is better than none, as published, by 1.3 to 1.8 points, and
          PuzzleMix takes 2.6 times as long as CutMix, where the paper says twice. Between masks little can be told:
          CutMix and mixup differ by .14 ± .47, and neither HMix, GMix nor PuzzleMix is seen to be better than those.
          One of the two at random is worse than CutMix by .58 ± .52, against the paper. `cifar` (n = 3, 2026-11-28):
          vanilla 52.8 ± 2.1, mixup 48.9 ± .8, CutMix 45.9 ± .9, PuzzleMix 47.9 ± 1.3, mixup or CutMix 47.7 ± .9, HMix
          48.9 ± 1.0, GMix 49.1 ± 4.2: in 20 epochs of 2,000 images every mix harms, CutMix the most
"""

from collections.abc import Mapping

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy, none
from autoaug.train import RECIPES

PUBLISHED = {
    "vanilla": "76.73",
    "mixup": "77.21",
    "cutmix": "78.66",
    "puzzlemix": "79.38",
    "mixup-or-cutmix": "79.25",
    "hmix": "79.25",
    "gmix": "79.17",
}
"""Accuracy in percent, CIFAR-100 by PreActResNet-18."""

NETWORKS = {
    "resnet-56": ("73.23", "73.12", "74.83", "-", "74.88", "74.99", "75.75"),
    "wrn-28-2": ("73.50", "74.05", "74.79", "76.51", "75.49", "75.68", "76.15"),
    "preactresnet-34": ("77.68", "79.02", "80.05", "80.89", "81.05", "81.07", "80.52"),
    "preactresnet-50": ("79.07", "79.34", "81.23", "82.46", "81.21", "81.38", "81.45"),
}
"""What was published of the other networks, in the order of `PUBLISHED`."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

METHODS = {
    "vanilla": none(),
    "mixup": none().mixed("mixup", alpha=1.0),
    "cutmix": none().mixed("cutmix", alpha=1.0),
    "puzzlemix": none().mixed("puzzlemix"),
    "mixup-or-cutmix": none().mixed("mixup-or-cutmix", alpha=1.0, switch=0.5),
    "hmix": none().mixed("hmix", alpha=1.0, ratio=0.5),
    "gmix": none().mixed("gmix", alpha=1.0),
}


def setting(name: str, task: Task, seeds: int, methods: Mapping[str, Strategy] = METHODS) -> Study:
    """Return a study of methods with one task."""
    return Study(name=name, task=task, strategies=methods, baseline="vanilla", budget=Budget(trials=1), seeds=seeds)


def published_setting(network: str) -> Study:
    """Return the setting of the paper with one of its networks."""
    task = Task(**RECIPES["mixup-2018-cifar"], data="cifar100", model=network)
    return setting("msda-table-2-paper" if network == "preactresnet-18" else f"msda-table-2-{network}", task, seeds=3)


study = setting(
    "msda-table-2", Task(data="digits-100", model="convnet", standard="crop", epochs=60, batch_size=25), seeds=12
)
cifar = setting(
    "msda-table-2-cifar",
    Task(data="data/cifar10.npz:reduced=200", size=16, model="convnet", epochs=20, batch_size=50),
    seeds=3,
)

paper = published_setting("preactresnet-18")
resnet_56 = published_setting("resnet-56")
wrn_28_2 = published_setting("wrn-28-2")
preactresnet_34 = published_setting("preactresnet-34")
preactresnet_50 = published_setting("preactresnet-50")
