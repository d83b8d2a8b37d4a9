"""Which products of input gradients are left small by mixup, and which by CutMix?

Figure 4 of Park, Yun and Chun 2022, "A Unified Analysis of Mixed Sample Data Augmentation": for each offset p the
largest |∂_v f| |∂_(v+p) f| over images and pixels v, after training without a mix, with mixup and with CutMix.

Paper     a figure without numbers, and the theory: mixup weighs all products in the loss alike, CutMix the more the
          nearer two pixels are. Set against the middle of the map, a pixel with itself, what is far should then be left
          larger by CutMix than by mixup. That is the row `gradient_map`, whose `beside` is the mean of the map outside
          its middle; neither data nor network of the figure are on the slides
Small     `study`: 100 digits of 8 x 8 pixels, 60 epochs, 64 of 100 validation images. The map reaches 16 pixels, and
          an offset that no two pixels have counts as 0: with 8 pixels a side that divides `beside` by 4.9, in all arms.
          `cifar`: 2,000 images of CIFAR-10 at 16 x 16 pixels
Cost      `study` 3 arms x 10 seeds, each trained twice: 83 seconds
Answer    cannot be told, mean of the map beside its middle over 10 runs with 95 % intervals (2026-11-28): vanilla .222
          ± .044, mixup .251 ± .043, CutMix .238 ± .037; CutMix to mixup -.01 of [-.08, .05]. Largest values of 64
          images are rough figures. `cifar` was not run
"""

from autoaug import Task
from autoaug.data import subset
from autoaug.train import RECIPES
from studies.msda import table_2

PUBLISHED: dict[str, str] = {}
"""Of the arms: the slides show maps, and no figures."""

DIAGNOSED = ("gradient_map",)
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

METHODS = {name: table_2.METHODS[name] for name in ("vanilla", "mixup", "cutmix")}

study = table_2.setting(
    "msda-gradient-map",
    Task(data=subset("digits", train=100, val=100), model="convnet", standard="crop", epochs=60, batch_size=25),
    seeds=10,
    methods=METHODS,
)
cifar = table_2.setting(
    "msda-gradient-map-cifar",
    Task(data="data/cifar10.npz:reduced=200", size=16, model="convnet", epochs=20, batch_size=50),
    seeds=5,
    methods=METHODS,
)
paper = table_2.setting(
    "msda-gradient-map-paper",
    Task(**RECIPES["mixup-2018-cifar"], data="cifar100", model="preactresnet-18"),
    seeds=3,
    methods=METHODS,
)
