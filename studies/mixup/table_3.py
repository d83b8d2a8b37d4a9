"""Are networks that were trained with mixup harder to fool by small changes of their images?

Table 3 of Zhang et al. 2018, "mixup": attacks in one step (FGSM) and in ten (I-FGSM), of at most 4 of 255 for each
pixel, made with the network itself (white box) and with another one that was trained without mixup (black box).

Paper     ResNet-101, ImageNet, top-1 errors: white box FGSM 90.7 → 75.2, I-FGSM 99.9 → 99.6; black box FGSM 57.0 →
          46.0, I-FGSM 57 → 40, as far as these two can be read. It uses the networks of table 1
Small     `study`: 100 digits of 8 x 8 pixels, whose 17 levels of grey make 4 of 255 a quarter of a level and little to
          be fooled by; `cifar`: 1,000 images of CIFAR-10 at 16 x 16 from data/cifar10.npz
Cost      2 arms x 10 seeds, trained twice, about 1 CPU-minute; `cifar` 2 x 6, about 8
Answer    cannot be told, errors in percent of 10 runs with 95 % intervals (2026-11-27), erm and mixup: as they are 6.7
          ± 1.3 and 6.5 ± .5, white box FGSM 10.4 ± 1.6 and 9.9 ± .6, I-FGSM 10.5 ± 1.5 and 10.0 ± .6; black box FGSM
          8.1 ± 1.4 and 7.8 ± .5. Attacks cost both about three points, for so small a change fools few. `cifar` (6
          runs, 2026-11-28): as they are 55.4 ± .7 and 57.0 ± .5, white box FGSM 84.1 ± 1.4 and 80.3 ± 2.3, I-FGSM 85.9
          ± 1.1 and 81.8 ± 2.3, black box FGSM 68.3 ± 2.4 and 67.9 ± 2.0. Agrees in a white box: mixup, which is worse
          by 1.6 points without an attack, is better under FGSM by 3.7 of [2.4, 5.1]
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import none
from autoaug.train import RECIPES

PUBLISHED = {"erm": "90.7 / 99.9, black box 57.0 / 57", "mixup": "75.2 / 99.6, black box 46.0 / 40"}
"""Top-1 error in percent after FGSM / I-FGSM, ImageNet."""

DIAGNOSED = ("white_box", "black_box")
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

ARMS = {"erm": none(), "mixup": none().mixed("mixup", alpha=0.2)}

study = Study(
    name="mixup-table-3",
    task=Task(data="digits-100", model="convnet", epochs=40, batch_size=25),
    strategies=ARMS,
    baseline="erm",
    budget=Budget(trials=1),
    seeds=10,
)

cifar = Study(
    name="mixup-table-3-cifar",
    task=Task(data="data/cifar10.npz:reduced=100", size=16, model="convnet", epochs=20, batch_size=50),
    strategies=ARMS,
    baseline="erm",
    budget=Budget(trials=1),
    seeds=6,
)

paper = Study(
    name="mixup-table-3-paper",
    task=Task(**RECIPES["mixup-2018-imagenet-90"], data="imagenet", model="resnet-101"),
    strategies=ARMS,
    baseline="erm",
    budget=Budget(trials=1),
    seeds=1,
)
