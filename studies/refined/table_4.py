"""Does refinement improve whatever strength of a mix and whatever policy a network was trained with?

Table 4 of He et al. 2019, "Data Augmentation Revisited": mixes at two strengths each and policies found on two
datasets, without refinement and with it.

Paper     Tiny-ImageNet, PreActResNet-18, 400 epochs and 50 of refinement, the last epoch: mixup α = .2 63.08 → 64.20,
          α = .5 63.34 → 65.08, manifold mixup 63.28 → 64.33 and 64.43 → 65.80, CutMix p = .5 64.61 → 65.59, p = 1
          65.23 → 65.87, AutoAugment's policy of CIFAR 64.29 → 65.12, of ImageNet 60.65 → 61.75. The best epoch, which
          the paper gives too, is chosen on the test images and is not measured here
Small     `study`: 100 digits of 8 x 8 pixels, always cropped, 40 epochs and 6 of refinement. What refinement
          brings in the mean of the eight methods is a claim
Cost      17 arms x 10 seeds, 5 CPU-minutes
Answer    agrees: refinement adds .49 points of [.33, .65] in the mean of the eight methods (10 runs each, 2026-11-28).
          Test accuracy with 95 % intervals, without and with it: mixup α = .2 93.9 ± .5 and 93.9 ± .5, α = .5 93.7 ± .5
          and 93.7 ± .6, manifold mixup 93.5 ± .7 and 93.7 ± .8, 94.0 ± .6 and 94.0 ± .7, CutMix p = .5 93.9 ± .5 and
          94.9 ± .4, p = 1 93.8 ± .5 and 94.6 ± .6, AutoAugment's policy of CIFAR 91.6 ± 1.0 and 92.8 ± .6, of ImageNet
          93.1 ± .8 and 93.8 ± .8. All of it comes from CutMix and AutoAugment; moderate alone has 93.0 ± .5. Whether
          refined mixup is better with α = .5 than with .2, as in the paper, cannot be told (-.2 of [-.8, .5])
"""

from autoaug import Budget, Study, Task
from autoaug.data import tiny_imagenet
from autoaug.strategies import none, published
from studies.refined.table_1 import arms, as_published

PUBLISHED = {
    "moderate": "60.68",
    "mixup-0.2": "63.08",
    "mixup-0.2-refined": "64.20",
    "mixup-0.5": "63.34",
    "mixup-0.5-refined": "65.08",
    "manifold-mixup-0.2": "63.28",
    "manifold-mixup-0.2-refined": "64.33",
    "manifold-mixup-0.5": "64.43",
    "manifold-mixup-0.5-refined": "65.80",
    "cutmix-0.5": "64.61",
    "cutmix-0.5-refined": "65.59",
    "cutmix-1": "65.23",
    "cutmix-1-refined": "65.87",
    "autoaugment-cifar": "64.29",
    "autoaugment-cifar-refined": "65.12",
    "autoaugment-imagenet": "60.65",
    "autoaugment-imagenet-refined": "61.75",
}
"""Accuracy in percent of the last epoch on the validation images of Tiny-ImageNet."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

METHODS = {
    "mixup-0.2": none().mixed("mixup", alpha=0.2),
    "mixup-0.5": none().mixed("mixup", alpha=0.5),
    "manifold-mixup-0.2": none().mixed("manifold-mixup", alpha=0.2),
    "manifold-mixup-0.5": none().mixed("manifold-mixup", alpha=0.5),
    "cutmix-0.5": none().mixed("cutmix", alpha=1.0, probability=0.5),
    "cutmix-1": none().mixed("cutmix", alpha=1.0),
    "autoaugment-cifar": published("cifar10").mixed("cutout", size=0.5),
    "autoaugment-imagenet": published("imagenet"),
}
MODERATE = {"moderate": none().trained(refine_epochs=0)}

study = Study(
    name="refined-table-4",
    task=Task(data="digits-100", model="convnet", standard="crop", epochs=40, batch_size=25),
    strategies=MODERATE | arms(6, METHODS),
    baseline="moderate",
    budget=Budget(trials=1),
    seeds=10,
)

paper = as_published(
    "refined-table-4-paper",
    "he-2019-tiny-imagenet",
    MODERATE | arms(50, METHODS),
    data=tiny_imagenet("data/tiny-imagenet-200"),
)
