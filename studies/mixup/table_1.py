"""Does mixup lower the error of image classification, and more so for deeper networks and longer training?

Table 1 of Zhang et al. 2018, "mixup": ImageNet by networks of growing size, 90 epochs and 200.

Paper     top-1 / top-5 errors: ResNet-50 23.5 → 23.3, in 200 epochs 23.6 → 22.1; ResNet-101 22.1 → 21.5 and 22.0 →
          20.8; ResNeXt-101 32*4d 21.2 → 20.7 and 21.3 → 20.1; 64*4d 20.4 → 19.8. "For large α, mixup leads to
          underfitting", section 3.1
Small     `study`: 100 digits of 8 x 8 pixels, where α = .2 shows within seconds; a network of 18,000 parameters and, as
          the deeper one, WRN-10-1 of 78,000; 30 epochs, and 60 as the longer training
Cost      7 arms x 12 seeds, about 2 CPU-minutes
Answer    test accuracy of 12 runs with 95 % intervals (2026-11-27): erm 93.4 ± .8, mixup 93.8 ± .5; deeper 90.2 ± .8
          and 90.7 ± .9; longer 93.7 ± .9 and 94.5 ± .5; mixup with α = 8 93.4 ± .5. All differences have the paper's
          sign and none can be told from chance: mixup +.36 points of [-.34, 1.05], .40 of [-.33, 1.13] more in longer
          training, .15 of [-1.02, 1.31] more in the deeper network
"""

from typing import Any

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy, none
from autoaug.train import RECIPES

PUBLISHED = {
    "erm": "23.5 / -",
    "mixup": "23.3 / 6.6",
    "erm-deeper": "22.1 / -",
    "mixup-deeper": "21.5 / 5.6",
    "erm-resnext-32": "21.2 / 5.6",
    "mixup-resnext-32": "20.7 / 5.3",
    "erm-resnext-64": "20.4 / 5.3",
    "mixup-resnext-64": "19.8 / 4.9",
    "erm-longer": "23.6 / 7.0",
    "mixup-longer": "22.1 / 6.1",
    "erm-deeper-longer": "22.0 / 6.1",
    "mixup-deeper-longer": "20.8 / 5.4",
    "erm-resnext-32-longer": "21.3 / 5.9",
    "mixup-resnext-32-longer": "20.1 / 5.0",
}
"""Top-1 and top-5 error in percent, ImageNet. ResNeXt 64*4d without mixup had 100 epochs."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""


def pair(name: str, alpha: float = 0.2, **task_fields: Any) -> dict[str, Strategy]:
    """Return a network without mixup and with it; `name` is what its arms are called beside that."""
    plain = none().trained(**task_fields)
    return {f"erm{name}": plain, f"mixup{name}": plain.mixed("mixup", alpha=alpha)}


study = Study(
    name="mixup-table-1",
    task=Task(data="digits-100", model="convnet", epochs=30, batch_size=25),
    strategies={
        **pair(""),
        **pair("-deeper", model="wrn-10-1"),
        **pair("-longer", epochs=60),
        "mixup-strong": none().mixed("mixup", alpha=8.0),
    },
    baseline="erm",
    budget=Budget(trials=1),
    seeds=12,
)

LONGER: dict[str, Any] = {"epochs": 200, "milestones": (60, 120, 180)}

paper = Study(
    name="mixup-table-1-paper",
    task=Task(**RECIPES["mixup-2018-imagenet-90"], data="imagenet", model="resnet-50"),
    strategies={
        **pair(""),
        **pair("-deeper", model="resnet-101"),
        **pair("-resnext-32", 0.4, model="resnext-101-32x4d"),
        **pair("-resnext-64", 0.4, model="resnext-101-64x4d"),
        **pair("-longer", **LONGER),
        **pair("-deeper-longer", model="resnet-101", **LONGER),
        **pair("-resnext-32-longer", 0.4, model="resnext-101-32x4d", **LONGER),
    },
    baseline="erm",
    budget=Budget(trials=1),
    seeds=1,
)
