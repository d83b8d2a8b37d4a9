"""Which masks mix two images best where all training images are cropped and resized at random?

Table 3 of Park, Yun and Chun 2022, "A Unified Analysis of Mixed Sample Data Augmentation": ImageNet-1K by ResNet-50.

Paper     top-1 accuracy: vanilla 75.68, mixup 77.78, CutMix 78.04, mixup or CutMix 78.13, HMix 78.38, GMix 78.13.
          Neither α nor HMix's ratio nor how it was trained is on the slides: here α = 1, a ratio of .5 (that of their
          figure), every image mixed, and the 200 epochs of the mixup paper
Small     `study`: 100 digits of 8 x 8 pixels, resized crops of half the area and more, and a residual network of 78,000
          parameters, 40 epochs. `photos`: 10 classes of ImageNet at 64 pixels
Cost      `study` 6 arms x 8 seeds, 1.6 CPU-minutes
Answer    `study`, accuracy of 8 runs with 95 % intervals (2026-11-28): vanilla 93.9 ± .9, mixup 92.3 ± 1.0, CutMix 92.5
          ± .6, mixup or CutMix 93.6 ± 1.0, HMix 92.5 ± 1.5, GMix 93.5 ± 1.2. Against the paper mixup and CutMix are
          worse than no mix beside resized crops, by 1.7 points of [.1, 3.3] and 1.5 of [.3, 2.7]; with a crop by a
          pixel, in `table_2`, they are better. Whether HMix is better than mixup, CutMix or one of the two cannot be
          told (.2 of [-1.1, 1.6], .0 of [-1.4, 1.4], -1.1 of [-2.7, .5]). `photos` was not run
"""

from autoaug import Study, Task
from autoaug.train import RECIPES
from studies.msda import table_2

PUBLISHED = {
    "vanilla": "75.68",
    "mixup": "77.78",
    "cutmix": "78.04",
    "mixup-or-cutmix": "78.13",
    "hmix": "78.38",
    "gmix": "78.13",
}
"""Top-1 accuracy in percent, ImageNet."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""


def setting(name: str, task: Task, seeds: int) -> Study:
    """Return a study of the methods of the table with one task."""
    methods = {method: table_2.METHODS[method] for method in PUBLISHED}
    return table_2.setting(name, task, seeds, methods)


study = setting(
    "msda-table-3",
    Task(data="digits-100", model="wrn-10-1", standard="resized-crop(0.5-1)", epochs=40, batch_size=25),
    seeds=8,
)
photos = setting(
    "msda-table-3-photos",
    Task(data="data/imagenette224", size=64, model="photo-resnet-8", epochs=12, batch_size=50),
    seeds=3,
)
paper = setting(
    "msda-table-3-paper",
    Task(
        **RECIPES["mixup-2018-imagenet-200"],
        data="imagenet",
        model="resnet-50",
        standard="resized-crop+flip",
    ),
    seeds=1,
)
