"""How far from clean training images do augmented ones lead a network, and does refinement bring it back?

Table 2 of He et al. 2019, "Data Augmentation Revisited": the cross-entropy of training images as a training step sees
them and as they are, at the end of the augmented epochs and at the end of refinement.

Paper     CIFAR-100, PreActResNet-18, 400 epochs and 50 of refinement, in thousandths of a nat. Augmented and clean:
          moderate 3.3 and 1.1, mixup 1356 and 98, manifold mixup 1253 and 67, CutMix 785 and 14, AutoAugment 245 and
          .9; clean after refinement 1.0, 2.4, 2.2, .8 and .8
Small     `study`: 100 digits of 8 x 8 pixels, always cropped, 40 epochs and 6 of refinement, as in table 1; both losses
          are rows of the diagnostic `cross_entropy`
Cost      5 arms x 8 seeds, each trained twice: 90 seconds
Answer    8 runs with 95 % intervals, in thousandths of a nat (2026-11-28). Augmented and clean: moderate 4.7 ± .9 and
          2.5 ± .6, mixup 962 ± 40 and 79 ± 7, manifold mixup 879 ± 58 and 65 ± 9, CutMix 724 ± 51 and 75 ± 6,
          AutoAugment 1138 ± 90 and 98 ± 13; clean after refinement 1.8 ± .2, 85 ± 3, 70 ± 5, 51 ± 6, 115 ± 9. As in the
          paper all but moderate leave the network far from both kinds of images. Refinement halves the augmented loss
          and more, but lowers the clean one after moderate and CutMix only: 24 steps at the last rate of the cosine may
          be too few and too small to fit images that were never seen clean. And AutoAugment leaves the largest losses
          here, in the paper nearly none: shifts and shears are strong for 8 x 8 pixels
"""

from autoaug import Budget, Study, Task
from studies.refined.table_1 import METHODS, as_published

PUBLISHED = {
    "moderate": "3.3, 1.1 → 1.0 clean",
    "mixup": "1356, 98 → 4.7, 2.4",
    "manifold-mixup": "1253, 67 → 4.2, 2.2",
    "cutmix": "785, 14 → 1.9, .8",
    "autoaugment": "245, .9 → 1.5, .8",
}
"""Cross-entropy in thousandths of a nat, augmented and clean, before → after refinement."""

DIAGNOSED = ("cross_entropy",)
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

study = Study(
    name="refined-table-2",
    task=Task(data="digits-100", model="convnet", standard="crop", epochs=40, refine_epochs=6, batch_size=25),
    strategies=METHODS,
    baseline="moderate",
    budget=Budget(trials=1),
    seeds=8,
)

paper = as_published("refined-table-2-paper", "he-2019-cifar", METHODS)
