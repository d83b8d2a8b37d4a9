"""Which parts of mixup matter: inputs or labels, which partners, which layer?

Table 5 of Zhang et al. 2018, "mixup", section 3.8: mixup against mixing latent representations, mixing inputs only,
smoothing labels and adding noise. Partners are of all classes (AC) or of the same one (SC), random pairs (RP) or among
the nearest neighbours (KNN).

Paper     CIFAR-10, PreActResNet-18, 200 epochs, medians of the errors of the last ten; two weight decays. mixup is the
          best with 4.24, then layers 1 and 2 with 4.44 and 4.56; mixing inputs and smoothing labels 4.98 at best, all
          else above 5, but neighbours with 4.98. Gaussian noise makes it worse
Small     `study`: 100 digits of 8 x 8 pixels, WRN-10-1, whose three stages and head are layers 1, 2, 3 and 5; 5
          neighbours in place of 200, since a class has 10 images. One weight decay, the platform's 5e-4; test accuracy
          of the last epoch. Of each method the paper's ε and σ
Cost      21 arms x 6 seeds, 4 CPU-minutes
Answer    test errors of 6 runs with 95 % intervals (2026-11-28): erm 10.3 ± .8, mixup 9.7 ± 1.5, with neighbours 11.2 ±
          1.7; layers 1, 2, 3 and 5 8.9 ± 1.3, 9.7 ± 1.3, 8.6 ± .7, 9.4 ± .5; inputs alone 9.7 ± .5, of one class 11.2 ±
          .9, neighbours 11.6 ± 2.0, both 11.3 ± 1.0; smoothing alone 9.8 to 10.6, with inputs 9.4 to 9.8; noise of .05,
          .1 and .2 10.2 ± 1.6, 9.8 ± .6, 7.8 ± .8. Disagrees: the strongest noise is the best of all 21 arms, 2.4
          points better than erm, of [1.3, 3.5]; digits of 8 x 8 pixels with 17 shades bear more of it than photos.
          Whether mixup is better than mixing inputs alone (.0 of [-1.6, 1.7]), random partners than neighbours (1.5 of
          [-.3, 3.3]) and the first layer than the last (.5 of [-1.0, 2.0]) cannot be told
"""

from collections.abc import Mapping

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy, none
from autoaug.train import RECIPES

PUBLISHED = {
    "erm": "5.53",
    "mixup": "4.24",
    "neighbours": "4.98",
    "layer-1": "4.44",
    "layer-2": "4.56",
    "layer-3": "5.39",
    "layer-4": "5.95",
    "layer-5": "5.39",
    "inputs-same-class-neighbours": "5.45",
    "inputs-neighbours": "5.43",
    "inputs-same-class": "5.23",
    "inputs": "5.17",
    "smoothing-0.05": "5.25",
    "smoothing-0.1": "5.33",
    "smoothing-0.2": "5.34",
    "inputs-smoothing-0.05": "5.02",
    "inputs-smoothing-0.1": "5.08",
    "inputs-smoothing-0.2": "4.98",
    "inputs-smoothing-0.4": "5.25",
    "noise-0.05": "5.53",
    "noise-0.1": "6.41",
    "noise-0.2": "7.16",
    "erm-decay": "5.18",
    "mixup-decay": "4.68",
    "neighbours-decay": "5.26",
    "layer-1-decay": "4.51",
    "layer-2-decay": "4.61",
    "layer-3-decay": "5.55",
    "layer-4-decay": "5.43",
    "layer-5-decay": "5.15",
    "inputs-same-class-neighbours-decay": "5.52",
    "inputs-neighbours-decay": "5.48",
    "inputs-same-class-decay": "5.55",
    "inputs-decay": "5.72",
    "smoothing-0.05-decay": "5.02",
    "smoothing-0.1-decay": "5.17",
    "smoothing-0.2-decay": "5.06",
    "inputs-smoothing-0.05-decay": "5.40",
    "inputs-smoothing-0.1-decay": "5.09",
    "inputs-smoothing-0.2-decay": "5.06",
    "inputs-smoothing-0.4-decay": "5.39",
    "noise-0.05-decay": "5.04",
    "noise-0.1-decay": "5.86",
    "noise-0.2-decay": "7.24",
}
"""Error in percent, CIFAR-10, of weight decay 1e-4, and 5e-4 where an arm says so."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""


def arms(layers: Mapping[int, str], k: int) -> dict[str, Strategy]:
    """Return the rows of the table for a network, whose layers have names by their number in the paper.

    Args:
        k: among how many nearest neighbours partners are drawn.
    """
    return {
        "erm": none(),
        "mixup": none().mixed("mixup", alpha=1.0),
        "neighbours": none().mixed("mixup", alpha=1.0, partner="neighbours", k=k),
        **{f"layer-{number}": none().mixed("manifold-mixup", alpha=1.0, layer=name) for number, name in layers.items()},
        "inputs-same-class-neighbours": none().mixed(
            "mixup", alpha=1.0, labels="closer", partner="class-neighbours", k=k
        ),
        "inputs-neighbours": none().mixed("mixup", alpha=1.0, labels="closer", partner="neighbours", k=k),
        "inputs-same-class": none().mixed("mixup", alpha=1.0, labels="closer", partner="class"),
        "inputs": none().mixed("mixup", alpha=1.0, labels="closer"),
        **{f"smoothing-{e}": none().mixed("label-smoothing", epsilon=e) for e in (0.05, 0.1, 0.2)},
        **{
            f"inputs-smoothing-{e}": none().mixed("mixup", alpha=1.0, labels="closer", smoothing=e)
            for e in (0.05, 0.1, 0.2, 0.4)
        },
        **{f"noise-{s}": none().mixed("gaussian-noise", sigma=s) for s in (0.05, 0.1, 0.2)},
    }


study = Study(
    name="mixup-table-5",
    task=Task(data="digits-100", model="wrn-10-1", epochs=30, batch_size=25),
    strategies=arms({1: "stage1", 2: "stage2", 3: "stage3", 5: "head"}, k=5),
    baseline="erm",
    budget=Budget(trials=1),
    seeds=6,
)

PREACT = arms({1: "stage1", 2: "stage2", 3: "stage3", 4: "stage4", 5: "head"}, k=200)

paper = Study(
    name="mixup-table-5-paper",
    task=Task(**RECIPES["mixup-2018-cifar"], data="cifar10", model="preactresnet-18"),
    strategies={**PREACT, **{f"{name}-decay": each.trained(weight_decay=5e-4) for name, each in PREACT.items()}},
    baseline="erm",
    budget=Budget(trials=1),
    seeds=1,
)
